"""What a study has come to so far, kept in memory: no trial's cost grows with the number of those before it."""

from __future__ import annotations

import math
from collections.abc import Container
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
"""Attributes of trials that the study asks for by name, and no sampler proposed. Two of them may share a training, as a
reference that equals an arm; both are asked for, so both count."""
FAILED_AT_ITS_POINT = "failed_at_its_point"
"""The attribute of a failed trial whose network or training is the reason, and not the machine."""


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

    def add(self, trial: FrozenTrial) -> None:
        """Hear of a trial that has been told."""
        self.confirmed += trial.state == TrialState.COMPLETE and CONFIRMS in trial.user_attrs
        self.repeats += "duplicate_of" in trial.user_attrs
        if is_trained(trial):
            self.trained += 1
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
    against = {name for name in NOT_COUNTED if name in trial.user_attrs}
    if any(name in trial.user_attrs for name in NAMED):
        against.discard("duplicate_of")
    return trial.state in TRAINED_STATES and not against


class Searched(optuna.Study):
    """A study as if nothing in it had been confirmed: what samplers see of it, and what its queue holds for them.

    A confirmation trains what is known once more, with seeds that are to have no part in choosing anything.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)  # Study's own __init__ would ask the storage for what is known here

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [trial for trial in trials if CONFIRMS not in trial.user_attrs]

    def _pop_waiting_trial_id(self) -> int | None:
        return take_waiting(self, confirmations=False)


def take_waiting(study: optuna.Study, *, confirmations: bool) -> int | None:
    """The first trial that waits, taken out of the queue: its id in the storage; None if none does.

    confirmations: whether a fresh training of a known network is wanted, or any other trial.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if (CONFIRMS in trial.user_attrs) == confirmations:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            return trial._trial_id
    return None


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
