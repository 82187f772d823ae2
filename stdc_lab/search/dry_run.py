"""What a study would be, before it is: its space or plan by theory, and its time by a piece of one real trial."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from stdc_lab.analysis.plan_survey import PlanSurvey, survey_plan
from stdc_lab.analysis.space_survey import SAMPLES, SpaceSurvey, survey_space
from stdc_lab.arch import ArchSpec, presets
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Value
from stdc_lab.data import Dataset, Progress, Split, load_dataset
from stdc_lab.data.kinds import num_classes
from stdc_lab.deploy.runtimes import check_runtime
from stdc_lab.errors import DataError
from stdc_lab.hardware.devices import choose_device, choose_dtype, synchronise
from stdc_lab.machine import machine_lock
from stdc_lab.nn import build_model
from stdc_lab.profiling import profile
from stdc_lab.search.scoring import find_scorer
from stdc_lab.training.evaluate import evaluate
from stdc_lab.training.trainer import Trainer, reproducible

UNTIMED_STEPS = 2
MAX_TIMED_STEPS = 20
TIMED_STEPS_S = 8.0
TIMED_IMAGES = 16
HOW = (
    "{network} was timed as a trial times it, took {steps} optimiser steps at the study's settings after {untimed} "
    "untimed ones (median), and was evaluated on {images} of the {val} validation images; steps and evaluations are "
    "multiplied by how many a trial has. Other networks: the same, training and evaluation multiplied by their MACs "
    "over {network}'s, which is rough: narrow networks take longer than their MACs say."
)


class TimeEstimate(Value):
    """How long a study would take on this machine, one trial after another."""

    network: str
    """The network whose trial was measured: the first that the study names, or the base of its space."""
    device: str
    timing_s: float
    """Seconds that its latency took to measure."""
    step_s: float
    """Median seconds of an optimiser step."""
    evaluation_s: float
    """Seconds of an evaluation of the whole validation set."""
    trial_s: float
    """Seconds of a whole trial of this network."""
    typical_macs_ratio: float
    """Mean MACs of the feasible samples, or of a plan's arms, over this network's."""
    typical_trial_s: float
    trials: int
    """Trained trials, references among them."""
    study_s: float
    how: str


class DryRun(Value):
    """What `search --dry-run` says."""

    study: str
    survey: SpaceSurvey | None
    """Null for a plan, which draws nothing from a space."""
    plan: PlanSurvey | None
    estimate: TimeEstimate | None
    no_estimate_because: str | None


def dry_run(
    config: StudyConfig,
    *,
    data_path: Path | None = None,
    device: str = "auto",
    samples: int = SAMPLES,
    on_survey: Callable[[SpaceSurvey | PlanSurvey], None] | None = None,
    on_progress: Progress | None = None,
) -> DryRun:
    """Survey a study's space or plan, and estimate its time from a piece of a trial of the first network it names.

    Without data, or without a network that fits, there is a reason in place of an estimate. Nothing is written but the
    data's cache. `on_survey` is told of the survey before the time is measured. Raises `StdcLabError` for a device
    that is not there, `ConfigError` for a runtime or a scorer that is not.
    """
    chosen = choose_device(device)
    check_runtime(config.latency, chosen, config.name)
    find_scorer(config.scorer, config.name)
    dataset, reason = None, None
    try:
        dataset = load_dataset(config.data, data_path, progress=on_progress)
    except DataError as error:
        reason = str(error)
    classes = len(dataset.class_names) if dataset is not None else (num_classes(config.data) or 19)
    space, plan = None, None
    if config.plan is not None:
        plan = survey_plan(config, config.plan, classes)
    else:
        space = survey_space(
            config.space,
            config.train,
            cost_size=config.latency.size,
            num_classes=classes,
            samples=samples,
            on_progress=None if on_progress is None else lambda done: on_progress("sampling", done, samples),
        )
    surveyed = plan or space
    assert surveyed is not None
    if on_survey is not None:
        on_survey(surveyed)
    estimate = None
    if dataset is not None and surveyed.mean_macs is not None:
        estimate = _estimate(config, dataset, chosen, surveyed.mean_macs)
    elif reason is None:
        reason = "no sample meets the limits"
    return DryRun(study=config.name, survey=space, plan=plan, estimate=estimate, no_estimate_because=reason)


def _estimate(config: StudyConfig, dataset: Dataset, device: torch.device, mean_macs: float) -> TimeEstimate:
    plain = config.space.training_of({}, config.train)
    planned = [(name, spec, plain) for name, spec in config.known_networks.items()]
    if (plan := config.plan) is not None:
        planned += [(arm, plan.spec_of(arm), plan.training_of(arm, config.train)) for arm, _ in plan.pairs()]
    name, spec, train = next(iter(planned), (config.space.base, presets[config.space.base], plain))
    classes = len(dataset.class_names)
    started = time.monotonic()
    profile(spec, num_classes=classes, latency=config.latency, counters=False, device=device)
    timing_s = time.monotonic() - started
    with machine_lock(alone=False), reproducible(config.seed, device):
        network = build_model(spec, classes, train.heads, seed=config.seed)
        trainer = Trainer(network, dataset, train, config.seed, device)
        step_s = _step_seconds(trainer, device)
        few = _first(dataset.val, TIMED_IMAGES)
        started = time.monotonic()
        dtype = choose_dtype(train.precision, device)
        evaluate(trainer.evaluated, few, classes, device, dtype, scales=(train.evaluation_scale,))
        evaluation_s = (time.monotonic() - started) * len(dataset.val) / len(few)

    def macs_of(network: ArchSpec) -> int:
        return total_cost(network, config.latency.size, classes).macs

    def trial_s(macs: float, training: TrainConfig) -> float:
        steps = training.iterations * training.batch_size / train.batch_size
        computing = steps * step_s[0] + training.evaluations * evaluation_s
        return timing_s + computing * macs / own_macs

    own_macs = macs_of(spec)
    known_s = [trial_s(macs_of(network), training) for _, network, training in planned[: config.total_trials]]
    return TimeEstimate(
        network=name,
        device=str(device),
        timing_s=timing_s,
        step_s=step_s[0],
        evaluation_s=evaluation_s,
        trial_s=trial_s(own_macs, train),
        typical_macs_ratio=mean_macs / own_macs,
        typical_trial_s=trial_s(mean_macs, plain),
        trials=config.total_trials,
        study_s=sum(known_s) + (config.total_trials - len(known_s)) * trial_s(mean_macs, plain),
        how=HOW.format(network=name, steps=step_s[1], untimed=UNTIMED_STEPS, images=len(few), val=len(dataset.val)),
    )


def _step_seconds(trainer: Trainer, device: torch.device) -> tuple[float, int]:
    """Median seconds of an optimiser step with its wait for data, and over how many. A training too short for untimed
    steps has all of its steps timed."""
    untimed = UNTIMED_STEPS if trainer.config.iterations > UNTIMED_STEPS else 0
    seconds: list[float] = []
    begun = last = time.monotonic()
    steps = trainer.steps()
    for count, _ in enumerate(steps, start=1):
        synchronise(device)
        now = time.monotonic()
        if count > untimed:
            seconds.append(now - last)
        last = now
        if len(seconds) == MAX_TIMED_STEPS or (len(seconds) >= 3 and now - begun > TIMED_STEPS_S):
            break
    steps.close()  # type: ignore[attr-defined]
    return statistics.median(seconds), len(seconds)


def _first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count], split.names[:count])
