"""What a search space holds, from theory alone: its size, what its limits leave of it, and what its networks cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stdc_lab.arch.costs import total_cost
from stdc_lab.config.bounds import check_limits
from stdc_lab.config.choosers import RandomChooser
from stdc_lab.config.conditions import asked_about
from stdc_lab.config.ranges import is_active
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Size, Value
from stdc_lab.errors import StdcLabError, StudyError

SAMPLES = 10_000


class SpaceSize(Value):
    """How many points a space has, limits aside."""

    points: int
    """Combinations of values, a continuum counted as one value; what does not vary under a condition is not counted."""
    continua: tuple[str, ...]
    """Keys with infinitely many values."""


class LimitCount(Value):
    """What one limit does to the samples."""

    limit: str
    violated: int
    """Samples that do not meet it."""
    alone: int
    """Samples that meet every other limit, and not this one."""
    lowest: int
    """The lowest value of its measure among the samples."""
    highest: int


class CostRange(Value):
    """What networks cost: the lowest, the median and the highest."""

    lowest: int
    median: int
    highest: int


class SpaceSurvey(Value):
    """A space by its size and by samples drawn at random, each key evenly (in the logarithm where `log` is set)."""

    space: str
    size: SpaceSize
    samples: int
    seed: int
    networks: int
    """Unlike networks (`arch_id`) among the samples."""
    impossible: int
    """Samples of whose values no network or training can be made."""
    impossible_because: str | None
    """The reason of the first of them."""
    feasible: int
    """Samples that can be made and meet every limit."""
    limits: tuple[LimitCount, ...]
    cost_size: Size
    """Height × width of the image that `macs` and `mean_macs` are for."""
    num_classes: int
    macs: CostRange | None
    """Of the feasible samples; null if there are none."""
    num_params: CostRange | None
    mean_macs: float | None


def count_points(space: SearchSpace) -> SpaceSize:
    """The size of a space. Keys on which conditions depend are tried value by value, the others are multiplied."""
    parameters = list(space.parameters.items())
    asked = asked_about(space.parameters)

    def count(index: int, chosen: Mapping[str, Any]) -> int:
        points = 1
        for position in range(index, len(parameters)):
            key, varied = parameters[position]
            if not is_active(varied, chosen):
                continue
            if key in asked:
                return points * sum(count(position + 1, {**chosen, key: value}) for value in varied.every())
            points *= varied.count() or 1
        return points

    continua = tuple(key for key, varied in parameters if varied.count() is None)
    return SpaceSize(points=count(0, {}), continua=continua)


def survey_space(
    space: SearchSpace,
    train: TrainConfig,
    *,
    cost_size: tuple[int, int] = (512, 1024),
    num_classes: int = 19,
    samples: int = SAMPLES,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> SpaceSurvey:
    """Draw samples of a space and say what theory says of them. About 0.4 ms a sample; peak limits take more.

    train: the study's training, around which the space varies. num_classes: of the networks, which limits are about.
    """
    chooser = RandomChooser(seed)
    seen: set[str] = set()
    reasons: list[str] = []
    values: list[tuple[int, ...]] = []
    violations: list[frozenset[int]] = []
    costs: list[tuple[int, int]] = []
    for number in range(samples):
        chosen = space.choose(chooser)
        try:
            spec = space.spec_of(chosen)
            space.training_of(chosen, train)
        except StdcLabError as error:
            reasons.append(str(error))
            continue
        seen.add(spec.arch_id)
        checked = check_limits(space.limits, spec, num_classes)
        values.append(tuple(one.value for one in checked))
        violations.append(frozenset(index for index, one in enumerate(checked) if one.excess > 0))
        if not violations[-1]:
            cost = total_cost(spec, cost_size, num_classes)
            costs.append((cost.macs, cost.num_params))
        if on_progress is not None:
            on_progress(number + 1)
    return SpaceSurvey(
        space=space.name,
        size=count_points(space),
        samples=samples,
        seed=seed,
        networks=len(seen),
        impossible=len(reasons),
        impossible_because=reasons[0] if reasons else None,
        feasible=len(costs),
        limits=tuple(
            LimitCount(
                limit=str(limit),
                violated=sum(index in broken for broken in violations),
                alone=sum(broken == {index} for broken in violations),
                lowest=min((row[index] for row in values), default=0),
                highest=max((row[index] for row in values), default=0),
            )
            for index, limit in enumerate(space.limits)
        ),
        cost_size=cost_size,
        num_classes=num_classes,
        macs=cost_range([macs for macs, _ in costs]) if costs else None,
        num_params=cost_range([params for _, params in costs]) if costs else None,
        mean_macs=statistics.fmean(macs for macs, _ in costs) if costs else None,
    )


def why_nothing_fits(survey: SpaceSurvey) -> str | None:
    """Why no sample can be used, and what to change; None if some can."""
    if survey.feasible:
        return None
    start = f"search space {survey.space}: none of {survey.samples:,} random points can be used"
    if survey.impossible == survey.samples:
        return f"{start}: {survey.impossible_because}"
    possible = survey.samples - survey.impossible
    deadly = [count for count in survey.limits if count.violated == possible]
    if not deadly:
        parts = "; ".join(f"`{count.limit}` kills {count.violated:,}" for count in survey.limits)
        return f"{start}: no limit alone kills all, but together they do ({parts}): loosen one of them"
    parts = "; ".join(
        f"`{count.limit}` alone kills all of them (the space has {count.lowest:,} to {count.highest:,})"
        for count in deadly
    )
    return f"{start}: {parts}: loosen it, or widen the space"


def refuse_hopeless(space: SearchSpace, train: TrainConfig, num_classes: int, samples: int = SAMPLES) -> None:
    """Raise `StudyError` if no point of a sample can be made and meets the limits: a search would not end."""
    if not space.limits:
        return
    chooser = RandomChooser(0)
    for _ in range(samples):
        chosen = space.choose(chooser)
        try:
            checked = check_limits(space.limits, space.spec_of(chosen), num_classes)
        except StdcLabError:
            continue
        if all(one.excess <= 0 for one in checked):
            return
    reason = why_nothing_fits(survey_space(space, train, num_classes=num_classes, samples=samples))
    if reason is not None:
        raise StudyError(reason)


def cost_range(values: Sequence[int]) -> CostRange:
    """The range of some costs, of which there is one at least."""
    return CostRange(lowest=min(values), median=math.floor(statistics.median(values)), highest=max(values))
