"""A study as samplers are to see it: Optuna's own, with some of its trials left out or shown otherwise."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from stdc_lab.storage.trials import TRAINED_STATES, confirms_another, take_waiting

TRAINABLE = "trainable"
"""The constraint that a point breaks whose training diverged or did not fit into memory."""


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
        return [trial for trial in trials if not confirms_another(trial)]

    def _pop_waiting_trial_id(self) -> int | None:
        return take_waiting(self, confirmations=False)


def as_lessons(study: optuna.Study) -> optuna.Study:
    """A study whose finished trials are its `lessons`; for the rest it is the study itself."""
    return cast(optuna.Study, _Shown(study))


def lessons(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """What a sampler learns from: the finished trials at points of the space.

    A trial that failed because of its point stands there as one that breaks a constraint. Optuna's samplers pass over
    failed trials, so that a region where every training diverges would look like one that nobody has been to.
    """
    return [
        _broken(trial) if trial.state == TrialState.FAIL else trial
        for trial in trials
        if trial.params and (trial.state in TRAINED_STATES or trial.user_attrs.get("failed_at_its_point"))
    ]


def _broken(trial: FrozenTrial) -> FrozenTrial:
    broken = create_trial(
        state=TrialState.PRUNED,
        params=trial.params,
        distributions=trial.distributions,
        constraints={**trial.constraints, TRAINABLE: 1.0},
    )
    broken.number, broken._trial_id = trial.number, trial._trial_id
    return broken


class _Shown:
    def __init__(self, study: optuna.Study) -> None:
        self._itself = study
        self._lessons = lessons(study.get_trials(deepcopy=False))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._itself, name)

    def _get_trials(
        self, deepcopy: bool = True, states: tuple[TrialState, ...] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._lessons if states is None or trial.state in states]
