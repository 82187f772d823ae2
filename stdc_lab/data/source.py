"""A data set that can be read frame by frame; most lie in a folder: pairs of files, and what their labels mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from stdc_lab.data.cache import Frame
from stdc_lab.data.classes import Pixels
from stdc_lab.data.files import Problem, decode, resize_image, resize_labels, shown, size_and_time
from stdc_lab.data.labels import LabelCode, read_labels
from stdc_lab.errors import DataError

_log = logging.getLogger(__name__)


class Pair(NamedTuple):
    """An image and its labels, as paths relative to the data's folder."""

    name: str
    image: str
    labels: str


class Examined(NamedTuple):
    """A pair of an image and its labels as it was found."""

    image: Pixels | None
    """H×W×3, RGB; None if it cannot be read."""
    labels: Pixels | None
    """H×W, class ids; None if they cannot be read."""
    problems: list[Problem]


class Source(Protocol):
    """A data set, from files or drawn: what it holds, and everything found wrong on the way."""

    @property
    def folder(self) -> Path | None: ...
    @property
    def layout(self) -> str:
        """In words: how the folder is laid out."""

    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def class_colours(self) -> Pixels:
        """Classes×3, RGB."""

    @property
    def problems(self) -> tuple[Problem, ...]: ...
    @property
    def lengths(self) -> Mapping[str, int]:
        """How many pairs `train` and `val` have."""

    @property
    def may_skip(self) -> bool:
        """Whether `frames` may leave some out."""

    def examine(self, part: str, number: int) -> Examined:
        """A pair at its own size, and everything that is wrong with it."""

    def frames(
        self, part: str, size: tuple[int, int], done: Callable[[int], None], numbers: Sequence[int] | None = None
    ) -> Iterator[Frame]:
        """A part, or these of its pairs, resized to `size` (H×W); `done` is told how many are. Raises DataError."""

    def content(self, size: tuple[int, int]) -> dict[str, Any]:
        """What determines the cached arrays. Raises DataError."""

    def known_contents(self, size: tuple[int, int]) -> dict[str, str]:
        """`Split.contents` of each part where it follows from other things than from all pixels."""


@dataclass(frozen=True)
class FileSource:
    """Where images and labels are, which of them are for training, and everything found wrong on the way."""

    name: str
    folder: Path
    layout: str
    """In words: how the folder is laid out."""
    class_names: tuple[str, ...]
    class_colours: Pixels
    """Classes×3, RGB."""
    code: LabelCode
    parts: Mapping[str, Sequence[Pair]]
    """`train` and `val`."""
    problems: tuple[Problem, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What determines the labels beside the files themselves, for the cache's key."""
    may_skip: bool = False

    @property
    def lengths(self) -> dict[str, int]:
        return {part: len(pairs) for part, pairs in self.parts.items()}

    def examine(self, part: str, number: int) -> Examined:
        return examine(self, self.parts[part][number])

    def frames(
        self, part: str, size: tuple[int, int], done: Callable[[int], None], numbers: Sequence[int] | None = None
    ) -> Iterator[Frame]:
        pairs = self.parts[part]
        return _frames(self, pairs if numbers is None else [pairs[number] for number in numbers], size, done)

    def content(self, size: tuple[int, int]) -> dict[str, Any]:
        """Size and time of each file, and which part it is in."""
        files = {
            part: [[path, *size_and_time(self.folder, path)] for pair in pairs for path in (pair.image, pair.labels)]
            for part, pairs in self.parts.items()
        }
        skips = {"skip_unreadable": True} if self.may_skip else {}
        return {**skips, "dataset": self.name, "size": list(size), "parts": files, **self.recipe}

    def known_contents(self, size: tuple[int, int]) -> dict[str, str]:
        return {}


def examine(source: FileSource, pair: Pair) -> Examined:
    """Both files of a pair, decoded, and everything that is wrong with them."""
    problems: list[Problem] = []
    decoded = [
        _decoded(source.folder / path, mode, problems)
        for path, mode in ((pair.image, cv2.IMREAD_COLOR), (pair.labels, cv2.IMREAD_UNCHANGED))
    ]
    image = None if decoded[0] is None else np.ascontiguousarray(decoded[0][..., ::-1])
    labels = None
    if decoded[1] is not None:
        where = shown(source.folder / pair.labels)
        if image is not None and decoded[1].shape[:2] != image.shape[:2]:
            got, wanted = decoded[1].shape, image.shape
            allowed = f"the size of its image {shown(pair.image)}, {wanted[0]}x{wanted[1]}"
            problems.append(Problem("size", where, f"got {got[0]}x{got[1]}; allowed: {allowed}"))
        labels = _labels(where, decoded[1], source.code, problems)
    return Examined(image, labels, problems)


def _frames(
    source: FileSource, pairs: Sequence[Pair], size: tuple[int, int], done: Callable[[int], None]
) -> Iterator[Frame]:
    """Each pair decoded and resized. What cannot be read is left out, with a warning that names it, if it may be.

    Raises DataError for whatever else is wrong, and if nothing is left.
    """
    strays, left_out = 0, 0
    for number, pair in enumerate(pairs, 1):
        image, labels, problems = examine(source, pair)
        unreadable = [problem for problem in problems if problem.kind == "file"]
        if source.may_skip and unreadable:
            _log.warning("left out: %s", unreadable[0])
            left_out += 1
            done(number)
            continue
        for problem in problems:
            if problem.kind == "file":
                raise DataError(f"{problem}; data.skip_unreadable: true leaves such images out")
            if problem.kind != "stray":
                raise DataError(str(problem))
        assert image is not None and labels is not None  # or there would be a problem
        strays += bool(problems)
        yield Frame(pair.name, resize_image(image, size), resize_labels(labels, size))
        done(number)
    if pairs and left_out == len(pairs):
        raise DataError(f"{source.name}: got {left_out} images, none of which can be read; allowed: at least one")
    if strays:
        _log.warning(
            "%s: a few pixels are no class in %d of the label files; they are ignored. "
            "To list them: stdc-lab data check %s --data …",
            source.name,
            strays,
            source.name,
        )


def each_once(parts: Mapping[str, Sequence[Pair]], folder: Path, lists: str) -> list[Problem]:
    """Images that are listed more than once: in two parts, or twice in one."""
    seen: set[str] = set()
    problems = []
    for pair in (pair for pairs in parts.values() for pair in pairs):
        if pair.image in seen:
            what = f"got {shown(pair.image)} twice in {lists}; allowed: each image once"
            problems.append(Problem("split", shown(folder), what))
        seen.add(pair.image)
    return problems


def _decoded(path: Path, mode: int, problems: list[Problem]) -> Pixels | None:
    try:
        return decode(path, mode)
    except DataError as error:
        where = shown(path)
        problems.append(Problem("file" if path.exists() else "pair", where, str(error).removeprefix(f"{where}: ")))
        return None


def _labels(where: str, raw: Pixels, code: LabelCode, problems: list[Problem]) -> Pixels | None:
    try:
        labels, strange, pixels = read_labels(raw, code)
    except ValueError as error:
        problems.append(Problem("labels", where, str(error)))
        return None
    if strange:
        kind = "stray" if pixels <= code.tolerance * labels.size else "labels"
        count = f"{pixels:,} of {labels.size:,} pixels"
        problems.append(Problem(kind, where, f"got {strange}; allowed: {code.allowed} ({count})"))  # type: ignore[arg-type]
    return labels
