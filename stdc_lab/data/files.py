"""Images and lists of names from files that others made: read with care, and every fault in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import cv2
import numpy as np

from stdc_lab.data.classes import Pixels
from stdc_lab.errors import DataError

Fault = Literal["split", "pair", "file", "size", "labels", "stray", "class"]
"""split: a list, or a part without images. pair: an image or its labels is not there. file: it cannot be read.
size: labels of another size than their image. labels: no labels of this data set. stray: a few pixels of them.
class: a class that never occurs."""


class Problem(NamedTuple):
    """Something wrong with a data set."""

    kind: Fault
    where: str
    """The file, and its line if it is a list."""
    what: str
    """What was got and what is allowed."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def shown(path: Path | str) -> str:
    """A path fit for a message: whatever would move a terminal's cursor, or is no text at all, is escaped."""
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def reason(error: Exception) -> str:
    """Why a file could not be read, in lower case."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip().lower()


def leaves_folder(path: str) -> bool:
    """Whether a path that was read from a file might lead out of the folder it is meant in."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts or ":" in (pure.parts or (":",))[0] or "\0" in path


def read_lines(path: Path, holds: str) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1; `holds` says what such a file holds.

    Raises DataError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: got {reason(error)}; allowed: a text file with {holds}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def read_names(
    path: Path, holds: str, name_of: Callable[[str], str | None], allowed: str, problems: list[Problem]
) -> list[str]:
    """The names on the lines of a list; what is none of `allowed` (`name_of` gives None) is a problem, as is no line.

    holds: what stands on each line.
    """
    names: list[str] = []
    before = len(problems)
    try:
        for number, line in read_lines(path, f"{holds} on each line"):
            name = name_of(line)
            if name is None:
                what = f"got {line[:200]!r}; allowed: {allowed}"
                problems.append(Problem("split", f"{shown(path)}, line {number}", what))
            else:
                names.append(name)
    except DataError as error:
        problems.append(Problem("split", shown(path), str(error).removeprefix(f"{shown(path)}: ")))
    if not names and len(problems) == before:
        problems.append(Problem("split", shown(path), f"got no line; allowed: {holds} on each line"))
    return names


def size_and_time(folder: Path, path: str) -> tuple[int, int]:
    """A file's size in bytes and its time of change in nanoseconds: what tells that it is another file."""
    try:
        found = os.stat(os.path.join(folder, path))  # not pathlib: a thousand of these on each start
    except OSError as error:
        raise DataError(f"{shown(folder / path)}: got {reason(error)}; allowed: a readable file") from error
    return found.st_size, found.st_mtime_ns


def decode(path: Path, mode: int) -> Pixels:
    """The pixels of an image file, blue first, as `mode` (cv2.IMREAD_…) says. Raises DataError.

    Through bytes and not cv2.imread, which answers every failure with None and a line on stderr.
    """
    try:
        data = np.fromfile(path, np.uint8)
        decoded = cv2.imdecode(data, mode) if data.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{shown(path)}: got {reason(error)}; allowed: a readable image file") from error
    if decoded is None:
        raise DataError(f"{shown(path)}: got {data.size} bytes that are no image; allowed: a readable image file")
    return np.asarray(decoded)


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
