"""Stopping by curves: the rule against plain reasoning, and against worlds in which it should and should not act."""

import math
import random
import statistics

import pytest

from stdc_lab.analysis.rungs import Course, course_costs, first_stop, rung_noise, scores_of, stop_at
from stdc_lab.config.objectives import parse_objective
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.records import CurvePoint
from tests.study_folder import study_config

RULE = PruningConfig(margin=2.0, dominators=2, finished=4)


def course(number: int, at_rung: float, gain: float | None = 0.1, costs: tuple[float, ...] = (10.0,)) -> Course:
    scores = {50: at_rung} if gain is None else {50: at_rung, 100: at_rung + gain}
    return Course(number, 100, costs, scores)


FINISHED = [course(0, 0.30, 0.10), course(1, 0.35, 0.12), course(2, 0.40, 0.11), course(3, 0.45, 0.09)]


def test_the_noise_of_a_rung_is_that_of_a_difference():
    assert rung_noise(FINISHED, 50) == pytest.approx(math.sqrt(2) * statistics.stdev([0.10, 0.12, 0.11, 0.09]))
    assert rung_noise(FINISHED[:2], 50) is None
    assert rung_noise(FINISHED, 60) is None
    assert rung_noise([*FINISHED[:2], course(4, 0.3, None)], 50) is None


def test_it_is_stopped_by_enough_that_are_ahead_beyond_the_noise_and_no_dearer():
    stopped = stop_at(course(9, 0.33, None), 50, FINISHED, RULE)
    assert stopped is not None
    assert (stopped.iteration, stopped.dominators, stopped.lead) == (50, (3, 2), pytest.approx(0.07))
    assert stopped.noise == rung_noise(FINISHED, 50)
    assert str(stopped).startswith("stopped at iteration 50: dominated by #3, #2, ahead by 0.0700 mIoU or more where")


@pytest.mark.parametrize(
    ("candidate", "rule", "finished"),
    [
        (course(9, 0.38, None), {}, FINISHED),  # only one is ahead by more than twice the noise
        (course(9, 0.33, None, (9.9,)), {}, FINISHED),  # cheaper than all of them
        (course(9, 0.33, None), {"margin": 6.0}, FINISHED),
        (course(9, 0.33, None), {"dominators": 3}, FINISHED),
        (course(9, 0.33, None), {"finished": 5}, FINISHED),
        (course(9, 0.33, None), {"from_share": 0.51}, FINISHED),
        (course(9, 0.33, None), {}, [course(n, 0.45, None) for n in range(9)]),  # none came to its end
        (Course(9, 200, (10.0,), {50: 0.33}), {}, FINISHED),  # another length: another rate at this iteration
    ],
)
def test_it_goes_on_otherwise(candidate, rule, finished):
    assert stop_at(candidate, 50, finished, RULE.model_copy(update=rule)) is None


def test_it_is_never_stopped_at_its_end():
    assert stop_at(course(9, 0.0), 100, FINISHED, RULE) is None


def test_without_other_objectives_the_score_alone_decides():
    finished = [course(n, 0.4 + n / 100, 0.1 + n / 1000, ()) for n in range(4)]
    assert stop_at(course(9, 0.3, None, ()), 50, finished, RULE) is not None


def test_the_first_rung_that_stops_is_named():
    finished = [Course(n, 100, (1.0,), {25: 0.30 + n / 1000, 50: 0.4, 100: 0.5}) for n in range(4)]
    late = Course(9, 100, (1.0,), {25: 0.301, 50: 0.2, 100: 0.5})
    stopped = first_stop(late, finished, RULE)
    assert stopped is not None
    assert stopped.iteration == 50
    assert first_stop(Course(9, 100, (1.0,), {25: 0.301, 50: 0.4, 100: 0.1}), finished, RULE) is None


def test_where_rungs_tell_nothing_hardly_any_is_stopped_and_where_they_tell_all_the_worst_are():
    """Two worlds of 200 trainings: in one the rung is pure noise, in the other the end is the rung plus a constant."""

    def stopped_share(noise: float) -> float:
        rng, finished, stopped = random.Random(1), [], 0
        for number in range(200):
            end = rng.uniform(0.3, 0.5)
            rung = rng.uniform(0.1, 0.3) if noise else end - 0.2 + rng.gauss(0, 0.002)
            one = Course(number, 100, (rng.uniform(1, 2),), {50: rung, 100: end})
            if first_stop(one, finished, RULE) is None:
                finished.append(one)
            else:
                stopped += 1
        return stopped / 200

    assert stopped_share(noise=1.0) < 0.03
    assert stopped_share(noise=0.0) > 0.5


def test_costs_are_turned_so_that_less_is_better_and_unknown_ones_are_no_costs():
    config = study_config(objectives=["latency_ms", "miou", "maximize num_params"])
    figures = {"miou": 0.5, "latency_ms": 20.0, "num_params": 7.0}
    assert course_costs(config, figures) == (20.0, -7.0)
    assert course_costs(config, {**figures, "latency_ms": None}) is None
    assert course_costs(config, {**figures, "latency_ms": float("nan")}) is None
    assert parse_objective("maximize num_params").maximize


def test_scores_are_those_of_the_evaluations():
    points = [CurvePoint(iteration=n, loss=1.0, learning_rate=0.1, miou=0.1 * n if n % 2 else None) for n in (1, 2, 3)]
    assert scores_of(points) == {1: 0.1, 3: pytest.approx(0.3)}
