"""Synthetic street scenes as a data set: drawn when they are asked for, the same wherever they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdc_lab.config.data import ScenesConfig
from stdc_lab.data.cache import Frame, digest
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, Pixels
from stdc_lab.data.files import Problem, shown
from stdc_lab.data.kinds import Kind
from stdc_lab.data.source import Examined
from stdc_lab.errors import DataError
from stdc_lab.scenery.scene import GENERATOR_VERSION, render_scene

_FIRST_VAL_SCENE = 1_000_000
"""Validation scenes have indices of their own, beyond the most training scenes that a configuration allows."""


@dataclass(frozen=True)
class Scenes:
    """The scenes of a town, training and validation."""

    config: ScenesConfig
    folder: None = None
    layout: str = "made here, at the size that is asked for"
    class_names: tuple[str, ...] = CLASS_NAMES
    problems: tuple[Problem, ...] = ()
    may_skip: bool = False

    @property
    def class_colours(self) -> Pixels:
        return CLASS_COLOURS

    @property
    def lengths(self) -> dict[str, int]:
        return {part: count for part, (_, count) in _counts(self.config).items()}

    def examine(self, part: str, number: int) -> Examined:
        image, labels = self._scene(part, number, self.config.size)
        return Examined(image, labels, [])

    def frames(
        self, part: str, size: tuple[int, int], done: Callable[[int], None], numbers: Sequence[int] | None = None
    ) -> Iterator[Frame]:
        for drawn, number in enumerate(range(self.lengths[part]) if numbers is None else numbers, 1):
            yield Frame(f"{part}_{number:06d}", *self._scene(part, number, size))
            done(drawn)

    def content(self, size: tuple[int, int]) -> dict[str, Any]:
        return {
            "dataset": "scenes",
            "generator": GENERATOR_VERSION,
            "size": list(size),
            "seed": self.config.seed,
            "parts": {part: list(count) for part, count in _counts(self.config).items()},
        }

    def known_contents(self, size: tuple[int, int]) -> dict[str, str]:
        """It follows from what they are drawn by: processors may round a pixel of theirs differently."""
        content = self.content(size)
        return {part: digest({**content, "parts": {part: count}}) for part, count in content["parts"].items()}

    def _scene(self, part: str, number: int, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        return render_scene(self.config.seed, _counts(self.config)[part][0] + number, *size)


def _counts(config: ScenesConfig) -> dict[str, tuple[int, int]]:
    """Index of the first scene of each part, and how many follow."""
    return {"train": (0, config.train_images), "val": (_FIRST_VAL_SCENE, config.val_images)}


def _open(config: ScenesConfig, path: Path | None) -> Scenes:
    if path is not None:
        raise DataError(f"--data scenes={shown(path)}: scenes are made here and take no folder; leave --data out")
    return Scenes(config)


def _describe(config: ScenesConfig) -> str:
    return f"synthetic street scenes ({config.train_images} to train, {config.val_images} to validate)"


KIND = Kind(_open, _describe, CLASS_NAMES, CLASS_COLOURS)
