"""A data set by name: its training and validation split as memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from stdc_lab.config.data import DataConfig
from stdc_lab.data.cache import Part, cached_parts, contents_of, digest
from stdc_lab.data.classes import Pixels
from stdc_lab.data.kinds import kind_of
from stdc_lab.data.source import Source
from stdc_lab.errors import DataError

Progress = Callable[[str, int, int], None]
"""Told what is being built, how many frames are done, and how many there will be."""


@dataclass(frozen=True)
class Split:
    """Images with their labels."""

    images: Pixels
    """N×H×W×3, RGB."""
    labels: Pixels
    """N×H×W, class ids, 255 where nothing counts."""
    names: tuple[str, ...]
    known_contents: str | None = None
    """`contents`, where it is known without a look at every pixel."""

    def __post_init__(self) -> None:
        if self.images.shape != (*self.labels.shape, 3) or len(self.names) != len(self.images):
            raise ValueError(
                f"a split is N×H×W×3 images, N×H×W labels and N names; got {self.images.shape}, {self.labels.shape} "
                f"and {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def contents(self) -> str:
        """A digest of images and labels: equal for equal pixels in equal order, whatever their files are called."""
        return contents_of(self.images, self.labels) if self.known_contents is None else self.known_contents


@dataclass(frozen=True)
class Dataset:
    """What a training learns from and is measured on."""

    name: str
    train: Split
    val: Split
    class_names: tuple[str, ...]
    class_colours: Pixels
    """Classes×3, RGB."""

    @property
    def part_contents(self) -> dict[str, str]:
        """The contents of each part."""
        return {"train": self.train.contents, "val": self.val.contents}

    @property
    def contents(self) -> str:
        """A digest of all that a training sees of it: images and labels of both parts, and the classes."""
        return digest({**self.part_contents, "classes": self.class_names})

    @property
    def legend(self) -> dict[str, str]:
        """The classes' names in their order, each with its colour as `#rrggbb`."""
        colours = ("#" + bytes(colour).hex() for colour in np.asarray(self.class_colours, np.uint8))
        return dict(zip(self.class_names, colours, strict=True))


def load_dataset(
    config: DataConfig, path: Path | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Dataset:
    """The data set that `config` names, built into the cache first if it is not there.

    `path` is the folder of a data set that is not made here. Raises DataError if it is missing, superfluous or wrong,
    and if the cache cannot be written; ConfigError for a wrong `classes.yaml`.
    """
    report = progress or (lambda what, done, total: None)
    source = find_source(config, path)
    refuse_problems(config.name, source)
    parts = {}
    for part, length in source.lengths.items():
        done = partial(_tell, report, f"{config.name} {part}", length)
        parts[part] = Part(length, partial(source.frames, part, config.size, done), source.may_skip)
    arrays = cached_parts(config.name, source.content(config.size), config.size, parts, cache)
    known = source.known_contents(config.size)
    train, val = (
        Split(kept.images, kept.labels, kept.names, known.get(part, kept.contents))
        for part, kept in ((part, arrays[part]) for part in ("train", "val"))
    )
    return Dataset(config.name, train, val, source.class_names, source.class_colours)


def find_source(config: DataConfig, path: Path | None) -> Source:
    """A data set that can be read frame by frame, with what is wrong with its lists and pairs.

    Raises DataError, or ConfigError for a `classes.yaml`, if nothing can be made of the folder at all.
    """
    return kind_of(config.name).open(config, path)


def refuse_problems(name: str, source: Source) -> None:
    """Raise DataError if anything is wrong with lists or pairs."""
    if source.problems:
        first, *others = source.problems
        more = f"\n({len(others)} more; all of it: stdc-lab data check {name} --data {name}=PATH)"
        raise DataError(f"{first}{more if others else ''}")


def _tell(report: Progress, what: str, total: int, done: int) -> None:
    report(what, done, total)
