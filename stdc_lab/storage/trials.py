"""A study's trials: what is stored of them, the queue of those that wait, and what is told of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from stdc_lab.storage.notes import TrialNotes

State = Literal["RUNNING", "WAITING", "COMPLETE", "PRUNED", "FAIL"]
"""By Optuna's names; a candidate that is screened out is PRUNED, as a training that is stopped."""
TRAINED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class StoredTrial:
    """A trial as its storage holds it."""

    number: int
    state: State
    values: tuple[float, ...] | None
    """Of the study's objectives, in their order; None unless it is complete."""
    params: Mapping[str, Any]
    constraints: Mapping[str, float]
    """By what share of its bound each is broken (above 0) or kept."""
    completed: datetime | None
    notes: TrialNotes

    @classmethod
    def of(cls, trial: FrozenTrial) -> StoredTrial:
        """From Optuna's view of it. Raises `StudyError` for a note of a wrong type."""
        state: State = trial.state.name  # type: ignore[assignment]
        values = None if trial.values is None else tuple(trial.values)
        return cls(
            trial.number,
            state,
            values,
            trial.params,
            dict(trial.constraints),
            trial.datetime_complete,
            TrialNotes.read(trial),
        )

    @property
    def is_finished(self) -> bool:
        """Whether nothing becomes of it any more."""
        return self.state not in ("RUNNING", "WAITING")

    @property
    def is_trained(self) -> bool:
        """Whether it counts among those that were trained: complete, or stopped on the way, and no repetition."""
        notes = self.notes
        repeats = notes.duplicate_of is not None and not notes.named
        counted = not (notes.screened or notes.confirms is not None or repeats)
        return counted and self.state in ("COMPLETE", "PRUNED")


def trials_of(study: optuna.Study, *states: State) -> list[StoredTrial]:
    """A study's trials in the order of their numbers: all, or those in some states."""
    wanted = tuple(TrialState[state] for state in states) or None
    return [StoredTrial.of(trial) for trial in study.get_trials(deepcopy=False, states=wanted)]


def trial_of(study: optuna.Study, number: int) -> StoredTrial:
    """A study's trial of a number."""
    return StoredTrial.of(study.get_trials(deepcopy=False)[number])


def confirms_another(trial: FrozenTrial) -> bool:
    """Whether a trial is a fresh training of a known network."""
    return "confirms" in trial.user_attrs


def enqueue(study: optuna.Study, point: Mapping[str, Any], notes: TrialNotes) -> None:
    """Have a point tried; what it leaves out is drawn."""
    study.enqueue_trial(dict(point), user_attrs=notes.attributes())


def take_waiting(study: optuna.Study, *, confirmations: bool) -> int | None:
    """The first trial that waits, taken out of the queue: its id in the storage; None if none does.

    confirmations: whether a fresh training of a known network is wanted, or any other trial.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if confirms_another(trial) == confirmations:
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


def set_constraints(study: optuna.Study, trial: optuna.Trial, excess: Mapping[str, float]) -> None:
    """Store by how much a trial breaks each constraint."""
    # Optuna keeps the first value of a constraint: a driver that was killed before its last word may have set it.
    there = study._storage.get_trial(trial._trial_id).constraints
    for name, value in excess.items():
        if name not in there:
            trial.set_constraint(name, value)


def tell_complete(study: optuna.Study, trial: optuna.Trial, values: Iterable[float]) -> StoredTrial:
    """A trial is complete, with the values of the objectives."""
    return StoredTrial.of(study.tell(trial, list(values)))


def tell_pruned(study: optuna.Study, trial: optuna.Trial) -> StoredTrial:
    """A trial was stopped on the way, or screened out: it has no values."""
    return StoredTrial.of(study.tell(trial, state=TrialState.PRUNED))


def tell_failed(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    """A trial has come to nothing."""
    TrialNotes(reason=reason).write(trial)
    study.tell(trial, state=TrialState.FAIL)
