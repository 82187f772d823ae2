"""What a trial measured as Optuna is told it: objective values, and by how much limits and constraints are broken."""

from __future__ import annotations

from collections.abc import Mapping

from stdc_lab.arch import ArchSpec
from stdc_lab.config.limits import check_limits
from stdc_lab.config.objectives import Figure
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.search.objective import Candidate

Figures = Mapping[Figure, float | None]


class ScreenedOutError(StdcLabError):
    """A candidate that is not trained, for what theory or its profile says. Feasible by no constraint of `excess`."""

    def __init__(self, reason: str, excess: Mapping[str, float], cost: ProfileResult | None = None) -> None:
        super().__init__(reason)
        self.excess = dict(excess)
        self.cost = cost


def figures_of_profile(cost: ProfileResult) -> dict[Figure, float | None]:
    """What is known of a network before it is trained; None where it was not measured."""
    latency = cost.latency
    ratio = None if latency is None or latency.times_as_fast is None else 1 / latency.times_as_fast
    return {
        "latency_ms": None if latency is None else latency.median_ms,
        "latency_ratio": ratio,
        "macs": cost.macs,
        "num_params": cost.num_params,
        "peak_activations": cost.peak_activations,
        "peak_memory_bytes": None if latency is None else latency.peak_memory_bytes,
    }


def figures_of(record: TrialRecord) -> dict[Figure, float | None]:
    """Everything that a finished trial measured; None where it was not measured."""
    return {**figures_of_profile(record.profile), "miou": record.result.miou, "boundary_f": record.boundary_f}


def objective_values(config: StudyConfig, figures: Figures) -> list[float]:
    """The values of a study's objectives in their order. Raises `StudyError` for one that was not measured."""
    values = []
    for objective in config.objectives:
        value = figures.get(objective.figure)
        if value is None:
            raise StudyError(
                f"objective {objective.figure}: could not be measured here; choose another, such as peak_activations "
                "for peak_memory_bytes"
            )
        values.append(float(value))
    return values


def limit_excess(config: StudyConfig, spec: ArchSpec, num_classes: int) -> dict[str, float]:
    """By what share of its bound each limit is broken (above 0) or kept, by theory alone."""
    return {str(one.limit): one.excess for one in check_limits(config.space.limits, spec, num_classes)}


def constraint_excess(config: StudyConfig, figures: Figures) -> dict[str, float]:
    """By what share of its bound each constraint is broken (above 0) or kept, as far as its figure is known."""
    known = {one: figures.get(one.figure) for one in config.constraints}
    return {str(one): one.excess(value) for one, value in known.items() if value is not None}


def screen_by_theory(config: StudyConfig, spec: ArchSpec, num_classes: int) -> None:
    """Raise `ScreenedOutError` for a network that does not meet the limits of the space."""
    checked = check_limits(config.space.limits, spec, num_classes)
    broken = [f"{one.limit}: {one.value:,}" for one in checked if one.excess > 0]
    if broken:
        excess = {str(one.limit): one.excess for one in checked}
        raise ScreenedOutError(f"screened out before it was built: {'; '.join(broken)}", excess)


def screened_by_profile(config: StudyConfig, candidate: Candidate, cost: ProfileResult) -> ScreenedOutError | None:
    """Why a network whose profile breaks a constraint is not trained, for training would not mend it; None for any
    other, and for what the study names."""
    figures = figures_of_profile(cost)
    excess = constraint_excess(config, figures)
    broken = [f"{one}: {figures[one.figure]:,.6g}" for one in config.constraints if excess.get(str(one), 0) > 0]
    if candidate.named or not broken:
        return None
    excess |= limit_excess(config, candidate.spec, cost.num_classes)
    return ScreenedOutError(f"screened out before it was trained: {'; '.join(broken)}", excess, cost)
