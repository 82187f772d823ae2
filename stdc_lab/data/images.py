"""A folder of images sorted into classes: train/CLASS/… and val/CLASS/…, decoded when they are needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from stdc_lab.config.pretraining import ImageAugmentation, ImagesConfig
from stdc_lab.data.augment import recolour
from stdc_lab.data.classes import Pixels
from stdc_lab.data.draws import Draws, draw, one_of
from stdc_lab.data.files import decode, reason, shown
from stdc_lab.data.loading import Batches
from stdc_lab.data.order import place_in_order
from stdc_lab.errors import DataError

_log = logging.getLogger(__name__)
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
LAYOUT = "train/CLASS/*.jpg and val/CLASS/*.jpg"
CENTRE_SHARE = 0.875
"""A validation image's shorter side is resized so that the crop takes this share of it."""
ASPECTS = (3 / 4, 4 / 3)
CROP_TRIES = 10
_CHANGE_STREAM = 2


@dataclass(frozen=True)
class ImageList:
    """Image files and the class of each."""

    paths: tuple[Path, ...]
    labels: np.ndarray
    """N, class ids."""

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class ImageFolder:
    """What a classifier learns from and is measured on."""

    name: str
    train: ImageList
    val: ImageList
    class_names: tuple[str, ...]


@dataclass
class Unreadable:
    """What becomes of files that cannot be read: an error, or (`skip`) a warning once a file."""

    skip: bool = False
    paths: set[Path] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def hear(self, path: Path, error: DataError) -> None:
        """Raises `error` unless such files are skipped."""
        if not self.skip:
            raise DataError(f"{error}; data.skip_unreadable: true leaves such images out") from error
        with self._lock:
            fresh = path not in self.paths
            self.paths.add(path)
        if fresh:
            _log.warning("left out: %s", error)


def load_image_folder(config: ImagesConfig, folder: Path | None) -> ImageFolder:
    """The files of both parts and their classes: the names of the folders in `train`, sorted.

    Nothing is decoded yet. Raises `DataError` for a folder that is not laid out so, for fewer than two classes, and
    for a class in `val` that `train` does not have.
    """
    if folder is None:
        raise DataError(f"{config.name}: no folder was given; say where it is with --data {config.name}=PATH")
    folder = folder.expanduser()
    lists, names = {}, _subfolders(folder / "train")
    if len(names) < 2:
        raise DataError(f"{shown(folder / 'train')}: got {len(names)} classes; allowed: at least two folders, {LAYOUT}")
    for part in ("train", "val"):
        strange = sorted(set(_subfolders(folder / part)) - set(names))
        if strange:
            raise DataError(f"{shown(folder / part / strange[0])}: got a class that train does not have")
        paths, labels = [], []
        for label, name in enumerate(names):
            found = _images(folder / part / name)
            paths += found
            labels += [label] * len(found)
        if not paths:
            raise DataError(f"{shown(folder / part)}: got no image; allowed: {LAYOUT} ({', '.join(SUFFIXES)})")
        lists[part] = ImageList(tuple(paths), np.array(labels))
    return ImageFolder(config.name, lists["train"], lists["val"], names)


def training_batch(
    images: ImageList,
    augmentation: ImageAugmentation,
    size: tuple[int, int],
    batch_size: int,
    seed: int,
    iteration: int,
    slots: range,
    unreadable: Unreadable,
) -> tuple[Pixels, np.ndarray]:
    """The part `slots` of the batch of one iteration: images B×h×w×3 and class ids B.

    Depends on `seed` and `iteration` only, see `batch_at`. In place of a file that is skipped comes the next one that
    can be read, in the order of the folder.
    """
    pixels = np.empty((len(slots), *size, 3), np.uint8)
    labels = np.empty(len(slots), np.int64)
    for row, slot in enumerate(slots):
        number = iteration * batch_size + slot
        index, image = _read_from(images, place_in_order(number, len(images), seed), unreadable)
        rng = np.random.default_rng([seed, _CHANGE_STREAM, number])
        pixels[row], labels[row] = changed(image, augmentation, size, rng), images.labels[index]
    return pixels, labels


def validation_batches(
    images: ImageList, size: tuple[int, int], batch_size: int, unreadable: Unreadable, workers: int = 1
) -> Iterator[tuple[Pixels, np.ndarray]]:
    """All images in turn, resized and cropped in the middle: B×h×w×3 and class ids B.

    Decoded by `workers` threads while the batches before are used, see `Batches`.
    """
    make = partial(_validation_batch, images, size, batch_size, unreadable)
    for pixels, labels in Batches(make, 0, -(-len(images) // batch_size), workers):
        if len(pixels):
            yield pixels, labels


def _validation_batch(
    images: ImageList, size: tuple[int, int], batch_size: int, unreadable: Unreadable, number: int
) -> tuple[Pixels, np.ndarray]:
    """Batch `number`, without the images that cannot be read, which may be all of them."""
    chosen = slice(number * batch_size, (number + 1) * batch_size)
    pixels, labels = [], []
    for path, label in zip(images.paths[chosen], images.labels[chosen], strict=True):
        try:
            pixels.append(centre_crop(read_image(path), size))
        except DataError as error:
            unreadable.hear(path, error)
            continue
        labels.append(label)
    return np.array(pixels, np.uint8).reshape(-1, *size, 3), np.array(labels, np.int64)


def read_image(path: Path) -> Pixels:
    """H×W×3, RGB. Raises `DataError`."""
    return np.ascontiguousarray(decode(path, cv2.IMREAD_COLOR)[..., ::-1])


def changed(image: Pixels, augmentation: ImageAugmentation, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A random part of an image H×W×3, resized to `size`, flipped and recoloured.

    All numbers are drawn before any is used, see `Draws`; those of the tries come last, as many as they may be.
    """
    draws, tries = draw(rng), rng.random((CROP_TRIES, 2))
    top, left, height, width = _random_part(image.shape[0], image.shape[1], augmentation.area, draws, tries)
    part = image[top : top + height, left : left + width]
    shrinks = size[0] * size[1] < height * width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    part = np.asarray(cv2.resize(part, (size[1], size[0]), interpolation=interpolation), np.uint8)
    if augmentation.flip and draws.flips:
        part = part[:, ::-1]
    return recolour(part, augmentation.colour, draws) if augmentation.colour else part


def centre_crop(image: Pixels, size: tuple[int, int]) -> Pixels:
    """H×W×3 to `size`: the largest part of its shape in the middle, less a margin."""
    share = CENTRE_SHARE * min(image.shape[0] / size[0], image.shape[1] / size[1])
    height, width = (max(1, round(side * share)) for side in size)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    part = image[top : top + height, left : left + width]
    interpolation = cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size[1], size[0]), interpolation=interpolation), np.uint8)


def _random_part(
    height: int, width: int, area: tuple[float, float], draws: Draws, tries: np.ndarray
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a part with a share of the image's area and an aspect, both random.

    tries: N×2 from 0 up to 1, for the area and the logarithm of the aspect; the first part that fits is taken.
    """
    low, high = np.log(ASPECTS)
    for for_area, for_aspect in tries:
        pixels = height * width * (area[0] + (area[1] - area[0]) * for_area)
        aspect = np.exp(low + (high - low) * for_aspect)
        part_w, part_h = round(np.sqrt(pixels * aspect)), round(np.sqrt(pixels / aspect))
        if 0 < part_w <= width and 0 < part_h <= height:
            return one_of(height - part_h + 1, draws.row), one_of(width - part_w + 1, draws.column), part_h, part_w
    part_w = min(width, round(height * ASPECTS[1]))  # of an image so long or tall that nothing fits: its middle
    part_h = min(height, round(width / ASPECTS[0]))
    return (height - part_h) // 2, (width - part_w) // 2, part_h, part_w


def _read_from(images: ImageList, index: int, unreadable: Unreadable) -> tuple[int, Pixels]:
    for step in range(len(images)):
        found = (index + step) % len(images)
        try:
            return found, read_image(images.paths[found])
        except DataError as error:
            unreadable.hear(images.paths[found], error)
    raise DataError(f"got {len(images)} training images, none of which can be read; allowed: at least one")


def _subfolders(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    except OSError as error:
        raise DataError(f"{shown(folder)}: got {reason(error)}; allowed: a folder laid out as {LAYOUT}") from error


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
