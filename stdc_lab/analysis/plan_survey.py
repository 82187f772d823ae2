"""What an ablation plan is, from theory alone: its arms and seeds, what the arms cost, which limits they break."""

from __future__ import annotations

import statistics

from stdc_lab.analysis.space_survey import CostRange, cost_range
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.bounds import check_limits
from stdc_lab.config.plan import PlanConfig
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.values import Size, Value


class BrokenLimit(Value):
    """A limit that an arm does not meet, and the arm's value of its measure."""

    limit: str
    value: int


class ArmCost(Value):
    """An arm's network by theory."""

    name: str
    arch_id: str
    macs: int
    num_params: int
    broken: tuple[BrokenLimit, ...]
    """Limits that it does not meet: it is trained all the same, and is never on the front."""


class PlanSurvey(Value):
    """A plan by its arms and seeds."""

    arms: tuple[ArmCost, ...]
    seeds: tuple[int, ...]
    networks: tuple[str, ...]
    """References and networks of the user's own, each trained once beside the arms."""
    trials: int
    """Arms × seeds, and those networks."""
    limits: tuple[str, ...]
    cost_size: Size
    """Height × width of the image that MACs are for."""
    num_classes: int
    macs: CostRange
    """Over the arms, each counted once."""
    num_params: CostRange
    mean_macs: float


def survey_plan(config: StudyConfig, plan: PlanConfig, num_classes: int) -> PlanSurvey:
    """Say what theory says of a study's plan, at the size of its latency. num_classes: of the networks."""
    size, arms = config.latency.size, []
    for name in plan.arms:
        spec = plan.spec_of(name)
        cost = total_cost(spec, size, num_classes)
        checked = check_limits(config.space.limits, spec, num_classes)
        broken = tuple(BrokenLimit(limit=str(one.limit), value=one.value) for one in checked if one.excess > 0)
        arms.append(ArmCost(name=name, arch_id=spec.arch_id, macs=cost.macs, num_params=cost.num_params, broken=broken))
    return PlanSurvey(
        arms=tuple(arms),
        seeds=plan.seeds,
        networks=tuple(config.known_networks),
        trials=config.total_trials,
        limits=tuple(map(str, config.space.limits)),
        cost_size=size,
        num_classes=num_classes,
        macs=cost_range([arm.macs for arm in arms]),
        num_params=cost_range([arm.num_params for arm in arms]),
        mean_macs=statistics.fmean(arm.macs for arm in arms),
    )
