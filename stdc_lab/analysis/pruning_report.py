"""What stopping trials at rungs saved in a finished study, and what it would have saved and lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from stdc_lab.analysis.frame import load_study
from stdc_lab.analysis.pareto import hypervolume, pareto_front
from stdc_lab.analysis.rungs import Course, Stopped, course_costs, first_stop, rung_noise, scores_of
from stdc_lab.config.objectives import Objective
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.values import Value
from stdc_lab.errors import StudyError
from stdc_lab.files import read_bytes
from stdc_lab.records import TrialRecord
from stdc_lab.storage import read_study_config

MARGINS = (0.0, 0.5, 1.0, 2.0, 3.0)


class RungNoise(Value):
    """How noisy an evaluation on the way is."""

    iteration: int
    trainings: int
    """Finished trainings that were evaluated there."""
    noise: float
    """Standard deviation by which a difference of mIoU changed from here to the end."""


class Replay(Value):
    """The finished trials judged anew, each by those before it, as if it could have been stopped."""

    margin: float
    stopped: tuple[int, ...]
    """Trials that would have been stopped."""
    saved_s: float
    """Seconds of training that would have been saved."""
    saved_share: float
    """Of the seconds that these trainings took."""
    lost_from_front: tuple[int, ...]
    """Members of the front among those that would have been stopped."""
    hypervolume_share: float | None
    """Hypervolume of the front without them, over that with them; null if there is none."""


class StoppedTrial(Value):
    """A trial that was stopped."""

    number: int
    iteration: int
    iterations: int
    seconds: float
    saved_s: float
    """What the rest of its training would have taken at the same rate."""
    miou: float
    """Where it was stopped."""
    expected_miou: float | None
    """At the end, had it gained what the finished trials gained from there on average; null if none was evaluated."""
    would_be_on_front: bool | None
    """Whether it would be on the front if it had reached that."""


class PruningReport(Value):
    """What stopping saved, and what it would have lost."""

    study: str
    pruning: PruningConfig | None
    """As the study has it."""
    finished: int
    noises: tuple[RungNoise, ...]
    stopped: tuple[StoppedTrial, ...]
    saved_s: float
    """By the trials that were stopped."""
    replays: tuple[Replay, ...]
    """By margin; nothing of those that were stopped is known beyond that point, so they are not in it."""


def pruning_report(folder: str | Path, margins: Sequence[float] = MARGINS) -> PruningReport:
    """Read a study's records and say what stopping saved, would have saved, and would have lost.

    Raises `StudyError` if the study cannot be read, or optimises what no evaluation on the way tells.
    """
    folder = Path(folder)
    frame, config = load_study(folder), read_study_config(folder)
    if not config.can_prune:
        raise StudyError(f"{folder}: its objectives are not known on the way: miou and what a profile tells are")
    courses, seconds, stopped_at = _read(frame, config, folder)
    named = set(frame.loc[frame["reference"].notna() | frame["arm"].notna(), "number"])
    finished = [course for course in courses if course.final is not None and course.number not in stopped_at]
    rungs = sorted({iteration for course in finished for iteration in course.scores if iteration < course.iterations})
    noises = [(iteration, rung_noise(finished, iteration)) for iteration in rungs]
    counts = {iteration: sum(iteration in course.scores for course in finished) for iteration in rungs}
    stopped = tuple(
        _stopped_trial(course, seconds, finished, config) for course in courses if course.number in stopped_at
    )
    pruning = config.pruning or PruningConfig()
    wanted = sorted({*margins, pruning.margin})
    return PruningReport(
        study=config.name,
        pruning=config.pruning,
        finished=len(finished),
        noises=tuple(
            RungNoise(iteration=iteration, trainings=counts[iteration], noise=noise)
            for iteration, noise in noises
            if noise is not None
        ),
        stopped=stopped,
        saved_s=sum(trial.saved_s for trial in stopped),
        replays=tuple(_replay(finished, named, seconds, config, pruning.replace(margin=margin)) for margin in wanted),
    )


def _read(frame: pd.DataFrame, config: StudyConfig, folder: Path) -> tuple[list[Course], dict[int, float], set[int]]:
    """Trained, feasible trials in the order of their numbers, their seconds, and which of them were stopped."""
    of_the_search = ~frame["screened"] & frame["duplicate_of"].isna() & frame["confirms"].isna()
    trained = frame[frame["state"].isin(["COMPLETE", "PRUNED"]) & of_the_search]
    courses, seconds, stopped = [], {}, set()
    for row in trained[trained["feasible"]].to_dict("records"):
        record = _record(folder / "runs" / str(row["trial_key"]) / "trial.json")
        costs = course_costs(config, {one.figure: row[one.figure] for one in config.objectives})
        if record is None or costs is None:
            continue
        number = int(row["number"])
        courses.append(Course(number, record.train.iterations, costs, scores_of(record.result.curve)))
        seconds[number] = record.result.seconds
        if record.stopped is not None:
            stopped.add(number)
    return courses, seconds, stopped


def _record(path: Path) -> TrialRecord | None:
    try:
        return TrialRecord.model_validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return None


def _replay(
    finished: Sequence[Course],
    named: set[int],
    seconds: dict[int, float],
    config: StudyConfig,
    pruning: PruningConfig,
) -> Replay:
    known: list[Course] = []
    stops: dict[int, Stopped] = {}
    saved = 0.0
    for course in finished:
        stop = None if course.number in named else first_stop(course, known, pruning)
        if stop is None:
            known.append(course)
        else:
            stops[course.number] = stop
            saved += seconds[course.number] * (1 - stop.iteration / course.iterations)
    everything = sum(seconds[course.number] for course in finished)
    on_front = _on_front(finished, config)
    whole = _hypervolume(finished, finished, config)
    return Replay(
        margin=pruning.margin,
        stopped=tuple(stops),
        saved_s=saved,
        saved_share=saved / everything if everything else 0.0,
        lost_from_front=tuple(number for number in stops if number in on_front),
        hypervolume_share=_hypervolume(known, finished, config) / whole if whole else None,
    )


def _stopped_trial(
    course: Course, seconds: dict[int, float], finished: Sequence[Course], config: StudyConfig
) -> StoppedTrial:
    at = max(course.scores)
    gains = [other.final - other.scores[at] for other in finished if at in other.scores and other.final is not None]
    expected = course.scores[at] + sum(gains) / len(gains) if gains else None
    on_front = None
    if expected is not None:
        there = Course(course.number, course.iterations, course.costs, {course.iterations: expected})
        on_front = course.number in _on_front([*finished, there], config)
    return StoppedTrial(
        number=course.number,
        iteration=at,
        iterations=course.iterations,
        seconds=seconds[course.number],
        saved_s=seconds[course.number] * (course.iterations - at) / at,
        miou=course.scores[at],
        expected_miou=expected,
        would_be_on_front=on_front,
    )


def _values(courses: Sequence[Course]) -> np.ndarray:
    """mIoU (up), then the costs (down): a row a course."""
    return np.array([(course.final, *course.costs) for course in courses], dtype=np.float64)


def _maximize(config: StudyConfig) -> list[bool]:
    others: list[Objective] = [one for one in config.objectives if one.figure != "miou"]
    return [True, *(False for _ in others)]


def _on_front(courses: Sequence[Course], config: StudyConfig) -> set[int]:
    if not courses:
        return set()
    front = pareto_front(_values(courses), _maximize(config))
    return {course.number for course, on in zip(courses, front, strict=True) if on}


def _hypervolume(courses: Sequence[Course], all_courses: Sequence[Course], config: StudyConfig) -> float:
    """Within mIoU 0 and a tenth of the range beyond the worst cost of all."""
    if not courses:
        return 0.0
    costs = _values(all_courses)[:, 1:]
    worst, best = costs.max(axis=0), costs.min(axis=0)
    corner = worst + 0.1 * np.where(worst > best, worst - best, np.abs(worst) + 1)
    return hypervolume(_values(courses), _maximize(config), [0.0, *map(float, corner)])
