"""The random changes of the released training code, one operation after another, by the library that it uses."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance

from stdc_lab.config.training import Augmentation
from stdc_lab.data.classes import Pixels
from stdc_lab.data.draws import Draws, drawn_factors, drawn_scale


def augment_as_released(
    image: Pixels, labels: Pixels, config: Augmentation, size: tuple[int, int], draws: Draws
) -> tuple[Pixels, Pixels]:
    """As `augment`, in the released order: colour, flip, scale, crop. Every step ends in 8 bits.

    Brightness, contrast and saturation change the whole image one after another: what the crop leaves out counts in
    the contrast's mean. The whole image is resized by the drawn scale; if it is then smaller than the crop it is
    enlarged, blurred as it is by now. The release enlarges a wide image until it is high enough and a tall one until it
    is wide enough, which covers a crop of the image's shape; this covers a crop of any shape.
    """
    picture, classes = Image.fromarray(np.ascontiguousarray(image)), Image.fromarray(np.ascontiguousarray(labels))
    if config.colour:
        for change, factor in zip(_COLOUR_CHANGES, drawn_factors(config.colour, draws), strict=True):
            picture = change(picture).enhance(factor)
    flipped = config.flip and draws.flips
    if flipped:
        turn = Image.Transpose.FLIP_LEFT_RIGHT
        picture, classes = picture.transpose(turn), classes.transpose(turn)
    scale = drawn_scale(config, draws)
    width, height = (max(1, int(side * scale)) for side in picture.size)
    picture, classes = _resized(picture, classes, (width, height))
    if width < size[1] or height < size[0]:
        scale = max(size[1] / width, size[0] / height)
        # One pixel more than needed: the release's way to be sure that rounding leaves enough.
        width, height = int(scale * width + 1), int(scale * height + 1)
        picture, classes = _resized(picture, classes, (width, height))
    # From the right in a mirrored image, so that the crop shows what it would show in the other.
    column = 1 - draws.column if flipped else draws.column
    left, top = int(column * (width - size[1])), int(draws.row * (height - size[0]))
    box = (left, top, left + size[1], top + size[0])
    return np.array(picture.crop(box)), np.array(classes.crop(box))


_COLOUR_CHANGES = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def _resized(picture: Image.Image, classes: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Both at a width and height: the image bilinearly, smoothed first where it shrinks, classes by the nearest."""
    return picture.resize(size, Image.Resampling.BILINEAR), classes.resize(size, Image.Resampling.NEAREST)
