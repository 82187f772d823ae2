"""What the tables of a claim say of it: the verdict, and all that it rests on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from stdc_lab.analysis.e_values import holm
from stdc_lab.analysis.judge import judge_contrast
from stdc_lab.analysis.sequential import FIRST_LOOK, repeated_interval, repeated_p_value
from stdc_lab.analysis.stated import JudgedFigure, judge_stated
from stdc_lab.analysis.trainings_table import (
    DIVERGED,
    FREQUENT,
    TrainingRow,
    table_of,
    whole_pairs,
    with_frequent,
)
from stdc_lab.analysis.verdict import Verdict
from stdc_lab.config.claim import ExactClaim, MeasuredClaim, TrainedClaim
from stdc_lab.config.values import Value

UNDECIDED = "undecided"
NOT_RUN = "not run"
FAMILY_ERROR = 0.05


class Contrast(Value):
    """A contrast that is told beside the one that decides."""

    name: str
    effect: float | None
    interval: tuple[float, float] | None
    """The repeated 95 % interval, of this contrast alone."""
    p_value: float | None
    """Of no difference, adjusted for the claim's other contrasts (Holm)."""


class ClaimVerdict(Value):
    """What became of a claim under one protocol."""

    claim: str
    title: str
    kind: Literal["exact", "measured", "trained"]
    protocol: str
    explores: bool = False
    """Whether it is told beside the claim's verdict, never in its place."""
    verdict: str
    reason: str | None = None
    """Why it is undecided, or what else has to be known of it."""
    effect: float | None = None
    """Treatment minus control, signed so that more is better."""
    interval: tuple[float, float] | None = None
    seeds: int = 0
    """Pairs that the verdict rests on: those that the first look saw which decides."""
    pairs: int = 0
    """Pairs in the table."""
    max_seeds: int | None = None
    more_seeds: int | None = None
    """How many more would decide, if the effect is what it seems."""
    chance: float | None = None
    """That they do."""
    margin: float | None = None
    metric: str | None = None
    direction: str | None = None
    asserts: str | None = None
    e_value: float | None = None
    p_value: float | None = None
    """Repeated p-value for the family of claims: of no difference, or of a difference as large as the margin for what
    asserts `not_worse` or `equal`; 1 where a training of the contrast diverged."""
    holds_in_family: bool | None = None
    """Whether that still shows once all trained claims are taken together (Holm, 5 %)."""
    diverged: dict[str, int] = Field(default_factory=dict)
    """Arm → how many of its trainings diverged."""
    divergence_p_value: float | None = None
    """Fisher's exact test of whether the sides of the contrast diverge equally often."""
    left_out: dict[int, str] = Field(default_factory=dict)
    """Seed → why it is no pair."""
    secondary: tuple[Contrast, ...] = ()
    frequent: Contrast | None = None
    """The claim's contrast on the classes that occur often."""
    frequent_classes: tuple[str, ...] = ()
    figures: tuple[JudgedFigure, ...] = ()
    changed: str | None = None
    """What was changed since the claim began: its later looks are exploratory."""
    machines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    date: str | None = None
    """Of the last training."""


def judge_trained(
    claim: TrainedClaim, protocol: str, rows: Sequence[TrainingRow], changed: str | None = None
) -> ClaimVerdict:
    """The verdict on a claim under a protocol, at the first look that decides.

    rows: in any order. A seed whose arms are not all there, or of different machines, is no pair. changed: what the
    ledger says was changed. Raises `StdcLabError` for rows that cannot be judged.
    """
    arms, wanted = list(claim.arms), claim.protocols[protocol]
    kept, left = whole_pairs(rows, arms)
    said = ClaimVerdict(
        claim=claim.id,
        title=claim.title,
        kind="trained",
        protocol=protocol,
        explores=wanted.explores or protocol != next(iter(claim.protocols)),
        verdict=NOT_RUN if not kept else UNDECIDED,
        max_seeds=claim.seeds_of(protocol),
        margin=claim.margin,
        metric=claim.metric,
        direction=claim.direction,
        asserts=claim.asserts,
        left_out=left,
        changed=changed,
        frequent_classes=wanted.frequent_classes,
        machines=tuple(sorted({row.processor for row in kept})),
        precisions=tuple(sorted({row.precision for row in kept})),
        date=max((row.date for row in kept), default=None),
        diverged=dict(Counter(row.arm for row in kept if row.state == DIVERGED)),
    )  # fmt: skip
    if not kept:
        return said
    frame = with_frequent(table_of(kept, arms), wanted.frequent_classes)
    found = _judge(claim, protocol, frame, claim.metric)
    apart = differences(frame, claim.weights, claim.metric, claim.direction)
    return said.replace(
        verdict=found.verdict,
        reason=found.reason,
        effect=_known(found.effect),
        interval=_known_interval(found.interval),
        seeds=found.seeds,
        pairs=found.pairs,
        more_seeds=found.more_seeds,
        chance=found.chance,
        e_value=_known(found.e_value),
        divergence_p_value=found.divergence_p_value,
        p_value=1.0 if found.diverged else _p_value(claim, apart, claim.seeds_of(protocol)),
        secondary=_secondary(claim, protocol, frame),
        frequent=_frequent(claim, protocol, frame),
    )


def differences(frame: pd.DataFrame, weights: Mapping[str, float], metric: str, direction: str) -> np.ndarray:
    """A contrast's value for each seed, in the order of the seeds, signed so that more is better; without the seeds
    that have a diverged arm of it."""
    values = frame.pivot(index="seed", columns="arm", values=metric).sort_index()
    total = sum(weight * values[arm] for arm, weight in weights.items() if weight)
    found = pd.Series(total).dropna().to_numpy(dtype=np.float64)
    return found if direction == "maximize" else -found


def judge_figures(
    claim: ExactClaim | MeasuredClaim, figures: pd.DataFrame | None, protocol: str, changed: str | None = None
) -> ClaimVerdict:
    """The verdict on a claim from its figures; *not run* without any. Raises `StdcLabError`."""
    said = ClaimVerdict(
        claim=claim.id, title=claim.title, kind=claim.kind, protocol=protocol, verdict=NOT_RUN, changed=changed
    )
    if figures is None:
        return said
    found = judge_stated(claim, figures)
    against = [*found.against, *found.open]
    return said.replace(
        verdict=found.verdict,
        figures=found.figures,
        reason=None if found.verdict == "supported" else f"because of {', '.join(against)}",
    )


def with_holm(verdicts: Sequence[ClaimVerdict], others: Sequence[ClaimVerdict] = ()) -> list[ClaimVerdict]:
    """The verdicts, and for trained claims whether their difference still shows in their family.

    The family is of the verdicts that stand for a claim, each under its first protocol. others: of claims that are of
    the family too, and nothing more is asked of them.
    """
    together = [one for one in (*verdicts, *others) if one.p_value is not None and not one.explores]
    adjusted = holm({one.claim: one.p_value for one in together if one.p_value is not None})
    return [
        one.replace(holds_in_family=adjusted[one.claim] <= FAMILY_ERROR) if one in together else one for one in verdicts
    ]


def _judge(claim: TrainedClaim, protocol: str, frame: pd.DataFrame, metric: str) -> Verdict:
    return judge_contrast(
        frame,
        claim.weights,
        metric=metric,
        margin=claim.margin,
        max_seeds=claim.seeds_of(protocol),
        asserts=claim.asserts,
        direction=claim.direction,
    )


def _p_value(claim: TrainedClaim, apart: np.ndarray, max_seeds: int) -> float:
    """Of the difference that the claim has to be told from."""
    if claim.asserts == "better":
        return repeated_p_value(apart, max_seeds)
    above = repeated_p_value(apart + claim.margin, max_seeds)
    return above if claim.asserts == "not_worse" else max(above, repeated_p_value(apart - claim.margin, max_seeds))


def _contrast(name: str, apart: np.ndarray, max_seeds: int) -> Contrast:
    apart = apart[:max_seeds]
    effect = float(apart.mean()) if len(apart) else None
    if len(apart) < FIRST_LOOK:
        return Contrast(name=name, effect=effect, interval=None, p_value=None)
    interval = repeated_interval(apart, max_seeds)
    return Contrast(name=name, effect=effect, interval=interval, p_value=repeated_p_value(apart, max_seeds))


def _secondary(claim: TrainedClaim, protocol: str, frame: pd.DataFrame) -> tuple[Contrast, ...]:
    seeds = claim.seeds_of(protocol)
    found = [
        _contrast(name, differences(frame, weights, claim.metric, claim.direction), seeds)
        for name, weights in claim.secondary.items()
    ]
    adjusted = holm({one.name: one.p_value for one in found if one.p_value is not None})
    return tuple(one.replace(p_value=adjusted.get(one.name)) for one in found)


def _frequent(claim: TrainedClaim, protocol: str, frame: pd.DataFrame) -> Contrast | None:
    if not claim.protocols[protocol].frequent_classes:
        return None
    apart = differences(frame, claim.weights, FREQUENT, claim.direction)
    return _contrast("frequent classes", apart, claim.seeds_of(protocol))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _known_interval(interval: tuple[float, float]) -> tuple[float, float] | None:
    return interval if all(map(math.isfinite, interval)) else None
