"""What picks values of a search space: an Optuna trial has these methods, and so has each of these."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Scalar = bool | int | float | str


class Chooser(Protocol):
    """What picks values: an Optuna trial, or anything with these three methods."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None: ...


class EndChooser:
    """Takes the first or the last of everything, but for the keys that `pinned` gives a value."""

    def __init__(self, last: bool, pinned: Mapping[str, Any] | None = None) -> None:
        self.last = last
        self.pinned = pinned or {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self.pinned.get(name, high if self.last else low))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self.pinned.get(name, high if self.last else low))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        value: Scalar | None = self.pinned.get(name, choices[-1 if self.last else 0])
        return value


class FixedChooser:
    """Answers from a mapping. Raises KeyError for what is not in it."""

    def __init__(self, point: Mapping[str, Any]) -> None:
        self.point = point

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self.point[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self.point[name])

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        value: Scalar = self.point[name]
        return value


class RandomChooser:
    """Draws evenly, in the logarithm where that is asked for, as Optuna's random sampler does; without Optuna."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        if not log:
            return self.random.randrange(low, high + 1, step)
        # Every whole number gets the share of the logarithmic axis that is rounded to it.
        drawn = math.exp(self.random.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(high, max(low, round(drawn)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if not log:
            return self.random.uniform(low, high)
        return min(high, max(low, math.exp(self.random.uniform(math.log(low), math.log(high)))))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        return self.random.choice(choices)
