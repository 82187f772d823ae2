"""Several networks on the same images: a panel with a row an image and a column a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stdc_lab.data import Pixels
from stdc_lab.data.files import resize_image
from stdc_lab.deploy.palette import Classes
from stdc_lab.deploy.pictures import (
    GAP,
    PALE,
    TEXT,
    legend,
    line_height,
    occurring,
    overlaid,
    shortened,
    wrapped,
    write,
)

ROWS = 12
"""A panel has at most so many rows; more images make more panels."""
NARROWEST, WIDEST = 240, 480
"""Pixels that a tile is wide: as the first image, within these."""
SMALL = 12


@dataclass(frozen=True)
class Row:
    """An image, and what each network sees in it: pictures of the same width, H×W×3, RGB."""

    name: str
    tiles: tuple[Pixels, ...]
    classes: frozenset[int]
    """The class ids that occur in any of them."""


def tile_width(image: Pixels) -> int:
    """How wide the tiles of a panel are that begins with this image."""
    return min(max(int(image.shape[1]), NARROWEST), WIDEST)


def compared(name: str, image: Pixels, maps: Sequence[Pixels], classes: Classes, width: int) -> Row:
    """The row of an image H×W×3 and the class ids H×W of each network, tiles `width` wide."""
    size = (max(1, round(image.shape[0] * width / image.shape[1])), width)
    pictures = [image, *(overlaid(image, ids, classes) for ids in maps)]
    seen = frozenset(index for ids in maps for index in occurring(ids))
    return Row(name, tuple(resize_image(picture, size) for picture in pictures), seen)


def panel(rows: Sequence[Row], labels: Sequence[str], notes: Sequence[str], classes: Classes) -> Pixels:
    """The picture: a heading over each column, the image's name over each row, a legend below. RGB.

    labels, notes: of each network, its name and a smaller line below. A long name goes on in the next line, so no
    column's heading reaches into another.
    """
    width = rows[0].tiles[0].shape[1]
    whole = (len(labels) + 1) * (width + GAP) + GAP
    strips = [_heading(["image", *labels], ["", *notes], width, whole)]
    for row in rows:
        strips.append(_name(row.name, whole))
        strip = np.full((row.tiles[0].shape[0] + GAP, whole, 3), 255, np.uint8)
        for column, tile in enumerate(row.tiles):
            left = GAP + column * (width + GAP)
            strip[: tile.shape[0], left : left + width] = tile
        strips.append(strip)
    strips.append(legend(classes, sorted(frozenset().union(*(row.classes for row in rows))), whole))
    return np.vstack(strips)


def distinct_labels(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """The names, with the file added to those that come more than once."""
    return [
        name if list(names).count(name) == 1 else f"{name} ({path})" for name, path in zip(names, paths, strict=True)
    ]


def _heading(labels: Sequence[str], notes: Sequence[str], width: int, whole: int) -> Pixels:
    lines = [wrapped(label, width, TEXT) for label in labels]
    small = [wrapped(note, width, SMALL) if note else [] for note in notes]
    heights = [len(a) * line_height(TEXT) + len(b) * line_height(SMALL) for a, b in zip(lines, small, strict=True)]
    strip = np.full((max(heights) + GAP, whole, 3), 255, np.uint8)
    for column, (big, little) in enumerate(zip(lines, small, strict=True)):
        left, top = GAP + column * (width + GAP), GAP // 2
        for line in big:
            write(strip, line, left, top, TEXT)
            top += line_height(TEXT)
        for line in little:
            write(strip, line, left, top, SMALL, PALE)
            top += line_height(SMALL)
    return strip


def _name(name: str, whole: int) -> Pixels:
    strip = np.full((line_height(SMALL), whole, 3), 255, np.uint8)
    write(strip, shortened(name, whole - 2 * GAP, SMALL), GAP, 0, SMALL, PALE)
    return strip
