"""What a trial measured as Optuna is told it: objective values, and by how much limits and constraints are broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stdc_lab.arch import ArchSpec
from stdc_lab.config.bounds import Bound, Interval, check_limits
from stdc_lab.config.figures import CLASS_IOU, figure_of
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.records import ProfileResult
from stdc_lab.records.figures import figures_of_profile, intervals_of
from stdc_lab.search.candidate import Candidate

Figures = Mapping[str, float | None]
DOUBT = "on a noisy timing: `stdc-lab study retime` takes it up again"


class ScreenedOutError(StdcLabError):
    """A candidate that is not trained, for what theory or its profile says: it breaks a limit or constraint."""

    def __init__(self, reason: str, excess: Mapping[str, float], cost: ProfileResult | None = None) -> None:
        super().__init__(reason)
        self.excess = dict(excess)
        self.cost = cost


def objective_values(config: StudyConfig, figures: Figures) -> list[float]:
    """The values of a study's objectives in their order. Raises `StudyError` for one that was not measured."""
    values = []
    for objective in config.objectives:
        value = figures.get(objective.figure)
        if value is None:
            raise StudyError(_not_measured(f"objective {objective}", objective.figure))
        values.append(float(value))
    return values


def unmeasured(config: StudyConfig, cost: ProfileResult) -> str | None:
    """Which objective or constraint the profile of any network here says nothing of, and why; None if it says all.

    What is not told of one network is told of none on this machine, so no training is worth its time.
    """
    figures = figures_of_profile(cost)
    asked = [(f"objective {one}", one.figure) for one in config.objectives]
    asked += [(f"constraint {one}", one.figure) for one in config.constraints]
    for what, figure in asked:
        if figure_of(figure).source != "training" and figures[figure] is None:
            return _not_measured(what, figure)
    return None


def limit_excess(config: StudyConfig, spec: ArchSpec, num_classes: int) -> dict[str, float]:
    """By what share of its bound each limit is broken (above 0) or kept, by theory alone."""
    return {str(one.limit): one.excess for one in check_limits(config.space.limits, spec, num_classes)}


def constraint_excess(
    config: StudyConfig, figures: Figures, intervals: Mapping[str, Interval] | None = None
) -> dict[str, float]:
    """By what share of its bound each constraint is broken (above 0) or kept, as far as its figure is known.

    A figure with an interval breaks a bound only where all of it lies beyond, see `Bound`.
    """
    known = {one: figures.get(one.figure) for one in config.constraints}
    within = intervals or {}
    return {str(one): one.excess(value, within.get(one.figure)) for one, value in known.items() if value is not None}


def screen_by_theory(config: StudyConfig, spec: ArchSpec, num_classes: int) -> None:
    """Raise `ScreenedOutError` for a network that does not meet the limits of the space."""
    checked = check_limits(config.space.limits, spec, num_classes)
    broken = [f"{one.limit}: {one.value:,}" for one in checked if one.excess > 0]
    if broken:
        excess = {str(one.limit): one.excess for one in checked}
        raise ScreenedOutError(f"screened out before it was built: {'; '.join(broken)}", excess)


def screened_by_profile(config: StudyConfig, candidate: Candidate, cost: ProfileResult) -> ScreenedOutError | None:
    """Why a network whose profile breaks a constraint is not trained, for training would not mend it; None for any
    other, for what the study names, and where the interval of a latency leaves it open."""
    excess = constraint_excess(config, figures_of_profile(cost), intervals_of(cost))
    broken = [_in_words(one, cost) for one in config.constraints if excess.get(str(one), 0) > 0]
    if candidate.named or not broken:
        return None
    doubt = f"; {DOUBT}" if is_doubtful(config, cost) else ""
    excess |= limit_excess(config, candidate.spec, cost.num_classes)
    return ScreenedOutError(f"screened out before it was trained: {'; '.join(broken)}{doubt}", excess, cost)


def is_doubtful(config: StudyConfig, cost: ProfileResult) -> bool:
    """Whether a constraint on latency is left open by the timing, or was broken by a noisy one."""
    figures, intervals = figures_of_profile(cost), intervals_of(cost)
    noisy = cost.latency is not None and bool(cost.latency.noisy)
    return any(
        one.is_doubtful(value, intervals.get(one.figure), noisy=noisy)
        for one in config.constraints
        if figure_of(one.figure).scatters and (value := figures[one.figure]) is not None
    )


def is_to_time_again(config: StudyConfig, cost: ProfileResult) -> bool:
    """Whether a kept profile is not to be used for another trial of its network: it lacks what the study asks for, or
    would reject the network on a timing that is not to be believed."""
    if unmeasured(config, cost) is not None:
        return True
    latency = cost.latency
    excess = constraint_excess(config, figures_of_profile(cost), intervals_of(cost))
    breaks = any(share > 0 for share in excess.values())
    return latency is not None and bool(latency.noisy) and (breaks or latency.note is not None)


def _in_words(constraint: Bound, cost: ProfileResult) -> str:
    value, interval = figures_of_profile(cost)[constraint.figure], intervals_of(cost).get(constraint.figure)
    within = "" if interval is None else f" ({interval[0]:,.6g} to {interval[1]:,.6g})"
    return f"{constraint}: {value:,.6g}{within}"


def _not_measured(what: str, figure: str) -> str:
    return f"{what}: cannot be measured here: {figure_of(figure).missing}"


def check_classes(config: StudyConfig, class_names: Sequence[str]) -> None:
    """Raise `StudyError` where a study asks for the IoU of a class that its data set does not have."""
    for name in sorted(config.figures):
        of_class = name.removeprefix(CLASS_IOU)
        if of_class != name and of_class not in class_names:
            there = ", ".join(f"{CLASS_IOU}{one}" for one in class_names)
            raise StudyError(f"{name}: the data set has no such class; allowed: {there}")
