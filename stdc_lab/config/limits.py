"""Hard limits on what theory says of a network: `macs <= 8e9 at 512x1024`, `num_params <= 10e6`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BeforeValidator, PlainSerializer

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import operations, peak, total_cost
from stdc_lab.config.values import Value, parse_size, show_size

Measure = Literal["macs", "num_params", "activations", "peak_activations"]
MEASURES: tuple[Measure, ...] = ("macs", "num_params", "activations", "peak_activations")
_SYNTAX = re.compile(
    r"\s*(?P<measure>\w+)\s*(?P<relation><=|>=)\s*(?P<bound>[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?)"
    r"\s*(at\s+(?P<size>\d+\s*[x×]\s*\d+))?\s*"
)
_FORM = "`macs <= 8e9 at 512x1024`, `num_params <= 10e6`"


class Limit(Value):
    """A bound on a figure of the inference graph by theory, for one image; written `macs <= 8e9 at 512x1024`."""

    measure: Measure
    at_most: bool
    bound: float
    size: tuple[int, int] | None
    """Height × width of the image; None for parameters, which need none."""

    def __str__(self) -> str:
        bound = repr(int(self.bound)) if self.bound == int(self.bound) else repr(self.bound)
        size = f" at {show_size(self.size)}" if self.size is not None else ""
        return f"{self.measure} {'<=' if self.at_most else '>='} {bound}{size}"

    def excess(self, value: float) -> float:
        """By what share of the bound a value lies beyond it: above 0 it is not met."""
        share = (value - self.bound) / self.bound
        return share if self.at_most else -share


class Checked(NamedTuple):
    """A limit and how a network stands to it."""

    limit: Limit
    value: int
    excess: float
    """Above 0: the limit is not met."""


def check_limits(limits: Sequence[Limit], spec: ArchSpec, num_classes: int) -> list[Checked]:
    """What theory says of a network, beside each limit. Nothing is built; about 0.2 ms for each size (peak: 2 ms)."""
    some_size = next((limit.size for limit in limits if limit.size is not None), (512, 1024))
    sizes = [limit.size or some_size for limit in limits]  # parameters are the same at every size
    values = {size: _measured(limits, size, spec, num_classes) for size in dict.fromkeys(sizes)}
    pairs = ((limit, values[size][limit.measure]) for limit, size in zip(limits, sizes, strict=True))
    return [Checked(limit, value, limit.excess(value)) for limit, value in pairs]


def parse_limit(value: Any) -> Any:
    """A limit from its text. Raises ValueError."""
    if isinstance(value, Limit):
        return value
    match = _SYNTAX.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"got {value!r}; allowed: a limit such as {_FORM}, with <= or >=")
    if match["measure"] not in MEASURES:
        raise ValueError(f"got {match['measure']!r}; allowed: {', '.join(MEASURES)}, such as {_FORM}")
    measure, bound = cast(Measure, match["measure"]), float(match["bound"])
    if bound <= 0:
        raise ValueError(f"got {value!r}; allowed: a bound above 0")
    if match["size"] is None:
        if measure != "num_params":
            raise ValueError(f"got {value!r}; allowed: with a size, such as {value.strip()} at 512x1024")
        return Limit(measure=measure, at_most=match["relation"] == "<=", bound=bound, size=None)
    if measure == "num_params":
        raise ValueError(f"got {value!r}; allowed: without a size, on which parameters do not depend")
    size = parse_size(match["size"])
    if not all(32 <= side <= 8192 for side in size):
        raise ValueError(f"got {value!r}; allowed: sides from 32 to 8192 pixels")
    return Limit(measure=measure, at_most=match["relation"] == "<=", bound=bound, size=size)


LimitText = Annotated[Limit, BeforeValidator(parse_limit), PlainSerializer(str)]


def _measured(limits: Sequence[Limit], size: tuple[int, int], spec: ArchSpec, num_classes: int) -> dict[Measure, int]:
    num_params, macs, activations = total_cost(spec, size, num_classes)
    values: dict[Measure, int] = {"num_params": num_params, "macs": macs, "activations": activations}
    if any(limit.measure == "peak_activations" and limit.size == size for limit in limits):
        values["peak_activations"] = peak(operations(spec, size, num_classes)).elements
    return values
