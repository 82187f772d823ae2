"""What a study has come to so far, kept in memory: no trial's cost grows with the number of those before it."""

from __future__ import annotations

import math
from datetime import datetime

import optuna
from optuna.study import StudyDirection

from stdc_lab.analysis.pareto import hypervolume_growth
from stdc_lab.storage import StoredTrial, trials_of

SMALLEST_GROWTH = 1e-3


class Ledger:
    """The trials that were trained: complete, or pruned on the way, and no repetition of another."""

    def __init__(self, study: optuna.Study) -> None:
        self.number_of: dict[str, int] = {}
        """By `trial_key`."""
        self.trained = 0
        """How many trials there are; those that the study names and that share a training count each."""
        self.confirmed = 0
        """How many trainings of a confirmation are done."""
        self.drawn = 0
        """How many of the trained were proposed, not named."""
        self.repeats = 0
        """How many proposals in a row had been trained before."""
        trials = trials_of(study)
        self.tried = {trial.notes.trial_key for trial in trials if trial.notes.trial_key is not None}
        """The `trial_key` of whatever was proposed so far, whatever became of it."""
        self._maximize = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
        self._values: list[list[float]] = []
        done = [trial for trial in trials if trial.state in ("COMPLETE", "PRUNED")]
        for trial in sorted(done, key=lambda trial: trial.completed or datetime.min):
            self.add(trial)

    def add(self, trial: StoredTrial) -> None:
        """Hear of a trial that has been told."""
        notes = trial.notes
        self.confirmed += trial.state == "COMPLETE" and notes.confirms is not None
        self.repeats += notes.duplicate_of is not None
        if trial.is_trained:
            self.trained += 1
            self.repeats = 0
            self.drawn += not notes.named
            self.number_of.setdefault(notes.trial_key or f"trial {trial.number}", trial.number)
            feasible = trial.state == "COMPLETE" and all(v <= 0 for v in trial.constraints.values())
            self._values.append(list(trial.values or ()) if feasible else [math.nan] * len(self._maximize))

    def is_stale(self, last: int) -> bool:
        """Whether the last so many trained trials have not made the front's hypervolume grow."""
        return hypervolume_growth(self._values, self._maximize, last) < SMALLEST_GROWTH
