"""When an interval of a difference decides what a claim asserts, and how likely that is before the seeds are there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from stdc_lab.analysis.sequential import FIRST_LOOK, MOST_SEEDS, running, t_limits
from stdc_lab.errors import ResultsError

Asserts = Literal["better", "not_worse", "equal"]
VerdictText = Literal["undecided", "supported", "contradicted", "no difference that matters"]
VERDICTS: tuple[VerdictText, ...] = get_args(VerdictText)
UNDECIDED, SUPPORTED, CONTRADICTED, NO_DIFFERENCE = range(4)
"""Places in `VERDICTS`."""

_REPETITIONS = 20_000
_REPETITIONS_AHEAD = 2_000


def decide(low: np.ndarray, high: np.ndarray, margin: float, asserts: Asserts = "better") -> np.ndarray:
    """What intervals of a difference say, each by itself: places in `VERDICTS`, in the intervals' shape.

    low, high: ends of the intervals, of a difference signed so that more is better. margin: the smallest difference
    that matters. `better`: no difference that matters where all of it is within the margin, even without 0; else
    supported above 0, contradicted below. `not_worse`: supported above -margin, contradicted below. `equal`: supported
    within the margin, contradicted beyond it.
    """
    check_rule(margin, asserts)
    low, high = np.asarray(low), np.asarray(high)
    found = np.full(low.shape, UNDECIDED)
    within = (low > -margin) & (high < margin)
    if asserts == "better":
        found[low > 0] = SUPPORTED
        found[high < 0] = CONTRADICTED
        found[within] = NO_DIFFERENCE
    elif asserts == "not_worse":
        found[low > -margin] = SUPPORTED
        found[high < -margin] = CONTRADICTED
    else:
        found[within] = SUPPORTED
        found[(low > margin) | (high < -margin)] = CONTRADICTED
    return found


def decide_stated(interval: tuple[float, float], *, stated: float, tolerance: float) -> VerdictText:
    """What a measured figure's 95 % interval says of the figure that was stated: *supported* if all of it lies within
    the tolerance around that, *contradicted* if it is wholly outside. The tolerance's ends count as within.

    Raises `ResultsError` for a tolerance below 0, and for what is no finite number or no interval.
    """
    low, high = interval
    if not (math.isfinite(stated) and math.isfinite(tolerance) and tolerance >= 0):
        raise ResultsError(f"stated {stated}, tolerance {tolerance}; allowed: numbers, the tolerance 0 or above")
    if not low <= high:
        raise ResultsError(f"interval: got {low} to {high}; allowed: two numbers, the lower one first")
    if stated - tolerance <= low and high <= stated + tolerance:
        return "supported"
    return "contradicted" if high < stated - tolerance or low > stated + tolerance else "undecided"


def check_rule(margin: float, asserts: str) -> None:
    """Raises `ResultsError` for a margin that is no number above 0, and for what no claim asserts."""
    if isinstance(margin, bool) or not isinstance(margin, int | float | np.integer | np.floating):
        raise ResultsError(f"margin: got {margin!r}; allowed: a number above 0, the smallest difference that matters")
    if not (math.isfinite(margin) and margin > 0):
        raise ResultsError(f"margin: got {margin}; allowed: above 0, the smallest difference that matters")
    if asserts not in get_args(Asserts):
        raise ResultsError(f"asserts: got {asserts!r}; allowed: {', '.join(get_args(Asserts))}")


def first_decisions(looks: np.ndarray) -> np.ndarray:
    """Of each table the verdict of the first look that decides, as a place in `VERDICTS`. looks: R×looks, of such."""
    first = (looks != UNDECIDED).argmax(axis=1)
    return np.asarray(looks[np.arange(len(looks)), first])


def is_wrong(verdicts: np.ndarray, effect: float, margin: float, asserts: Asserts = "better") -> np.ndarray:
    """Whether verdicts (places in `VERDICTS`) are wrong where the true difference is `effect`.

    That is *supported* where the assertion is false, *contradicted* where it is true (for `better` from an effect of 0
    on: no worse than asserted is not the opposite), and *no difference that matters* where there is one.
    """
    is_false = {"better": effect <= 0, "not_worse": effect <= -margin, "equal": abs(effect) >= margin}[asserts]
    is_true = {"better": effect >= 0, "not_worse": effect >= -margin, "equal": abs(effect) <= margin}[asserts]
    wrong = (verdicts == SUPPORTED) & is_false | (verdicts == CONTRADICTED) & is_true
    return np.asarray(wrong | (verdicts == NO_DIFFERENCE) & (abs(effect) >= margin))


def chances(
    *, assumed_sd: float, margin: float, max_seeds: int, effect: float, asserts: Asserts = "better"
) -> dict[VerdictText, float]:
    """How likely each verdict is with up to `max_seeds` seeds, looking after every pair from the fourth on.

    assumed_sd: standard deviation of a paired difference, above 0. effect: the true difference. By simulation with
    normal differences, always the same ones; exact to about half a point. Raises `ResultsError`.
    """
    check_rule(margin, asserts)
    if not (math.isfinite(assumed_sd) and assumed_sd > 0):
        raise ResultsError(f"assumed_sd: got {assumed_sd}; allowed: above 0")
    return dict(zip(VERDICTS, _chances(effect / assumed_sd, margin / assumed_sd, max_seeds, asserts), strict=True))


def chance_of(
    verdict: VerdictText,
    *,
    assumed_sd: float,
    margin: float,
    max_seeds: int,
    effect: float,
    asserts: Asserts = "better",
) -> float:
    """How likely a verdict is; see `chances`."""
    found = chances(assumed_sd=assumed_sd, margin=margin, max_seeds=max_seeds, effect=effect, asserts=asserts)
    return found[verdict]


@lru_cache(maxsize=4096)
def _chances(effect: float, margin: float, max_seeds: int, asserts: Asserts) -> tuple[float, ...]:
    limits = t_limits(max_seeds)
    mean, error = _running_draws(max_seeds)
    found = first_decisions(decide(effect + mean - limits * error, effect + mean + limits * error, margin, asserts))
    return tuple((np.bincount(found, minlength=len(VERDICTS)) / len(found)).tolist())


@lru_cache(maxsize=4)
def _running_draws(max_seeds: int) -> tuple[np.ndarray, np.ndarray]:
    return running(np.random.default_rng(0).standard_normal((_REPETITIONS, max_seeds)))


@dataclass(frozen=True)
class Plan:
    """What a plan of so many seeds can find out."""

    max_seeds: int
    null_chance: float
    """Of *no difference that matters*, or of *supported* for what asserts no difference, where there is none."""
    decision_chance: float
    """Of any decision where the difference is twice the margin."""

    @property
    def can_decide(self) -> bool:
        """Whether both chances are at least one half."""
        return min(self.null_chance, self.decision_chance) >= 0.5


def plan_of(*, assumed_sd: float, margin: float, max_seeds: int, asserts: Asserts = "better") -> Plan:
    """Both chances of a plan; a claim that does not reach one half in both cannot be decided. Raises `ResultsError`."""
    none = chances(assumed_sd=assumed_sd, margin=margin, max_seeds=max_seeds, effect=0.0, asserts=asserts)
    twice = chances(assumed_sd=assumed_sd, margin=margin, max_seeds=max_seeds, effect=2 * margin, asserts=asserts)
    expected: VerdictText = "no difference that matters" if asserts == "better" else "supported"
    return Plan(max_seeds, none[expected], 1 - twice["undecided"])


def seeds_that_would_do(*, assumed_sd: float, margin: float, asserts: Asserts = "better") -> int | None:
    """The smallest number of seeds with which a plan can decide; None where 200 are too few. Raises `ResultsError`."""

    def would_do(seeds: int) -> bool:
        return plan_of(assumed_sd=assumed_sd, margin=margin, max_seeds=seeds, asserts=asserts).can_decide

    low, high = FIRST_LOOK - 1, FIRST_LOOK
    while not would_do(high):
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if would_do(middle) else (middle, high)
    return high


def chance_of_decision(
    differences: np.ndarray, *, margin: float, max_seeds: int, asserts: Asserts = "better"
) -> np.ndarray:
    """The chance that 1, 2 … more seeds decide what these differences, four or more, leave undecided.

    Means and spreads that agree with what was seen are drawn (mean and logarithm of the spread each flat before), and
    with each the seeds to come, up to `max_seeds`; always with the same draws. Rises from seed to seed. Exact to about
    a point.
    """
    count, mean, spread = len(differences), float(np.mean(differences)), float(np.std(differences, ddof=1))
    unit = spread or 1.0
    return np.asarray(_chance_ahead(count, spread / unit, mean / unit, margin / unit, max_seeds, asserts))


@lru_cache(maxsize=1024)
def _chance_ahead(
    count: int, spread: float, mean: float, margin: float, max_seeds: int, asserts: Asserts
) -> tuple[float, ...]:
    normal, squares, centre = _draws_ahead(count, max_seeds)
    spreads = spread * np.sqrt((count - 1) / squares)
    coming = mean + spreads[:, None] * (centre[:, None] / math.sqrt(count) + normal)
    ahead = np.arange(1, max_seeds - count + 1)
    total = count + ahead
    new_mean = coming.cumsum(axis=1) / ahead
    new_squares = np.maximum((coming**2).cumsum(axis=1) - ahead * new_mean**2, 0)
    apart = new_mean - mean
    all_squares = (count - 1) * spread**2 + new_squares + count * ahead / total * apart**2
    error = np.sqrt(all_squares / (total - 1) / total)
    centre_now = mean + apart * ahead / total
    half = t_limits(max_seeds)[count - FIRST_LOOK + 1 :] * error
    decided = decide(centre_now - half, centre_now + half, margin, asserts) != UNDECIDED
    return tuple(np.logical_or.accumulate(decided, axis=1).mean(axis=0).tolist())


@lru_cache(maxsize=64)
def _draws_ahead(count: int, max_seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng([count, max_seeds])
    normal = draw.standard_normal((_REPETITIONS_AHEAD, max_seeds - count))
    return normal, draw.chisquare(count - 1, _REPETITIONS_AHEAD), draw.standard_normal(_REPETITIONS_AHEAD)
