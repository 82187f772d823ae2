"""What a study has come to so far, kept in memory: no trial's cost grows with the number of those before it."""

from __future__ import annotations

import math
from datetime import datetime

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from stdc_lab.analysis.pareto import hypervolume_growth

TRAINED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)
SMALLEST_GROWTH = 1e-3
CONFIRMS = "confirms"
"""The attribute of a trial that trains another once more: the number of that one."""
NOT_COUNTED = ("duplicate_of", "screened", CONFIRMS)
"""Attributes of trials that are none of those that a search was asked for."""
NAMED = ("reference", "arm")
"""Attributes of trials that no sampler proposed."""
FAILED_AT_ITS_POINT = "failed_at_its_point"
"""The attribute of a failed trial whose network or training is the reason, and not the machine."""


class Ledger:
    """The trials that were trained: complete, or pruned on the way, and no repetition of another."""

    def __init__(self, study: optuna.Study) -> None:
        self.number_of: dict[str, int] = {}
        """By `trial_key`."""
        self.confirmed = 0
        """How many trainings of a confirmation are done."""
        self.drawn = 0
        """How many of the trained were proposed, not named."""
        self.repeats = 0
        """How many proposals in a row had been trained before."""
        self.tried: set[str] = {
            trial.user_attrs["trial_key"]
            for trial in study.get_trials(deepcopy=False)
            if "trial_key" in trial.user_attrs
        }
        """The `trial_key` of whatever was proposed so far, whatever became of it."""
        self._maximize = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
        self._values: list[list[float]] = []
        done = study.get_trials(deepcopy=False, states=TRAINED_STATES)
        for trial in sorted(done, key=lambda trial: trial.datetime_complete or datetime.min):
            self.add(trial)

    @property
    def trained(self) -> int:
        """How many there are."""
        return len(self.number_of)

    def add(self, trial: FrozenTrial) -> None:
        """Hear of a trial that has been told."""
        self.confirmed += trial.state == TrialState.COMPLETE and CONFIRMS in trial.user_attrs
        self.repeats += "duplicate_of" in trial.user_attrs
        if is_trained(trial):
            self.repeats = 0
            self.drawn += not any(name in trial.user_attrs for name in NAMED)
            self.number_of.setdefault(trial.user_attrs.get("trial_key", f"trial {trial.number}"), trial.number)
            feasible = trial.state == TrialState.COMPLETE and all(v <= 0 for v in trial.constraints.values())
            self._values.append(list(trial.values) if feasible else [math.nan] * len(self._maximize))

    def is_stale(self, last: int) -> bool:
        """Whether the last so many trained trials have not made the front's hypervolume grow."""
        return hypervolume_growth(self._values, self._maximize, last) < SMALLEST_GROWTH


def is_trained(trial: FrozenTrial) -> bool:
    """Whether a trial counts among those that were trained."""
    return trial.state in TRAINED_STATES and not any(name in trial.user_attrs for name in NOT_COUNTED)


def give_back(study: optuna.Study, number: int) -> None:
    """Put a trial that was broken off back into the queue, as it is: its number, its point and its seed stay.

    One write: whatever happens before or after it, the trial is there once.
    """
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state == TrialState.RUNNING:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def take_up_abandoned(study: optuna.Study) -> None:
    """Give back the trials that were under way when a search was killed."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        give_back(study, trial.number)
