"""What is tried next, and what the sampler learns of it: Optuna's trials on one side, candidates on the other."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from stdc_lab.arch import presets
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import TrialRecord
from stdc_lab.search.objective import Candidate


def make_sampler(config: StudyConfig, count: int) -> optuna.samplers.BaseSampler:
    """A sampler whose proposals follow from the seed and the number of trials so far, also after a resume."""
    seed = (config.seed * 1_000_003 + count) % 2**32
    if config.sampler.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.sampler.startup_trials)


def enqueue_references(study: optuna.Study, config: StudyConfig) -> None:
    """Queue each reference network that is neither finished nor waiting, as a point of the space where it is one."""
    trials = study.get_trials(deepcopy=False)
    there = {_reference_of(trial) for trial in trials if trial.state != TrialState.FAIL}
    for name in config.references:
        if name not in there:
            point = config.space.parameters_of(presets[name], config.train) or {}
            study.enqueue_trial(point, user_attrs={"reference": name})


def draw_candidate(trial: optuna.Trial, config: StudyConfig) -> Candidate:
    """Draw a point of the space, or take the reference network that the trial was enqueued for."""
    reference = trial.user_attrs.get("reference")
    if reference is not None and config.space.parameters_of(presets[reference], config.train) is None:
        # A reference that the space does not contain: trained all the same, but the sampler cannot learn from it.
        spec, train = presets[reference], config.train
    else:
        chosen = config.space.choose(trial)
        spec, train = config.space.spec_of(chosen), config.space.training_of(chosen, config.train)
    candidate = Candidate(trial.number, spec, train, config.seed, reference)
    attributes = {
        "arch": spec.to_dict(),
        "arch_id": spec.arch_id,
        "seed": config.seed,
        "trial_key": candidate.key(config),
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    return candidate


def tell(study: optuna.Study, trial: optuna.Trial, record: TrialRecord, duplicate_of: int | None) -> FrozenTrial:
    latency, where = record.profile.latency, record.profile.environment
    assert latency is not None and where is not None
    attributes: dict[str, Any] = {
        "macs": record.profile.macs,
        "num_params": record.profile.num_params,
        "latency_ms": latency.median_ms,
        "latency_p95_ms": latency.p95_ms,
        "latency_spread": latency.spread,
        "fingerprint": where.fingerprint,
        "train_seconds": record.result.seconds,
    }
    if duplicate_of is not None:
        attributes["duplicate_of"] = duplicate_of
    if record.retried is not None:
        attributes["retried"] = record.retried
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if record.stopped is not None:
        trial.set_user_attr("reason", record.stopped)
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, [record.result.miou, latency.median_ms])


def _reference_of(trial: FrozenTrial) -> str | None:
    reference: str | None = trial.user_attrs.get("reference")
    return reference
