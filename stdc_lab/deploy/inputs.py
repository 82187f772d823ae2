"""What is to be predicted: images, folders of images, videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from stdc_lab.data import Pixels
from stdc_lab.data.files import decode, shown
from stdc_lab.errors import DataError, StdcLabError
from stdc_lab.files import writing

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
DEFAULT_RATE = 25.0
"""Frames a second of a video that does not say."""


class Input(NamedTuple):
    """A file to predict."""

    path: Path
    name: str
    """What its results are called: the file's name without ending, `-2` … added where another has the same."""
    video: bool


class Readable(NamedTuple):
    """Which files can be read, and of the others the reason."""

    good: list[Input]
    skipped: list[str]


def find_inputs(paths: Sequence[Path]) -> list[Input]:
    """The files that are named, and the images in the folders that are (not below them), by name; each once.

    Raises DataError for one that is not there, that is neither image nor video, and for a folder without images.
    """
    files: dict[Path, Path] = {}
    for path in paths:
        for file in _files_of(path):
            files.setdefault(file.resolve(), file)
    names: set[str] = set()
    inputs = []
    for file in files.values():
        name, number = file.stem, 1
        while name.casefold() in names:  # some file systems do not tell A from a
            number += 1
            name = f"{file.stem}-{number}"
        names.add(name.casefold())
        inputs.append(Input(file, name, file.suffix.lower() in VIDEO_ENDINGS))
    return inputs


def check_readable(
    inputs: Sequence[Input], skip: bool, on_progress: Callable[[int, int], None] | None = None
) -> Readable:
    """Decode every image, and the first frame of every video, before anything is done with any.

    With `skip` what cannot be read is left out. Raises DataError otherwise, and if nothing is left.
    """
    good, skipped = [], []
    for number, item in enumerate(inputs, 1):
        try:
            if item.video:
                with open_video(item.path) as video:
                    next(video.frames)
            else:
                read_image(item.path)
            good.append(item)
        except DataError as error:
            if not skip:
                raise DataError(f"{error}; --skip-unreadable goes on without it") from error
            skipped.append(str(error))
        if on_progress is not None:
            on_progress(number, len(inputs))
    if not good:
        raise DataError("no input can be read:\n  " + "\n  ".join(skipped))
    return Readable(good, skipped)


def read_image(path: Path) -> Pixels:
    """H×W×3, RGB, 8-bit; grey ones three times, transparency left out. Raises DataError."""
    return np.ascontiguousarray(decode(path, cv2.IMREAD_COLOR)[..., ::-1])


class Video(NamedTuple):
    """A video that is open."""

    frames: Iterator[Pixels]
    """H×W×3, RGB; at least one."""
    length: int
    """How many frames it says it has; 0 if it does not say."""
    rate: float
    """Frames a second."""


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """A video's frames, as long as the block lasts. Raises DataError if there is not even one."""
    capture = cv2.VideoCapture(str(path))
    try:
        opened, first = capture.read() if capture.isOpened() else (False, None)
        if not opened:
            raise DataError(
                f"{shown(path)}: got no frame; allowed: a video that OpenCV can read here (its build decides which)"
            )
        count, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), capture.get(cv2.CAP_PROP_FPS)
        yield Video(_frames(capture, first), max(count, 0), rate if 0 < rate <= 1000 else DEFAULT_RATE)
    finally:
        capture.release()


class VideoFile:
    """An .mp4 that is being written: frames H×W×3, RGB, all of one size; it appears whole or not at all."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._written = ExitStack()

    def add(self, frame: Pixels) -> None:
        """Write a frame; an odd last row or column comes twice. Raises `StdcLabError` if no codec is there."""
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # the codec cannot do odd sizes
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            partial = self._written.enter_context(writing(self._path, ending=".partial.mp4"))
            self._writer = cv2.VideoWriter(str(partial), codec, self._rate, (frame.shape[1], frame.shape[0]))
        if not self._writer.isOpened():
            raise StdcLabError(
                f"{self._path}: cannot be written: this build of OpenCV has no codec for mp4v (MPEG-4), or the folder "
                "is not writable; use frames as images instead, or install opencv-python-headless from PyPI"
            )
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if self._writer is not None:
            self._writer.release()
        self._written.__exit__(kind, *rest)


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_ENDINGS and file.is_file())
        if not found:
            raise DataError(f"{shown(path)}: got no image; allowed: a folder with files {', '.join(IMAGE_ENDINGS)}")
        return found
    if not path.exists():
        raise DataError(f"{shown(path)}: no such file; allowed: an image, a folder of images, or a video")
    if path.suffix.lower() not in IMAGE_ENDINGS + VIDEO_ENDINGS:
        raise DataError(
            f"{shown(path)}: got {path.suffix or 'no ending'!r}; allowed: images {', '.join(IMAGE_ENDINGS)}, "
            f"videos {', '.join(VIDEO_ENDINGS)}"
        )
    return [path]


def _frames(capture: cv2.VideoCapture, frame: Any) -> Iterator[Pixels]:
    there = True
    while there:
        yield np.ascontiguousarray(frame[..., ::-1])
        there, frame = capture.read()
