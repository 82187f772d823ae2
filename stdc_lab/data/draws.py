"""What is random about the change of an image: numbers that are drawn first, and mapped by a configuration later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stdc_lab.config.training import Augmentation


@dataclass(frozen=True)
class Draws:
    """All that is random about the change of one image: numbers from 0 up to 1, which a configuration maps.

    They are drawn in one go, before any of them is used. So trainings of one seed that augment differently, with
    other scales, another crop, no colour or no flip, still share each number that both of them use.
    """

    flip: float
    scale: float
    row: float
    column: float
    brightness: float
    contrast: float
    saturation: float

    @property
    def flips(self) -> bool:
        """Whether an image is mirrored, where it may be."""
        return self.flip < 0.5


def draw(rng: np.random.Generator) -> Draws:
    """The numbers of one image, in the order of the fields: a new field comes last, or all others change."""
    return Draws(*map(float, rng.random(7)))


def drawn_scale(config: Augmentation, draws: Draws) -> float:
    """The scale of an image: anywhere between the configured ones, or at one of their steps."""
    low, high = config.scale
    if config.scale_step is None:
        return low + (high - low) * draws.scale
    # Each step of the range is as likely as the others, both ends included.
    steps = round((high - low) / config.scale_step)
    return low + config.scale_step * one_of(steps + 1, draws.scale)


def drawn_factors(strength: float, draws: Draws) -> tuple[float, float, float]:
    """Of brightness, contrast and saturation, each in 1 ± strength."""
    brightness, contrast, saturation = (
        1 - strength + 2 * strength * drawn for drawn in (draws.brightness, draws.contrast, draws.saturation)
    )
    return brightness, contrast, saturation


def one_of(count: int, drawn: float) -> int:
    """The whole number below `count` that a number from 0 up to 1 stands for, each as likely as the others."""
    return int(drawn * count)
