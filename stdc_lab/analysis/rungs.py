"""Curves of trials → whether one on its way is stopped. Pure: nothing is read, nothing remembered."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import CurvePoint


@dataclass(frozen=True)
class Course:
    """A training, to its end or as far as it has come, with what its network costs.

    costs: the study's other objectives, each so that less is better. scores: validation mIoU by iteration.
    iterations: the planned length, on which the rate depends: only trainings of one length are compared.
    """

    number: int
    iterations: int
    costs: tuple[float, ...]
    scores: Mapping[int, float]

    @property
    def final(self) -> float | None:
        """mIoU at the planned end; None for a training that did not come to it."""
        return self.scores.get(self.iterations)


@dataclass(frozen=True)
class Stopped:
    """A training that is stopped at a rung."""

    iteration: int
    noise: float
    """Standard deviation by which a difference of mIoU changed from this rung to the end."""
    dominators: tuple[int, ...]
    """Numbers of the trials that are ahead, the farthest first."""
    lead: float
    """The least by which they are ahead in mIoU."""

    def __str__(self) -> str:
        trials = ", ".join(f"#{number}" for number in self.dominators)
        return (
            f"stopped at iteration {self.iteration}: dominated by {trials}, ahead by {self.lead:.4f} mIoU or more "
            f"where the noise is {self.noise:.4f}"
        )


def course_costs(config: StudyConfig, figures: Mapping[str, float | None]) -> tuple[float, ...] | None:
    """The objectives but mIoU, each so that less is better; None if one of them was not measured."""
    costs = []
    for objective in config.objectives:
        if objective.figure == "miou":
            continue
        value = figures.get(objective.figure)
        if value is None or math.isnan(value):
            return None
        costs.append(-value if objective.maximize else value)
    return tuple(costs)


def scores_of(curve: Iterable[CurvePoint]) -> dict[int, float]:
    """mIoU by iteration, where it was evaluated."""
    return {point.iteration: point.miou for point in curve if point.miou is not None}


def rung_noise(finished: Sequence[Course], iteration: int) -> float | None:
    """Standard deviation by which the difference of two trainings' mIoU changed from a rung to the end.

    It is √2 times that of what a single training gained in between. None with fewer than three of them.
    """
    gains = [
        course.final - course.scores[iteration]
        for course in finished
        if course.final is not None and iteration in course.scores
    ]
    return math.sqrt(2) * statistics.stdev(gains) if len(gains) >= 3 else None


def stop_at(course: Course, iteration: int, finished: Sequence[Course], config: PruningConfig) -> Stopped | None:
    """Whether a training is stopped at the evaluation of an iteration, given those that are finished.

    Never before `from_share` of it, never at its end, and never while fewer than `config.finished` trainings of the
    same length show how noisy that rung is.
    """
    if iteration >= course.iterations or iteration < config.from_share * course.iterations:
        return None
    comparable = [
        other
        for other in finished
        if other.iterations == course.iterations and other.final is not None and iteration in other.scores
    ]
    noise = rung_noise(comparable, iteration)
    if noise is None or len(comparable) < config.finished:
        return None
    ahead = []
    for other in comparable:
        lead = other.scores[iteration] - course.scores[iteration]
        no_dearer = all(theirs <= own for theirs, own in zip(other.costs, course.costs, strict=True))
        if no_dearer and lead > config.margin * noise:
            ahead.append((lead, other.number))
    if len(ahead) < config.dominators:
        return None
    farthest = sorted(ahead, reverse=True)[: config.dominators]
    return Stopped(iteration, noise, tuple(number for _, number in farthest), farthest[-1][0])


def first_stop(course: Course, finished: Sequence[Course], config: PruningConfig) -> Stopped | None:
    """At which of its evaluations a training would have been stopped; None if at none."""
    stops = (stop_at(course, iteration, finished, config) for iteration in sorted(course.scores))
    return next((stop for stop in stops if stop is not None), None)
