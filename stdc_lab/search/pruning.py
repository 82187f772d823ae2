"""Stopping trainings on the way: what is finished is remembered, and judges what is not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stdc_lab.analysis.rungs import Course, course_costs, scores_of, stop_at
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.records.figures import figures_of, figures_of_profile, intervals_of
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.folder import read_record
from stdc_lab.search.objectives import constraint_excess
from stdc_lab.storage import StoredTrial
from stdc_lab.training import Progress


class Pruner:
    """The courses of a study's finished trainings; without `pruning` in the study it stops none and reads nothing."""

    def __init__(self, config: StudyConfig, folder: Path, trials: Iterable[StoredTrial]) -> None:
        self.config = config
        self.finished: list[Course] = []
        if config.pruning is None:
            return
        for trial in trials:
            if trial.state == "COMPLETE" and trial.is_trained:
                record = read_record(folder, str(trial.notes.trial_key))
                if record is not None:
                    self.add(record)

    def add(self, record: TrialRecord) -> None:
        """Hear of a trial that is finished. One that was stopped, or keeps to no constraint, stops no other."""
        if self.config.pruning is None or record.stopped is not None:
            return
        figures = figures_of(record)
        costs = course_costs(self.config, figures)
        if costs is None or self._breaks_a_constraint(record):
            return
        scores = scores_of(record.result.curve)
        self.finished.append(Course(record.number, record.train.iterations, costs, scores))

    def _breaks_a_constraint(self, record: TrialRecord) -> bool:
        excess = constraint_excess(self.config, figures_of(record), intervals_of(record.profile))
        return any(share > 0 for share in excess.values())

    def judge(self, candidate: Candidate, cost: ProfileResult | None, progress: Progress) -> str | None:
        """Why a training ends at this evaluation; None if it goes on, as whatever the study names does."""
        if self.config.pruning is None or candidate.named or cost is None or progress.score is None:
            return None
        costs = course_costs(self.config, figures_of_profile(cost))
        if costs is None:
            return None
        course = Course(candidate.number, progress.iterations, costs, {progress.iteration: progress.score})
        stopped = stop_at(course, progress.iteration, self.finished, self.config.pruning)
        return None if stopped is None else str(stopped)
