"""Bounds on figures: limits of a space, `macs <= 8e9 at 512x1024`, and constraints of a study, `latency_ms <= 20`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import Cost, operations, peak, total_cost
from stdc_lab.config.figures import FIGURES, FigureName, figure_of
from stdc_lab.config.values import Value, parse_size, show_size

Interval = tuple[float, float]
"""Of 95 % confidence, for a figure that scatters."""
_SYNTAX = re.compile(
    r"\s*(?P<figure>\w+|iou\.[^<>=]+?)\s*(?P<relation><=|>=)\s*"
    r"(?P<value>[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?)\s*(at\s+(?P<size>\d+\s*[x×]\s*\d+))?\s*"
)
_LIMITS = "`macs <= 8e9 at 512x1024`, `num_params <= 10e6`"


class Bound(Value):
    """What a figure is to be at most or at least; written `latency_ms <= 20`, or `macs <= 8e9 at 512x1024`.

    One rule for screening, the sampler, the front and the table: a bound is broken where the whole interval of the
    figure lies beyond it. A figure that is exact has no interval, and is taken as it is.
    """

    figure: FigureName
    at_most: bool
    value: float
    size: tuple[int, int] | None = None
    """Height × width of the image, for what theory says at another size than the study's."""

    def __str__(self) -> str:
        value = repr(int(self.value)) if self.value == int(self.value) else repr(self.value)
        size = f" at {show_size(self.size)}" if self.size is not None else ""
        return f"{self.figure} {'<=' if self.at_most else '>='} {value}{size}"

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
        shares = [(one - self.value) / self.value for one in (value, *(interval or ()))]
        return shares if self.at_most else [-share for share in shares]


class Theory:
    """What theory says of a network for one image of a size, each count made once and only if it is asked for."""

    def __init__(self, spec: ArchSpec, size: tuple[int, int], num_classes: int) -> None:
        self._of = (spec, size, num_classes)

    @cached_property
    def cost(self) -> Cost:
        return total_cost(*self._of)

    @cached_property
    def peak_activations(self) -> int:
        return peak(operations(*self._of)).elements


OF_THEORY: dict[str, Callable[[Theory], int]] = {
    "macs": lambda theory: theory.cost.macs,
    "num_params": lambda theory: theory.cost.num_params,
    "activations": lambda theory: theory.cost.activations,
    "peak_activations": lambda theory: theory.peak_activations,
}
"""How a limit reads the figures of theory."""


class Checked(NamedTuple):
    """A limit and how a network stands to it."""

    limit: Bound
    value: int
    excess: float
    """Above 0: the limit is not met."""


def check_limits(limits: Sequence[Bound], spec: ArchSpec, num_classes: int) -> list[Checked]:
    """What theory says of a network, beside each limit. Nothing is built; about 0.2 ms for each size (peak: 2 ms)."""
    some_size = next((limit.size for limit in limits if limit.size is not None), (512, 1024))
    sizes = [limit.size or some_size for limit in limits]  # parameters are the same at every size
    theories = {size: Theory(spec, size, num_classes) for size in sizes}
    pairs = ((limit, OF_THEORY[limit.figure](theories[size])) for limit, size in zip(limits, sizes, strict=True))
    return [Checked(limit, value, limit.excess(value)) for limit, value in pairs]


def parse_constraint(value: Any) -> Any:
    """A bound on a figure that a trial measures, from its text. Raises ValueError."""
    if isinstance(value, Bound):
        return value
    match = _SYNTAX.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["size"] is not None:
        raise ValueError(f"got {value!r}; allowed: a constraint such as `latency_ms <= 20` or `miou >= 0.3`")
    return _bound(match, None)


def parse_limit(value: Any) -> Any:
    """A bound on a figure of the inference graph by theory, for one image, from its text. Raises ValueError."""
    if isinstance(value, Bound):
        return value
    match = _SYNTAX.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"got {value!r}; allowed: a limit such as {_LIMITS}, with <= or >=")
    names = [figure.name for figure in FIGURES.values() if figure.source == "theory"]
    if match["figure"] not in names:
        raise ValueError(f"got {match['figure']!r}; allowed: {', '.join(names)}, such as {_LIMITS}")
    one, size = FIGURES[match["figure"]], match["size"]
    if one.sized and size is None:
        raise ValueError(f"got {value!r}; allowed: with a size, such as {value.strip()} at 512x1024")
    if size is not None and not one.sized:
        raise ValueError(f"got {value!r}; allowed: without a size, on which {one.in_words} do not depend")
    if size is not None and not all(32 <= side <= 8192 for side in parse_size(size)):
        raise ValueError(f"got {value!r}; allowed: sides from 32 to 8192 pixels")
    return _bound(match, None if size is None else parse_size(size))


def _bound(match: re.Match[str], size: tuple[int, int] | None) -> Bound:
    value = float(match["value"])
    if value <= 0:
        raise ValueError(f"got {match[0]!r}; allowed: a bound above 0")
    return Bound(figure=figure_of(match["figure"]).name, at_most=match["relation"] == "<=", value=value, size=size)


ConstraintText = Annotated[Bound, BeforeValidator(parse_constraint), PlainSerializer(str)]
LimitText = Annotated[Bound, BeforeValidator(parse_limit), PlainSerializer(str)]
