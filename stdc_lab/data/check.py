"""Everything that is in a data set, and everything that is wrong with it, from the files themselves."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stdc_lab.config.data import DataConfig
from stdc_lab.config.values import Value, show_size
from stdc_lab.data.catalog import Progress, find_source
from stdc_lab.data.files import Fault, Problem, shown
from stdc_lab.data.source import Source

_READERS = 4
"""Files that are decoded at the same time, at most; each is a few megabytes while it is looked at."""


class FoundProblem(Value):
    """Something wrong with a data set."""

    kind: Fault
    where: str
    what: str


class PartCheck(Value):
    """Training or validation."""

    images: int
    """Pairs of an image and its labels."""
    sizes: dict[str, int]
    """How many images have which height x width."""
    labelled_share: float | None
    """Share of the pixels that have a class; null without pixels."""


class ClassCheck(Value):
    """How often a class occurs."""

    name: str
    colour: tuple[int, int, int]
    pixels: int
    share: float | None
    """Share of the labelled pixels, training and validation together; null without any."""
    images: dict[str, int]
    """In how many images of each part."""


class DataCheck(Value):
    """What a data set holds and what is wrong with it."""

    dataset: str
    folder: str | None
    layout: str
    variant: dict[str, str]
    """What of it was chosen where there is a choice, such as its split."""
    parts: dict[str, PartCheck]
    classes: tuple[ClassCheck, ...]
    problems: tuple[FoundProblem, ...]

    @property
    def clean(self) -> bool:
        return not self.problems


@dataclass
class _Tally:
    """Counts of one part."""

    num_classes: int
    images: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    all_pixels: int = 0
    pixels: NDArray[np.int64] = field(init=False)
    present: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.pixels, self.present = (np.zeros(self.num_classes, np.int64) for _ in range(2))

    def add(self, size: tuple[int, int] | None, counts: NDArray[np.int64] | None) -> None:
        self.images += 1
        if size is not None:
            self.sizes[show_size(size)] += 1
        if counts is not None:
            self.all_pixels += int(counts.sum())
            self.pixels += counts[: self.num_classes]
            self.present += counts[: self.num_classes] > 0

    def result(self) -> PartCheck:
        share = int(self.pixels.sum()) / self.all_pixels if self.all_pixels else None
        return PartCheck(images=self.images, sizes=dict(self.sizes.most_common()), labelled_share=share)


def check_dataset(config: DataConfig, path: Path | None = None, progress: Progress | None = None) -> DataCheck:
    """Walk a data set, file by file. What is wrong is in the result, and raised only if nothing can be walked.

    Raises DataError for a folder that is missing or no such data set, ConfigError for a wrong `classes.yaml`.
    """
    report = progress or (lambda what, done, total: None)
    source = find_source(config, path)
    problems = list(source.problems)
    tallies = {}
    for part, length in source.lengths.items():
        tallies[part] = tally = _Tally(len(source.class_names))
        for number, found in enumerate(_looks(source, part, length), 1):
            tally.add(found.size, found.counts)
            problems += found.problems
            report(f"{config.name} {part}", number, length)
    return _summary(config, source, tallies, problems)


@dataclass(frozen=True)
class _Look:
    """What is kept of a pair of files once it was looked at."""

    size: tuple[int, int] | None
    counts: NDArray[np.int64] | None
    """Pixels of each of 256 labels."""
    problems: list[Problem]


def _looks(source: Source, part: str, length: int) -> Iterator[_Look]:
    """Each pair in order, decoded by a few threads; what is not looked at yet is dropped if the walk is left."""
    pool = ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1))
    try:
        yield from pool.map(partial(_look, source, part), range(length))
    finally:
        pool.shutdown(cancel_futures=True)


def _look(source: Source, part: str, number: int) -> _Look:
    image, labels, problems = source.examine(part, number)
    size = None if image is None else (image.shape[0], image.shape[1])
    return _Look(size, None if labels is None else np.bincount(labels.ravel(), minlength=256), problems)


def _summary(config: DataConfig, source: Source, tallies: dict[str, _Tally], problems: list[Problem]) -> DataCheck:
    folder = None if source.folder is None else shown(source.folder)
    names, colours = source.class_names, source.class_colours
    pixels = sum((tally.pixels for tally in tallies.values()), np.zeros(len(names), np.int64))
    total = int(pixels.sum())
    for label in np.flatnonzero(pixels == 0):
        what = f"got no pixel of class {int(label)} ({names[label]}) in any image; allowed: classes that occur"
        problems.append(Problem("class", folder or config.name, what))
    return DataCheck(
        dataset=config.name,
        folder=folder,
        layout=source.layout,
        variant=config.variant,
        parts={part: tally.result() for part, tally in tallies.items()},
        classes=tuple(
            ClassCheck(
                name=name,
                colour=tuple(int(channel) for channel in colours[label]),
                pixels=int(pixels[label]),
                share=int(pixels[label]) / total if total else None,
                images={part: int(tally.present[label]) for part, tally in tallies.items()},
            )
            for label, name in enumerate(names)
        ),
        problems=tuple(FoundProblem(**problem._asdict()) for problem in problems),
    )
