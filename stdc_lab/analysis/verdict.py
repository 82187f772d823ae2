"""What a table says of a contrast of arms, as a value that shows itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from stdc_lab.analysis.decisions import Asserts, VerdictText
from stdc_lab.analysis.e_values import ENOUGH

Direction = Literal["maximize", "minimize"]
REPEATED = (
    "repeated 95 % interval of the paired difference, looked at after every pair (O'Brien-Fleming spending for t)"
)
ONE_LOOK = "one look at all pairs: plain 95 % interval of the paired difference (no max_seeds was given)"
UNPAIRED = "one look at all rows: unpaired 95 % interval by Welch (there is no seed column)"
BEYOND = f"past the plan: the anytime-valid 95 % interval, and only with an e-value of {ENOUGH:.0f}"


@dataclass(frozen=True)
class Look:
    """What the first `seeds` pairs say. `interval`: repeated, or anytime-valid past the plan."""

    seeds: int
    effect: float
    interval: tuple[float, float]
    e_value: float
    verdict: VerdictText
    """Of this look by itself; what counts is the first that decides."""
    planned: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a table says of a contrast. `effect` and `interval` are signed so that more is better.

    They are those of the look that decides, the first in the order of the seeds, or of the last one if none does; so
    are `seeds`, the pairs that it saw, and `e_value`, the evidence against no difference. What was not measured is NaN.
    """

    verdict: VerdictText
    effect: float
    interval: tuple[float, float]
    seeds: int
    more_seeds: int | None
    """0 once it is decided; else the fewest that decide within the plan with a chance of one half, all that are left if
    none do, or None if nobody knows: without a plan, at its end, or where trainings diverge."""
    chance: float | None
    """Of a decision with so many more seeds."""
    e_value: float
    margin: float
    metric: str
    asserts: Asserts
    direction: Direction
    max_seeds: int | None
    weights: tuple[tuple[str, float], ...]
    """Of the arms in the contrast."""
    pairs: int
    """All pairs of the table; without seeds, the rows of the smallest arm."""
    method: str
    reason: str
    """Why it is so, in words."""
    looks: tuple[Look, ...] = ()
    diverged: tuple[tuple[str, int, int], ...] = ()
    """Arm, how many of its trainings diverged, and of how many; empty if none did."""
    divergence_p_value: float | None = None
    """Fisher's exact test of whether the arms diverge equally often; None if none did, or for more than two sides."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what was not measured is None, and so is an end of an interval that is infinite."""
        found = asdict(self)
        found["weights"] = dict(self.weights)
        found["diverged"] = {arm: {"diverged": count, "of": of} for arm, count, of in self.diverged}
        cleaned: dict[str, Any] = _without_nan(found)
        return cleaned

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.reason}"]
        lines.append(f"effect {_signed(self.effect)}, interval {_ends(self.interval)}, margin {self.margin:g}")
        lines.append(f"{self.metric}, {self.direction}; asserts {self.asserts}; {self.contrast}")
        lines.append(f"{self.seeds} of {self.pairs} {self._what} in the table; {self.method}")
        if not math.isnan(self.e_value):
            lines.append(f"e-value {self.e_value:.3g} (anytime-valid; {ENOUGH:.0f} is enough)")
        if self.divergence_p_value is not None:
            lines.append(f"diverging equally often: p = {self.divergence_p_value:.2g} (Fisher)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        first, *rest = map(escape, str(self).splitlines())
        items = "".join(f"<li>{line}</li>" for line in rest)
        head, _, tail = first.partition(":")
        return f"<div><p><strong>{head}</strong>:{tail}</p><ul>{items}</ul></div>"

    @property
    def contrast(self) -> str:
        """`guided - plain`, or the arms with their weights."""
        if sorted(weight for _, weight in self.weights) == [-1, 1]:
            treatment, control = sorted(self.weights, key=lambda item: -item[1])
            return f"{treatment[0]} - {control[0]}"
        return " ".join(f"{weight:+g} × {arm}" for arm, weight in self.weights)

    @property
    def _what(self) -> str:
        return "rows of an arm" if self.method == UNPAIRED else "pairs"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _signed(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:+.4g}"


def _ends(interval: tuple[float, float]) -> str:
    return "not known" if math.isnan(interval[0]) else f"[{interval[0]:+.4g}, {interval[1]:+.4g}]"
