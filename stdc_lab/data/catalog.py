"""A data set by name: its training and validation split as memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from stdc_lab.config.data import DataConfig
from stdc_lab.data.cache import Arrays, Frame, Part, cached_parts, contents_of, digest
from stdc_lab.data.camvid import camvid_source
from stdc_lab.data.cityscapes import cityscapes_source
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, Pixels
from stdc_lab.data.files import shown
from stdc_lab.data.folder import folder_source
from stdc_lab.data.scenes import GENERATOR_VERSION, render_scene
from stdc_lab.data.source import Source, source_content, source_frames
from stdc_lab.errors import DataError

Progress = Callable[[str, int, int], None]
"""Told what is being built, how many frames are done, and how many there will be."""

_FIRST_VAL_SCENE = 1_000_000
"""Validation scenes have indices of their own, beyond the most training scenes that a configuration allows."""


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
    if config.name == "scenes":
        content, parts = _scenes(config, path, report)
        names, colours = CLASS_NAMES, CLASS_COLOURS
    else:
        source = find_source(config, path)
        source.refuse()
        content, parts = source_content(source, config.size, config.skip_unreadable), _parts(source, config, report)
        names, colours = source.class_names, source.class_colours
    arrays = cached_parts(config.name, content, config.size, parts, cache)
    if config.name == "scenes":
        arrays = {part: kept._replace(contents=_scene_contents(content, part)) for part, kept in arrays.items()}
    return Dataset(config.name, _split(arrays["train"]), _split(arrays["val"]), names, colours)


def find_source(config: DataConfig, path: Path | None) -> Source:
    """The files of a data set that is not made here, with what is wrong with their lists and pairs.

    Raises DataError, or ConfigError for a `classes.yaml`, if nothing can be made of the folder at all.
    """
    name = config.name
    if path is None:
        raise DataError(f"{name}: no folder was given; say where it is with --data {name}=PATH")
    folder = path.expanduser()
    if not folder.is_dir():
        raise DataError(f"{name}: {shown(folder)} is no folder; say where it is with --data {name}=PATH")
    if name == "cityscapes":
        return cityscapes_source(folder)
    return folder_source(folder) if name == "folder" else camvid_source(folder, config)


def scene_frames(config: DataConfig, path: Path | None) -> dict[str, Part]:
    """The synthetic scenes, training and validation, drawn when they are asked for. Raises DataError for a folder."""
    if path is not None:
        raise DataError(f"--data scenes={shown(path)}: scenes are made here and take no folder; leave --data out")

    def frames(part: str, first: int, count: int) -> Iterator[Frame]:
        for number in range(count):
            image, labels = render_scene(config.seed, first + number, *config.size)
            yield Frame(f"{part}_{number:06d}", image, labels)

    counts = _scene_counts(config)
    return {part: Part(count, partial(frames, part, first, count)) for part, (first, count) in counts.items()}


def _split(arrays: Arrays) -> Split:
    return Split(arrays.images, arrays.labels, arrays.names, arrays.contents)


def _scene_counts(config: DataConfig) -> dict[str, tuple[int, int]]:
    """Index of the first scene of each part, and how many follow."""
    return {"train": (0, config.train_images), "val": (_FIRST_VAL_SCENE, config.val_images)}


def _scenes(config: DataConfig, path: Path | None, report: Progress) -> tuple[dict[str, Any], dict[str, Part]]:
    parts = scene_frames(config, path)
    content = {
        "dataset": "scenes",
        "generator": GENERATOR_VERSION,
        "size": list(config.size),
        "seed": config.seed,
        "parts": {part: list(count) for part, count in _scene_counts(config).items()},
    }

    def frames(part: str) -> Iterator[Frame]:
        for number, frame in enumerate(parts[part].frames(), 1):
            yield frame
            report(f"scenes {part}", number, parts[part].length)

    return content, {part: Part(source.length, partial(frames, part)) for part, source in parts.items()}


def _scene_contents(content: Mapping[str, Any], part: str) -> str:
    """Of scenes it follows from what they are drawn by: processors may round a pixel of theirs differently."""
    return digest({**content, "parts": {part: content["parts"][part]}})


def _parts(source: Source, config: DataConfig, report: Progress) -> dict[str, Part]:
    def frames(part: str) -> Iterator[Frame]:
        pairs = source.parts[part]
        done = partial(_tell, report, f"{source.name} {part}", len(pairs))
        return source_frames(source, pairs, config.size, done, config.skip_unreadable)

    return {
        part: Part(len(pairs), partial(frames, part), config.skip_unreadable) for part, pairs in source.parts.items()
    }


def _tell(report: Progress, what: str, total: int, done: int) -> None:
    report(what, done, total)
