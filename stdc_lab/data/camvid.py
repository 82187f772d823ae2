"""CamVid in the layout that SegNet made usual: `train.txt` and `val.txt` with pairs of paths, images and labels as PNG.

Brostow, Fauqueur, Cipolla: Semantic object classes in video, 2009. Labels are class ids 0 to 10, and 11 for unlabelled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from stdc_lab.config.data import DataConfig
from stdc_lab.data.cache import Frame
from stdc_lab.data.classes import CLASS_NAMES, IGNORE_LABEL, Pixels
from stdc_lab.errors import DataError

UNLABELLED = 11
"""What CamVid's files say where nothing was labelled; becomes IGNORE_LABEL."""
_LISTS = {"train": "train.txt", "val": "val.txt"}


class Pair(NamedTuple):
    """An image and its labels, as paths relative to the data's folder."""

    image: str
    labels: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.image).stem


def camvid_pairs(folder: Path, config: DataConfig) -> dict[str, list[Pair]]:
    """The pairs of `train` and `val`, in the order of the lists.

    Raises DataError for a list that is missing, empty or malformed, and for a drive without frames.
    """
    lists = {part: _read_list(folder / file) for part, file in _LISTS.items()}
    everything = [pair for pairs in lists.values() for pair in pairs]
    seen: set[str] = set()
    for pair in everything:
        if pair.image in seen:
            raise DataError(f"{folder}: got {pair.image} twice in train.txt and val.txt; allowed: each image once")
        seen.add(pair.image)
    if config.split == "usual":
        return lists
    held_out = [pair for pair in everything if pair.name.startswith(config.held_out)]
    others = [pair for pair in everything if not pair.name.startswith(config.held_out)]
    for pairs, kind in ((held_out, "no image"), (others, "only images")):
        if not pairs:
            raise DataError(
                f"{folder}: got {kind} of drive {config.held_out} in train.txt and val.txt; allowed: file names that "
                "start with their drive, of at least two drives (0001TP, 0006R0, 0016E5), or the usual split"
            )
    return {"train": others, "val": held_out}


def camvid_content(folder: Path, pairs: dict[str, list[Pair]], config: DataConfig) -> dict[str, Any]:
    """What determines the cached arrays: size and time of each file, and which part it is in. Raises DataError."""
    return {
        "dataset": "camvid",
        "size": list(config.size),
        "parts": {
            part: [[path, *_size_and_time(folder, path)] for pair in members for path in pair]
            for part, members in pairs.items()
        },
    }


def camvid_frames(
    folder: Path, pairs: list[Pair], size: tuple[int, int], done: Callable[[int], None]
) -> Iterator[Frame]:
    """Each pair decoded and resized to `size` (H×W); `done` is told how many are. Raises DataError."""
    for number, pair in enumerate(pairs, 1):
        image, labels = _decode_pair(folder, pair)
        yield Frame(pair.name, resize_image(image, size), resize_labels(labels, size))
        done(number)


def resize_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """H×W×3 to `size`: by area where pixels are lost, so that nothing thin is skipped, else bilinear."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def resize_labels(labels: Pixels, size: tuple[int, int]) -> Pixels:
    """H×W to `size`: the label under each new pixel's centre. OpenCV's plain nearest takes a corner, half a pixel off
    the image, and a majority vote would wear poles and signs away."""
    if labels.shape == size:
        return labels
    return np.asarray(cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _read_list(path: Path) -> list[Pair]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: got {_reason(error)}; allowed: a text file with an image and its labels on each line"
        ) from error
    pairs = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 2:
            raise DataError(
                f"{path}, line {number}: got {line.strip()[:200]!r}; allowed: two paths, an image and its labels"
            )
        for field in fields:
            pure = PurePosixPath(field.replace("\\", "/"))
            if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
                raise DataError(f"{path}, line {number}: got {field!r}; allowed: a path inside {path.parent}")
        pairs.append(Pair(*fields))
    if not pairs:
        raise DataError(f"{path}: got no line; allowed: at least one image with its labels")
    return pairs


def _size_and_time(folder: Path, path: str) -> tuple[int, int]:
    try:
        found = os.stat(os.path.join(folder, path))  # not pathlib: a thousand of these on each start
    except OSError as error:
        raise DataError(
            f"{folder / path}: got {_reason(error)}; allowed: a readable file, as train.txt or val.txt lists it"
        ) from error
    return found.st_size, found.st_mtime_ns


def _decode_pair(folder: Path, pair: Pair) -> tuple[Pixels, Pixels]:
    image = _decode(folder / pair.image, cv2.IMREAD_COLOR)[..., ::-1]
    labels = _decode(folder / pair.labels, cv2.IMREAD_UNCHANGED)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise DataError(
            f"{folder / pair.labels}: got {labels.dtype} with {labels.shape[2] if labels.ndim == 3 else 1} channel(s); "
            "allowed: one channel of 8-bit class ids"
        )
    if labels.shape != image.shape[:2]:
        raise DataError(
            f"{folder / pair.labels}: got {labels.shape[0]}x{labels.shape[1]}; allowed: the size of its image "
            f"{pair.image}, {image.shape[0]}x{image.shape[1]}"
        )
    highest = int(labels.max())
    if highest > UNLABELLED:
        raise DataError(
            f"{folder / pair.labels}: got label id {highest}; allowed: 0 to {len(CLASS_NAMES) - 1}, "
            f"and {UNLABELLED} for unlabelled"
        )
    return np.ascontiguousarray(image), np.where(labels == UNLABELLED, IGNORE_LABEL, labels).astype(np.uint8)


def _decode(path: Path, mode: int) -> Pixels:
    """Through bytes and not cv2.imread, which answers every failure with None and a line on stderr."""
    try:
        data = np.fromfile(path, np.uint8)
        decoded = cv2.imdecode(data, mode) if data.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{path}: got {_reason(error)}; allowed: a readable image file") from error
    if decoded is None:
        raise DataError(f"{path}: got {data.size} bytes that are no image; allowed: a readable image file")
    return np.asarray(decoded)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip().lower()
