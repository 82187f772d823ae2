"""Class maps as pictures: coloured, over the image, side by side with a legend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from stdc_lab.data import Pixels
from stdc_lab.deploy.palette import Classes

ALPHA = 0.5
GAP = 8
TEXT = 14
INK, PALE = (25, 25, 25), (110, 110, 110)
_PAPER = 255
_DOTS_PER_INCH = 72
"""So that a point of a font is a pixel."""


def coloured(ids: Pixels, classes: Classes) -> Pixels:
    """Class ids H×W as H×W×3, RGB."""
    return classes.colours[ids]


def overlaid(image: Pixels, ids: Pixels, classes: Classes, alpha: float = ALPHA) -> Pixels:
    """The colours of the class ids H×W over the image H×W×3, RGB; `alpha` is the share of the colours."""
    return np.asarray(cv2.addWeighted(image, 1 - alpha, coloured(ids, classes), alpha, 0), np.uint8)


def side_by_side(image: Pixels, ids: Pixels, classes: Classes, shown: Sequence[int] | None = None) -> Pixels:
    """Image and overlay, and below a legend of the classes that occur in `ids`, or of the ids in `shown`. RGB."""
    gap = np.full((image.shape[0], GAP, 3), _PAPER, np.uint8)
    pair = np.hstack([image, gap, overlaid(image, ids, classes)])
    return np.vstack([pair, legend(classes, occurring(ids) if shown is None else shown, pair.shape[1])])


def occurring(ids: Pixels) -> list[int]:
    """The class ids that occur, ascending."""
    return [int(index) for index in np.flatnonzero(np.bincount(ids.ravel(), minlength=1))]


def legend(classes: Classes, shown: Sequence[int], width: int) -> Pixels:
    """A strip h×`width`×3: a patch of colour and the name of each class, as many lines as it takes."""
    room = width - 2 * GAP - TEXT - GAP
    names = [shortened(classes.names[index], room, TEXT) for index in shown]
    places, left, line = [], GAP, 0
    for name in names:
        item = TEXT + GAP // 2 + text_width(name, TEXT) + 2 * GAP
        if left > GAP and left + item > width:
            left, line = GAP, line + 1
        places.append((left, line))
        left += item
    height = line_height(TEXT)
    strip = np.full(((line + 1) * height + GAP, width, 3), _PAPER, np.uint8)
    for index, name, (left, line) in zip(shown, names, places, strict=True):
        top = GAP // 2 + line * height
        patch = top + (height - TEXT) // 2
        strip[patch : patch + TEXT, left : left + TEXT] = classes.colours[index]
        write(strip, name, left + TEXT + GAP // 2, top, TEXT)
    return strip


def write(picture: Pixels, text: str, left: int, top: int, pixels: int, ink: tuple[int, int, int] = INK) -> None:
    """Draw a line of text into a picture H×W×3, its upper left corner at (`top`, `left`); what sticks out is cut."""
    mask = text_mask(text, pixels)[: picture.shape[0] - top, : picture.shape[1] - left, None] / 255
    part = picture[top : top + mask.shape[0], left : left + mask.shape[1]]
    part[:] = np.rint(part * (1 - mask) + np.array(ink) * mask)


def line_height(pixels: int) -> int:
    """The height of a line of text of this size, in pixels."""
    return round(1.6 * pixels)


@lru_cache(maxsize=2048)
def text_mask(text: str, pixels: int) -> Pixels:
    """A line of text as h×w coverage, 0 to 255; h is `line_height`.

    Set by matplotlib: OpenCV's own letters are ASCII only, and crude.
    """
    width, height = text_width(text, pixels), line_height(pixels)
    figure, canvas = _figure(width, height)
    figure.text(1 / width, 0.33, text, fontsize=pixels, va="baseline", parse_math=False)
    canvas.draw()  # type: ignore[no-untyped-call]
    mask: Pixels = np.array(_PAPER - np.asarray(canvas.buffer_rgba())[..., 0])  # type: ignore[no-untyped-call]
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=4096)
def text_width(text: str, pixels: int) -> int:
    """The width of a line of text, in pixels."""
    figure, canvas = _figure(64, 64)
    artist = figure.text(0, 0, text, fontsize=pixels, parse_math=False)
    extent = artist.get_window_extent(canvas.get_renderer())  # type: ignore[no-untyped-call]
    return int(np.ceil(extent.width)) + 2


def wrapped(text: str, width: int, pixels: int) -> list[str]:
    """Lines of at most `width` pixels, broken after a space, `_`, `-`, `/` or `.` where that is possible."""
    lines = [""]
    for part in re.findall(r"[^\s_\-/.]*[\s_\-/.]?", text):
        if text_width((lines[-1] + part).rstrip(), pixels) > width and lines[-1]:
            lines.append("")
        for letter in part:  # a part that is longer than a line is broken anywhere
            if text_width(lines[-1] + letter, pixels) > width and lines[-1]:
                lines.append("")
            lines[-1] += letter
    return [line.strip() for line in lines if line.strip()] or [""]


def shortened(text: str, width: int, pixels: int) -> str:
    """The text, or as much of it as `width` pixels hold, with an ellipsis."""
    if text_width(text, pixels) <= width:
        return text
    end = len(text)
    while end and text_width(text[:end] + "…", pixels) > width:
        end -= 1
    return text[:end] + "…"


def png(image: Pixels) -> bytes:
    """H×W×3, RGB, as a PNG file."""
    return bytes(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1])


def indexed_png(ids: Pixels, classes: Classes) -> bytes:
    """Class ids H×W as a PNG whose pixel values are the ids and whose palette are the colours (OpenCV writes none).

    Pillow reads the ids (`np.array(Image.open(path))`); OpenCV's imread turns them into colours.
    """
    picture, content = Image.fromarray(ids), BytesIO()
    picture.putpalette(classes.colours.tobytes())
    picture.save(content, "PNG", bits=8)
    return content.getvalue()


def _figure(width: int, height: int) -> tuple[Figure, FigureCanvasAgg]:
    figure = Figure(figsize=(width / _DOTS_PER_INCH, height / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
    return figure, FigureCanvasAgg(figure)
