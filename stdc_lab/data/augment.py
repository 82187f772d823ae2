"""Random changes to training images, and batches that depend on nothing but their seed and number."""

from __future__ import annotations

import cv2
import numpy as np

from stdc_lab.config.training import Augmentation
from stdc_lab.data.catalog import Split
from stdc_lab.data.classes import IGNORE_LABEL, Pixels
from stdc_lab.data.draws import Draws, draw, drawn_factors, drawn_scale, one_of
from stdc_lab.data.order import place_in_order
from stdc_lab.data.released import augment_as_released

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, for values from 0 to 1."""
IMAGE_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue, for values from 0 to 1."""

_PADDING = tuple(round(255 * mean) for mean in IMAGE_MEAN)
_LUMINANCE = np.array((0.299, 0.587, 0.114))
_CHANGE_STREAM = 1
"""Of the random numbers from one seed: another stream than that of the order, which is 0."""


def crop_size(config: Augmentation, split: Split) -> tuple[int, int]:
    """Height x width of the training crops: the configured one, or the data's size."""
    return config.crop or (split.images.shape[1], split.images.shape[2])


def augment(
    image: Pixels, labels: Pixels, config: Augmentation, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """A random resize of `image` (H×W×3) and `labels` (H×W), cropped to `size` (h×w), flipped and recoloured.

    Where the resized image is smaller than the crop it lies at a random place in it; around it are the mean colour
    and IGNORE_LABEL; with `config.cover` it is enlarged to cover the crop instead. With the form "released" see
    `augment_as_released`. Returns new arrays h×w×3 and h×w.
    """
    draws = draw(rng)
    if config.form == "released":
        return augment_as_released(image, labels, config, size, draws)
    scale = drawn_scale(config, draws)
    if config.cover:
        scale = max(scale, size[0] / image.shape[0], size[1] / image.shape[1])
    # Cropped before resizing: the same result for a fraction of the pixels.
    (top, source_h, height, pad_top) = _window(image.shape[0], size[0], scale, draws.row)
    (left, source_w, width, pad_left) = _window(image.shape[1], size[1], scale, draws.column)
    image = image[top : top + source_h, left : left + source_w]
    labels = labels[top : top + source_h, left : left + source_w]
    if (height, width) != (source_h, source_w):
        shrinks = height * width < source_h * source_w
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
        labels = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    if config.flip and draws.flips:
        # Not a view turned round: copying one pixel by pixel takes longer than all the rest.
        image, labels = np.asarray(cv2.flip(image, 1), np.uint8), np.asarray(cv2.flip(labels, 1), np.uint8)
    if config.colour:
        image = recolour(image, config.colour, draws)
    new_image = np.empty((*size, 3), np.uint8)
    new_labels = np.full(size, IGNORE_LABEL, np.uint8)
    if (height, width) != size:
        new_image[:] = _PADDING
    new_image[pad_top : pad_top + height, pad_left : pad_left + width] = image
    new_labels[pad_top : pad_top + height, pad_left : pad_left + width] = labels
    return new_image, new_labels


def batch_at(
    split: Split,
    config: Augmentation,
    size: tuple[int, int],
    batch_size: int,
    seed: int,
    iteration: int,
    slots: range | None = None,
) -> tuple[Pixels, Pixels]:
    """The batch of one iteration, counted from 0: images B×h×w×3 and labels B×h×w.

    `slots`: only these of the batch's images, where several processes share it. An image depends on `seed` and its
    number in the training only, so a training goes on where it stopped without any state of this module, and
    processes need not tell each other anything. Each epoch goes through all images once, in an order of its own; a
    batch may span epochs, so it may be larger than the whole split.
    """
    slots = range(batch_size) if slots is None else slots
    images = np.empty((len(slots), *size, 3), np.uint8)
    labels = np.empty((len(slots), *size), np.uint8)
    for row, slot in enumerate(slots):
        number = iteration * batch_size + slot
        index = place_in_order(number, len(split), seed)
        rng = np.random.default_rng([seed, _CHANGE_STREAM, number])
        images[row], labels[row] = augment(split.images[index], split.labels[index], config, size, rng)
    return images, labels


def _window(length: int, wanted: int, scale: float, drawn: float) -> tuple[int, int, int, int]:
    """Along one side of an image of `length`, to be resized by `scale` and cropped to `wanted`: where the source
    starts, how long it is, how long it becomes, and how much padding comes before it."""
    needed = max(1, round(wanted / scale))
    if needed <= length:
        return one_of(length - needed + 1, drawn), needed, wanted, 0
    becomes = min(wanted, max(1, round(length * scale)))
    return 0, length, becomes, one_of(wanted - becomes + 1, drawn)


def recolour(image: Pixels, strength: float, draws: Draws) -> Pixels:
    """Saturation, brightness and contrast, each by a factor in 1 ± strength, as one linear map of the colours."""
    brightness, contrast, saturation = drawn_factors(strength, draws)
    mean = float(np.dot(cv2.mean(image)[:3], _LUMINANCE)) * brightness
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMINANCE, (3, 1))
    matrix = np.empty((3, 4))
    matrix[:, :3] = contrast * brightness * mix
    matrix[:, 3] = mean * (1 - contrast)
    return np.asarray(cv2.transform(np.ascontiguousarray(image), matrix), np.uint8)
