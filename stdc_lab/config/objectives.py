"""What a study optimises and what it insists on: objectives and constraints over what a trial measured."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from stdc_lab.config.values import Value

Figure = Literal[
    "miou",
    "boundary_f",
    "latency_ms",
    "latency_ratio",
    "macs",
    "num_params",
    "peak_activations",
    "peak_memory_bytes",
]


class Known(NamedTuple):
    """What is known of a figure."""

    more_is_better: bool
    title: str
    """With its unit, for a table or an axis."""


FIGURES: dict[Figure, Known] = {
    "miou": Known(True, "mIoU (validation, 0–1)"),
    "boundary_f": Known(True, "boundary F-score (validation, 0–1)"),
    "latency_ms": Known(False, "Latency at batch 1 (ms, median)"),
    "latency_ratio": Known(False, "Latency over the reference’s, timed together"),
    "macs": Known(False, "MACs"),
    "num_params": Known(False, "Parameters"),
    "peak_activations": Known(False, "Feature maps alive at once (elements)"),
    "peak_memory_bytes": Known(False, "Memory of a call, measured (bytes)"),
}
Interval = tuple[float, float]
"""Of 95 % confidence, for a figure that scatters."""
QUIET_SPREAD = 0.1
"""Interquartile range over median of a latency's calls above which the machine was not quiet."""
OF_LATENCY: tuple[Figure, ...] = ("latency_ms", "latency_ratio")
"""Figures that scatter from one timing to another."""
_RELATION = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*")


class Objective(Value):
    """A figure and whether more of it is better; written `miou`, or `maximize macs` against its usual direction."""

    figure: Figure
    maximize: bool

    def __str__(self) -> str:
        if self.maximize == FIGURES[self.figure].more_is_better:
            return self.figure
        return f"{'maximize' if self.maximize else 'minimize'} {self.figure}"


class Constraint(Value):
    """A bound on a figure; written `latency_ms <= 20`. What is known to break it is never on the front.

    One rule for screening, the sampler, the front and the table: a bound is broken where the whole interval of the
    figure lies beyond it. A figure that is exact has no interval, and is taken as it is.
    """

    figure: Figure
    at_most: bool
    bound: float

    def __str__(self) -> str:
        bound = repr(int(self.bound)) if self.bound == int(self.bound) else repr(self.bound)
        return f"{self.figure} {'<=' if self.at_most else '>='} {bound}"

    def excess(self, value: float, interval: Interval | None = None) -> float:
        """By what share of the bound a value lies beyond it, at the end of its interval that is nearest to meeting it:
        above 0 it is known not to be met."""
        return min(self._shares(value, interval))

    def is_doubtful(self, value: float, interval: Interval | None = None, *, noisy: bool = False) -> bool:
        """Whether to time again before relying on it: the interval holds the bound, or it was broken by a `noisy`
        timing."""
        shares = self._shares(value, interval)
        return max(shares) > 0 and (noisy or min(shares) <= 0)

    def _shares(self, value: float, interval: Interval | None) -> list[float]:
        """By what share of the bound the value and the ends of its interval lie beyond it."""
        shares = [(one - self.bound) / self.bound for one in (value, *(interval or ()))]
        return shares if self.at_most else [-share for share in shares]


def parse_objective(value: Any) -> Any:
    """An objective from its text. Raises ValueError."""
    if isinstance(value, Objective):
        return value
    words = value.split() if isinstance(value, str) else []
    direction = words.pop(0) if len(words) == 2 else None
    if len(words) != 1 or direction not in (None, "maximize", "minimize"):
        raise ValueError(f"got {value!r}; allowed: a figure such as miou, or `minimize macs`")
    figure = _figure(words[0])
    maximize = FIGURES[figure].more_is_better if direction is None else direction == "maximize"
    return Objective(figure=figure, maximize=maximize)


def parse_constraint(value: Any) -> Any:
    """A constraint from its text. Raises ValueError."""
    if isinstance(value, Constraint):
        return value
    match = _RELATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"got {value!r}; allowed: a constraint such as `latency_ms <= 20` or `miou >= 0.3`")
    bound = float(match[3])
    if bound <= 0:
        raise ValueError(f"got {value!r}; allowed: a bound above 0")
    return Constraint(figure=_figure(match[1]), at_most=match[2] == "<=", bound=bound)


ObjectiveText = Annotated[Objective, BeforeValidator(parse_objective), PlainSerializer(str)]
ConstraintText = Annotated[Constraint, BeforeValidator(parse_constraint), PlainSerializer(str)]
DEFAULT_OBJECTIVES = (Objective(figure="miou", maximize=True), Objective(figure="latency_ms", maximize=False))


def _figure(name: str) -> Figure:
    if name not in FIGURES:
        raise ValueError(f"got {name!r}; allowed: {', '.join(FIGURES)}")
    return name
