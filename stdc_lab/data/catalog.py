"""A data set by name: its training and validation split as memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stdc_lab.config.data import DataConfig
from stdc_lab.data.cache import Arrays, Frame, Part, cached_parts
from stdc_lab.data.camvid import camvid_content, camvid_frames, camvid_pairs
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, Pixels
from stdc_lab.data.scenes import GENERATOR_VERSION, render_scene
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

    def __post_init__(self) -> None:
        if self.images.shape != (*self.labels.shape, 3) or len(self.names) != len(self.images):
            raise ValueError(
                f"a split is N×H×W×3 images, N×H×W labels and N names; got {self.images.shape}, {self.labels.shape} "
                f"and {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Dataset:
    """What a training learns from and is measured on."""

    name: str
    train: Split
    val: Split
    class_names: tuple[str, ...]
    class_colours: Pixels
    """Classes×3, RGB."""


def load_dataset(
    config: DataConfig, path: Path | None = None, cache: Path | None = None, progress: Progress | None = None
) -> Dataset:
    """The data set that `config` names, built into the cache first if it is not there.

    `path` is the folder of a data set that is not made here. Raises DataError if it is missing, superfluous or wrong,
    and if the cache cannot be written.
    """
    report = progress or (lambda what, done, total: None)
    content, parts = _scenes(config, path, report) if config.name == "scenes" else _camvid(config, path, report)
    arrays = cached_parts(config.name, content, config.size, parts, cache)
    return Dataset(config.name, _split(arrays["train"]), _split(arrays["val"]), CLASS_NAMES, CLASS_COLOURS)


def _split(arrays: Arrays) -> Split:
    return Split(arrays.images, arrays.labels, arrays.names)


def _scenes(config: DataConfig, path: Path | None, report: Progress) -> tuple[dict[str, Any], dict[str, Part]]:
    if path is not None:
        raise DataError(f"--data scenes={path}: scenes are made here and take no folder; leave --data out")
    counts = {"train": (0, config.train_images), "val": (_FIRST_VAL_SCENE, config.val_images)}
    content = {
        "dataset": "scenes",
        "generator": GENERATOR_VERSION,
        "size": list(config.size),
        "seed": config.seed,
        "parts": {part: list(count) for part, count in counts.items()},
    }

    def frames(part: str) -> Iterator[Frame]:
        first, count = counts[part]
        for number in range(count):
            image, labels = render_scene(config.seed, first + number, *config.size)
            yield Frame(f"{part}_{number:06d}", image, labels)
            report(f"scenes {part}", number + 1, count)

    return content, {part: Part(count, partial(frames, part)) for part, (_, count) in counts.items()}


def _camvid(config: DataConfig, path: Path | None, report: Progress) -> tuple[dict[str, Any], dict[str, Part]]:
    if path is None:
        raise DataError("camvid: no folder was given; say where it is with --data camvid=PATH")
    folder = path.expanduser()
    if not folder.is_dir():
        raise DataError(f"camvid: {folder} is no folder; say where it is with --data camvid=PATH")
    pairs = camvid_pairs(folder, config)

    def frames(part: str) -> Iterator[Frame]:
        total = len(pairs[part])
        return camvid_frames(folder, pairs[part], config.size, lambda number: report(f"camvid {part}", number, total))

    parts = {part: Part(len(members), partial(frames, part)) for part, members in pairs.items()}
    return camvid_content(folder, pairs, config), parts
