"""What a key of a search space may be, and under which condition: ranges, choices, and what is written shorter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.config.choosers import Chooser, Scalar
from stdc_lab.config.values import Value

MOST_SHOWN = 512
"""A range of more whole numbers than this is checked at so many of them."""


class Between(Value):
    """Numbers from `low` to `high`, both included; an end that is left out is open."""

    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("low or high is needed, or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"an empty range: low {self.low:g} is above high {self.high:g}")
        return self


Allowed = Scalar | Annotated[tuple[Scalar | tuple[int, ...], ...], Field(min_length=1)] | Between
"""What another key has to be: one value, one of a list of values (of which each may be a list), or a range."""


class Range(Value):
    """What all kinds of ranges have in common."""

    when: dict[str, Allowed] = Field(default_factory=dict)
    """Keys of the space and what each has to be for this one to vary; else it is as in the base."""

    def choose(self, name: str, chooser: Chooser) -> Any:
        """Have a value picked."""
        raise NotImplementedError

    def every(self) -> Iterable[Any]:
        """All values, or those that show what the range holds."""
        raise NotImplementedError

    def count(self) -> int | None:
        """How many values there are; None for a continuum."""
        raise NotImplementedError

    def holds(self, value: Any) -> bool:
        """Whether a value, as the storage names it, is in the range."""
        raise NotImplementedError


class IntRange(Range):
    """Whole numbers from `low` to `high`, both included; drawn evenly in the logarithm with `log`."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an empty range: low {self.low} is above high {self.high}")
        if (self.high - self.low) % self.step:
            raise ValueError(f"high {self.high} is no whole number of steps ({self.step}) above low {self.low}")
        if self.log and self.low < 1:
            raise ValueError(f"a logarithmic range needs low above 0, got {self.low}")
        if self.log and self.step != 1:
            raise ValueError(f"step ({self.step}) and log exclude each other: leave one out")
        return self

    def choose(self, name: str, chooser: Chooser) -> int:
        return chooser.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def every(self) -> Iterable[int]:
        values = range(self.low, self.high + 1, self.step)
        if len(values) <= MOST_SHOWN:
            return values
        return (*values[: MOST_SHOWN // 2], *values[-MOST_SHOWN // 2 :])

    def count(self) -> int:
        return len(range(self.low, self.high + 1, self.step))

    def holds(self, value: Any) -> bool:
        return _is_whole(value) and self.low <= value <= self.high and (value - self.low) % self.step == 0


class FloatRange(Range):
    """Numbers from `low` to `high`; drawn evenly in the logarithm with `log`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an empty range: low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low above 0, got {self.low}")
        return self

    def choose(self, name: str, chooser: Chooser) -> float:
        return chooser.suggest_float(name, self.low, self.high, log=self.log)

    def every(self) -> Iterable[float]:
        return (self.low, self.high)

    def count(self) -> int | None:
        return 1 if self.low == self.high else None

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(Range):
    """One of a few values; a value may be a list, such as a kernel schedule."""

    type: Literal["choice"]
    values: Annotated[tuple[Scalar | tuple[int, ...], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = [label(value) for value in self.values]
        if len(set(labels)) != len(labels):
            raise ValueError("the same value twice")
        return self

    def choose(self, name: str, chooser: Chooser) -> Scalar | tuple[int, ...]:
        labels = [label(value) for value in self.values]
        picked = chooser.suggest_categorical(name, labels)
        return next(value for value, name in zip(self.values, labels, strict=True) if name == picked)

    def every(self) -> Iterable[Scalar | tuple[int, ...]]:
        return self.values

    def count(self) -> int:
        return len(self.values)

    def holds(self, value: Any) -> bool:
        return value in [label(choice) for choice in self.values]


Varied = IntRange | FloatRange | Choices


class Stages(Range):
    """A value of its own for each stage: short for `depths.stage3`, `depths.stage4` … with one range for all of them,
    or one for each."""

    type: Literal["stages"]
    of: (
        Annotated[IntRange | Choices, Field(discriminator="type")]
        | tuple[Annotated[IntRange | Choices, Field(discriminator="type")], ...]
    )

    def expanded(self, key: str, stages: Sequence[str]) -> dict[str, Varied]:
        """The range of each stage's key. Raises ValueError if there are not as many ranges as stages."""
        ranges = self.of if isinstance(self.of, tuple) else (self.of,) * len(stages)
        if len(ranges) != len(stages):
            raise ValueError(f"vary.{key}: got {len(ranges)} ranges; allowed: one, or one for each of {len(stages)}")
        if any(one.when for one in ranges):
            raise ValueError(f"vary.{key}: when stands beside `of`, for all stages, not in it")
        return {stage: one.replace(when=self.when) for stage, one in zip(stages, ranges, strict=True)}


class Schedules(Range):
    """Every kernel schedule of `blocks` blocks with these sides: short for a choice of them all. A module with more
    blocks goes on with the last kernel."""

    type: Literal["schedules"]
    sides: Annotated[tuple[int, ...], Field(min_length=1)]
    blocks: Annotated[int, Field(ge=1, le=4)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.sides)) != len(self.sides):
            raise ValueError("the same side twice")
        return self

    def expanded(self) -> Choices:
        """The schedules as a choice."""
        return Choices(type="choice", values=tuple(itertools.product(self.sides, repeat=self.blocks)), when=self.when)


Written = Annotated[IntRange | FloatRange | Choices | Stages | Schedules, Field(discriminator="type")]


def label(value: Scalar | tuple[int, ...]) -> Scalar:
    """A choice as Optuna stores it: a list becomes text, such as `1-3-3`; an empty one `none`."""
    if isinstance(value, tuple):
        return "-".join(str(item) for item in value) or "none"
    return value


def meets(allowed: Allowed, value: Any) -> bool:
    """Whether a value is as a condition asks."""
    if isinstance(allowed, Between):
        low = allowed.low is None or value >= allowed.low
        return low and (allowed.high is None or value <= allowed.high)
    options = allowed if isinstance(allowed, tuple) else (allowed,)
    # True is no 1 here, but 1.0 is.
    return any(isinstance(value, bool) == isinstance(option, bool) and value == option for option in options)


def is_active(varied: Varied, chosen: Mapping[str, Any]) -> bool:
    """Whether all conditions of a range hold; a key that does not vary itself meets none."""
    return all(key in chosen and meets(allowed, chosen[key]) for key, allowed in varied.when.items())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
