"""Random numbers one at a time: a street takes thousands, and numpy's calls cost microseconds each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 2048


class Lot:
    """Draws from a generator in blocks; what it gives depends on the generator's state alone."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._uniform = _blocks(rng, normal=False)
        self._normal = _blocks(rng, normal=True)

    def chance(self, probability: float) -> bool:
        return next(self._uniform) < probability

    def random(self) -> float:
        """From 0 to 1."""
        return next(self._uniform)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._uniform)

    def normal(self, mean: float, spread: float) -> float:
        return mean + spread * next(self._normal)

    def below(self, stop: int) -> int:
        """An integer from 0 to `stop` - 1."""
        return int(next(self._uniform) * stop)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def poisson(self, mean: float) -> int:
        """By counting: for small means only."""
        count, product = 0, next(self._uniform)
        while product > math.exp(-mean):
            count, product = count + 1, product * next(self._uniform)
        return count


def _blocks(rng: np.random.Generator, normal: bool) -> Iterator[float]:
    while True:
        yield from (rng.standard_normal(_BLOCK) if normal else rng.random(_BLOCK)).tolist()
