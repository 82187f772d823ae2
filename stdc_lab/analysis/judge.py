"""A verdict on what a table of results says about two arms, or about a contrast of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy import special

from stdc_lab.analysis.decisions import (
    VERDICTS,
    Asserts,
    VerdictText,
    chance_of_decision,
    check_rule,
    decide,
)
from stdc_lab.analysis.e_values import ENOUGH, anytime_interval, divergence_p_value, t_e_value
from stdc_lab.analysis.results import ArmResults, arms_of, contrast_of
from stdc_lab.analysis.sequential import (
    ALPHA,
    FIRST_LOOK,
    check_max_seeds,
    one_look_interval,
    repeated_intervals,
    running,
)
from stdc_lab.analysis.verdict import BEYOND, ONE_LOOK, REPEATED, UNPAIRED, Direction, Look, Verdict
from stdc_lab.errors import ResultsError


def judge(
    frame: pd.DataFrame,
    *,
    control: str,
    treatment: str,
    metric: str,
    margin: float,
    max_seeds: int | None = None,
    asserts: Asserts = "better",
    direction: Direction = "maximize",
    arm_column: str = "arm",
    seed_column: str = "seed",
) -> Verdict:
    """What a table says of the claim that one arm is better than another, no worse, or equal.

    The arms are paired by seed and looked at after every pair from the fourth on, in the order of the seeds; the first
    look that decides counts, so that looking early and often costs nothing. The first k seeds of a table give the look
    at k. Past `max_seeds` only evidence counts that holds at any time. Without `max_seeds` all rows are one look;
    without a seed column, one unpaired interval (Welch).

    frame: a row a training, with the columns `arm`, `seed`, the metric, and `state` if some diverged.
    margin: the smallest difference that matters, above 0, in the metric's unit.
    max_seeds: the greatest number of seeds, fixed before the first result was seen.
    asserts: that the treatment is `better`, `not_worse` (by the margin or more), or `equal` (within the margin).
    direction: `maximize` if more is better, as of mIoU; `minimize` as of latency.

    Raises `ResultsError`, a `StdcLabError`, for a table that is doubled, unpaired, incomplete or no numbers.
    """
    if control == treatment:
        raise ResultsError(f"control and treatment are both {control!r}; allowed: two arms")
    return judge_contrast(
        frame,
        {treatment: 1.0, control: -1.0},
        metric=metric,
        margin=margin,
        max_seeds=max_seeds,
        asserts=asserts,
        direction=direction,
        arm_column=arm_column,
        seed_column=seed_column,
    )


def judge_contrast(
    frame: pd.DataFrame,
    weights: Mapping[str, float],
    *,
    metric: str,
    margin: float,
    max_seeds: int | None = None,
    asserts: Asserts = "better",
    direction: Direction = "maximize",
    arm_column: str = "arm",
    seed_column: str = "seed",
) -> Verdict:
    """The same as `judge` for a weighted sum of arms, such as a main effect of a 2×2: weights ½, ½, -½, -½.

    weights: of each arm; their sum is 0. The difference of a seed is the weighted sum over the arms.
    """
    check_rule(margin, asserts)
    if direction not in get_args(Direction):
        raise ResultsError(f"direction: got {direction!r}; allowed: maximize, minimize")
    if max_seeds is not None:
        check_max_seeds(max_seeds)
    weights = {str(arm): float(weight) for arm, weight in weights.items() if weight != 0}
    if len(weights) < 2 or not abs(sum(weights.values())) < 1e-9:
        raise ResultsError(f"weights: got {weights}; allowed: two or more arms whose weights have the sum 0")
    paired = seed_column in frame.columns
    if not paired and seed_column != "seed":
        raise ResultsError(f"no column {seed_column!r}; got {', '.join(map(str, frame.columns[:30]))}")
    found = arms_of(frame, list(weights), metric, arm_column=arm_column, seed_column=seed_column if paired else None)
    asked = _Asked(metric, float(margin), asserts, direction, max_seeds, weights)
    return _of_pairs(found, asked) if paired else _of_rows(found, asked)


@dataclass(frozen=True)
class _Asked:
    metric: str
    margin: float
    asserts: Asserts
    direction: Direction
    max_seeds: int | None
    weights: Mapping[str, float]

    @property
    def sign(self) -> float:
        return 1.0 if self.direction == "maximize" else -1.0

    def verdict(self, look: Look, pairs: int, method: str, reason: str, **more: Any) -> Verdict:
        told: dict[str, Any] = {
            "verdict": look.verdict,
            "more_seeds": None if look.verdict == "undecided" else 0,
            "chance": None,
        }
        return Verdict(
            effect=look.effect,
            interval=look.interval,
            seeds=look.seeds,
            e_value=look.e_value,
            margin=self.margin,
            metric=self.metric,
            asserts=self.asserts,
            direction=self.direction,
            max_seeds=self.max_seeds,
            weights=tuple(self.weights.items()),
            pairs=pairs,
            method=method,
            reason=reason,
            **(told | more),
        )


def _of_pairs(found: Sequence[ArmResults], asked: _Asked) -> Verdict:
    differences = asked.sign * contrast_of(found, asked.weights)
    pairs, plan = len(differences), asked.max_seeds
    method = ONE_LOOK if plan is None else REPEATED
    in_plan = slice(None, plan)
    if np.isnan(differences[in_plan]).any():
        return _diverged([ArmResults(arm.arm, None, arm.values[in_plan]) for arm in found], differences, asked, method)
    if pairs < FIRST_LOOK:
        reason = f"fewer than four pairs ({pairs}): nothing is said of so few"
        interval = one_look_interval(differences) if plan is None and pairs > 1 else (math.nan, math.nan)
        look = Look(pairs, float(differences.mean()), interval, _e_value(differences), "undecided")
        return asked.verdict(look, pairs, method, reason, more_seeds=FIRST_LOOK - pairs, looks=())
    if plan is None:
        interval = one_look_interval(differences)
        text = _decided(interval, asked)
        look = Look(pairs, float(differences.mean()), interval, _e_value(differences), text)
        reason = _because(look, asked) + ", by one look at all pairs"
        return asked.verdict(look, pairs, method, reason, looks=(look,))
    looks = _planned_looks(differences[:plan], plan, asked)
    look = next((one for one in looks if one.verdict != "undecided"), looks[-1])
    if look.verdict != "undecided":
        return asked.verdict(look, pairs, method, f"{_because(look, asked)}, at pair {look.seeds}", looks=looks)
    if pairs < plan:
        more, chance = _more_seeds(differences, asked, plan)
        reason = f"{_because(look, asked)}; +{more} seeds decide with a chance of {chance:.0%}"
        return asked.verdict(look, pairs, method, reason, looks=looks, more_seeds=more, chance=chance)
    if pairs == plan:
        return asked.verdict(look, pairs, method, f"{_because(look, asked)}, and the plan is at its end", looks=looks)
    return _past_the_plan(found, differences, looks, asked, plan)


def _planned_looks(differences: np.ndarray, plan: int, asked: _Asked) -> tuple[Look, ...]:
    mean, error = running(differences[None])
    low, high = repeated_intervals(differences[None], plan)
    found = decide(low, high, asked.margin, asked.asserts)
    rows = zip(*(part[0].tolist() for part in (mean, error, low, high, found)), strict=True)
    return tuple(
        Look(seeds, centre, (start, end), _e_of(centre, scale, seeds), VERDICTS[text])
        for seeds, (centre, scale, start, end, text) in enumerate(rows, start=FIRST_LOOK)
    )


def _past_the_plan(
    found: Sequence[ArmResults], differences: np.ndarray, looks: tuple[Look, ...], asked: _Asked, plan: int
) -> Verdict:
    """What rows past the plan add to a plan that ended undecided: only what holds at any time."""
    pairs = len(differences)
    if np.isnan(differences).any():
        return _diverged(found, differences, asked, BEYOND)
    for seeds in range(plan + 1, pairs + 1):
        values = differences[:seeds]
        interval, evidence = anytime_interval(values), _e_value(values)
        text = _decided(interval, asked)
        if asked.asserts == "better" and evidence < ENOUGH:
            text = "undecided"
        look = Look(seeds, float(values.mean()), interval, evidence, text, planned=False)
        looks = (*looks, look)
        if text != "undecided":
            break
    start = f"the plan of {plan} seeds ended undecided; past it only evidence counts that holds at any time"
    if look.verdict == "undecided":
        return asked.verdict(
            look, pairs, BEYOND, f"{start}, and an e-value of {evidence:.3g} decides nothing", looks=looks
        )
    if asked.asserts == "better":
        reason = f"{start}: the e-value is {evidence:.3g} at pair {seeds}, and the direction of the effect decides"
        if look.verdict == "no difference that matters":
            reason = f"{start}: the e-value is {evidence:.3g} at pair {seeds}, and {_because(look, asked)}"
    else:
        reason = f"{start}: {_because(look, asked)}, at pair {seeds}"
    return asked.verdict(look, pairs, BEYOND, reason, looks=looks)


def _diverged(found: Sequence[ArmResults], differences: np.ndarray, asked: _Asked, method: str) -> Verdict:
    """Undecided: what is left when a training diverged is no fair sample. What the other pairs say is shown."""
    counts, reason, p_value = _divergence(found, asked)
    left = differences[: len(found[0].values)]
    left = left[~np.isnan(left)]
    effect = float(left.mean()) if len(left) else math.nan
    interval = (math.nan, math.nan)
    if asked.max_seeds is None and len(left) >= FIRST_LOOK:
        interval = one_look_interval(left)
    elif asked.max_seeds is not None and FIRST_LOOK <= len(left) <= asked.max_seeds:
        interval = _planned_looks(left, asked.max_seeds, asked)[-1].interval
    look = Look(len(left), effect, interval, _e_value(left), "undecided")
    reason += "; the effect is that of the pairs without one"
    return asked.verdict(look, len(differences), method, reason, looks=(), diverged=counts, divergence_p_value=p_value)


def _divergence(found: Sequence[ArmResults], asked: _Asked) -> tuple[tuple[tuple[str, int, int], ...], str, float]:
    """Of each arm how many of its trainings diverged, the same in words, and whether both sides do so equally often."""
    of_side = {
        side: [sum(arm.diverged for arm in arms), sum(len(arm.values) for arm in arms)]
        for side in (1, -1)
        for arms in [[arm for arm in found if asked.weights[arm.arm] * side > 0]]
    }
    (diverged, of), (diverged_control, of_control) = of_side[1], of_side[-1]
    counts = tuple((arm.arm, arm.diverged, len(arm.values)) for arm in found)
    p_value = divergence_p_value(diverged, of, diverged_control, of_control)
    return counts, f"diverged {diverged + diverged_control} of {of + of_control}", p_value


def _of_rows(found: Sequence[ArmResults], asked: _Asked) -> Verdict:
    """One interval of arms whose rows do not belong together: Welch's, with Satterthwaite's degrees of freedom."""
    pairs = min(len(arm.values) for arm in found)
    if any(arm.diverged for arm in found):
        counts, reason, p_value = _divergence(found, asked)
        look = Look(pairs, math.nan, (math.nan, math.nan), math.nan, "undecided")
        return asked.verdict(look, pairs, UNPAIRED, reason, diverged=counts, divergence_p_value=p_value)
    effect = asked.sign * sum(asked.weights[arm.arm] * float(arm.values.mean()) for arm in found)
    if pairs < FIRST_LOOK:
        look = Look(pairs, effect, (math.nan, math.nan), math.nan, "undecided")
        reason = f"fewer than four rows of an arm ({pairs}): nothing is said of so few"
        return asked.verdict(look, pairs, UNPAIRED, reason, more_seeds=FIRST_LOOK - pairs)
    parts = [asked.weights[arm.arm] ** 2 * float(arm.values.var(ddof=1)) / len(arm.values) for arm in found]
    total = sum(parts)
    half = 0.0
    if total > 0:
        degrees = total**2 / sum(part**2 / (len(arm.values) - 1) for part, arm in zip(parts, found, strict=True))
        half = float(special.stdtrit(degrees, 1 - ALPHA / 2)) * math.sqrt(total)
    interval = (effect - half, effect + half)
    look = Look(pairs, effect, interval, math.nan, _decided(interval, asked))
    reason = _because(look, asked) + ", by one unpaired look, for there is no seed column"
    return asked.verdict(look, pairs, UNPAIRED, reason, looks=(look,))


def _more_seeds(differences: np.ndarray, asked: _Asked, plan: int) -> tuple[int, float]:
    ahead = chance_of_decision(differences, margin=asked.margin, max_seeds=plan, asserts=asked.asserts)
    likely = np.flatnonzero(ahead >= 0.5)
    more = int(likely[0]) + 1 if len(likely) else len(ahead)
    return more, float(ahead[more - 1])


def _decided(interval: tuple[float, float], asked: _Asked) -> VerdictText:
    low, high = (np.asarray(end) for end in interval)
    return VERDICTS[int(decide(low, high, asked.margin, asked.asserts))]


def _e_of(mean: float, error: float, count: int) -> float:
    if error == 0:
        return t_e_value(0.0 if mean == 0 else math.copysign(math.inf, mean), count)
    return t_e_value(mean / error, count)


def _e_value(values: np.ndarray) -> float:
    if len(values) < 2:
        return 1.0
    return _e_of(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values))


def _because(look: Look, asked: _Asked) -> str:
    """How the interval lies to what decides."""
    low, high = look.interval
    if low > -asked.margin and high < asked.margin:
        where = "lies within the margin"
    elif asked.asserts == "better":
        where = "lies above 0" if low > 0 else "lies below 0" if high < 0 else "holds 0 and reaches past the margin"
    elif asked.asserts == "not_worse":
        where = "lies above minus the margin" if low > -asked.margin else "reaches below minus the margin"
        where = "lies below minus the margin" if high < -asked.margin else where
    else:
        beyond = low > asked.margin or high < -asked.margin
        where = "lies beyond the margin" if beyond else "is partly within the margin, partly beyond"
    return f"the interval {where}"
