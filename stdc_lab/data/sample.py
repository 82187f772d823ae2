"""A few frames of a data set, without building its cache."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdc_lab.config.data import DataConfig
from stdc_lab.data.cache import Frame
from stdc_lab.data.catalog import find_source, refuse_problems
from stdc_lab.data.classes import Pixels


class Samples(NamedTuple):
    """Frames and what their labels mean."""

    frames: list[Frame]
    class_names: tuple[str, ...]
    class_colours: Pixels
    """Classes×3, RGB."""


def draw_samples(config: DataConfig, path: Path | None, count: int, seed: int) -> Samples:
    """At most `count` training frames at the configured size, drawn by `seed`, each once, in their order.

    Raises DataError, or ConfigError for a `classes.yaml`.
    """
    source = find_source(config, path)
    refuse_problems(config.name, source)
    chosen = _choose(source.lengths["train"], count, seed)
    frames = list(source.frames("train", config.size, lambda done: None, chosen))
    return Samples(frames, source.class_names, source.class_colours)


def _choose(total: int, count: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return sorted(int(number) for number in rng.choice(total, min(count, total), replace=False))
