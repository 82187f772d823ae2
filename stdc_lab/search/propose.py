"""What is tried next, and what the sampler learns of it: Optuna's trials on one side, candidates on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import optuna

from stdc_lab.arch import ArchSpec
from stdc_lab.config.choosers import Chooser, FixedChooser
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StdcLabError
from stdc_lab.records import Circumstances, ProfileResult, TrialRecord
from stdc_lab.records.figures import OF_TRAINING, figures_of, figures_of_profile, intervals_of
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.objectives import (
    ScreenedOutError,
    constraint_excess,
    limit_excess,
    objective_values,
    screen_by_theory,
)
from stdc_lab.search.samplers import Point, PointSampler, RandomPoints, Tpe
from stdc_lab.storage import (
    Searched,
    StoredTrial,
    TrialNotes,
    enqueue,
    set_constraints,
    tell_complete,
    tell_pruned,
    trial_of,
    trials_of,
)

POSSIBLE = "possible"
"""The constraint that a point breaks of which no network or training can be made."""
REPEATS_IN_A_ROW = 3
"""After so many proposals that were trained before, points are drawn at random until one is not."""


def make_sampler(config: StudyConfig, count: int, point: Point | None = None) -> optuna.samplers.BaseSampler:
    """A sampler whose proposals follow from the seed and the number of trials so far, also after a resume.

    point: what it is to propose, drawn in its place.
    """
    seed = (config.seed * 1_000_003 + count) % 2**32
    if point is not None:
        return PointSampler(point, make_sampler(config, count))
    if config.sampler.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if config.sampler.name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=config.sampler.population)
    # Where keys are absent under conditions, TPE takes them one by one anyway, and would warn each time.
    conditional = any(varied.when for varied in config.space.parameters.values())
    # Its own count of a start-up takes whatever was told for a draw; ours is in `draws_at_random`.
    return Tpe(seed=seed, n_startup_trials=1, multivariate=False if conditional else None)


def draws_at_random(config: StudyConfig, ledger: Ledger, waiting_twins: int) -> bool:
    """Whether the next proposal is a random one: so few were trained yet, or the sampler repeats itself."""
    if config.plan is not None:
        return False
    starting = config.sampler.name == "tpe" and ledger.drawn < config.sampler.startup_trials
    return starting or ledger.repeats + waiting_twins >= REPEATS_IN_A_ROW


def random_point(
    points: RandomPoints,
    count: int,
    config: StudyConfig,
    num_classes: int,
    ledger: Ledger,
    here: Circumstances | None = None,
) -> Point | None:
    """A point at random that can be made, keeps to the limits by theory, and gives a training that was not tried.

    here: what a training's key holds beside the study, as the keys of the ledger do.
    """

    def is_new(chosen: Mapping[str, Any]) -> bool:
        try:
            spec, train = config.space.spec_of(chosen), config.space.training_of(chosen, config.train)
            screen_by_theory(config, spec, num_classes)
        except StdcLabError:
            return False
        again = config.known_training == "new_seed"
        return again or Candidate(-1, spec, train, config.seed, here=here).key(config) not in ledger.tried

    return points.draw(count, is_new)


def enqueue_known(study: optuna.Study, config: StudyConfig) -> None:
    """Queue what is to be run whatever the sampler says and is neither finished nor waiting: references, the user's
    networks, and the arms of a plan. What the space holds is queued as its point, for the sampler to learn from."""
    noted = [trial.notes for trial in trials_of(study) if trial.state != "FAIL"]
    there = {notes.reference for notes in noted}
    train = config.space.training_of({}, config.train)
    for name, spec in config.known_networks.items():
        if name not in there:
            point = config.space.parameters_of(spec, train) or {}
            enqueue(study, point, TrialNotes(reference=name))
    if config.plan is None:
        return
    done = {(notes.arm, notes.seed) for notes in noted}
    for arm, seed in config.plan.pairs():
        if (arm, seed) not in done:
            enqueue(study, {}, TrialNotes(arm=arm, seed=seed))


def next_trial(study: optuna.Study, config: StudyConfig) -> optuna.Trial | None:
    """What is tried next: what waits, or else what the sampler proposes; None once all of a plan was tried.

    Fresh trainings of a confirmation are neither taken nor seen.
    """
    searched = Searched(study)
    if config.plan is not None and not trials_of(searched, "WAITING"):
        return None
    return searched.ask()


def draw_candidate(
    trial: optuna.Trial, config: StudyConfig, num_classes: int, here: Circumstances | None = None
) -> Candidate:
    """Draw a point of the space, or take the network or arm that the trial was queued for.

    Raises `ScreenedOutError` for a drawn point that cannot be made or does not meet the limits. What the user named
    is run all the same; its trial says which limits it breaks.
    """
    queued = TrialNotes.read(trial)
    noted, chooser = queued, cast(Chooser, trial)
    if queued.confirms is not None:
        confirmed = trial_of(trial.study, queued.confirms)
        if not confirmed.params:  # else drawn once more, so that its row of the table has its parameters
            noted, chooser = confirmed.notes, FixedChooser({})
    spec, train = network_of(noted, chooser, config)
    has_own = queued.arm is not None or queued.confirms is not None
    seed = queued.seed if has_own and queued.seed is not None else config.seed
    candidate = Candidate(trial.number, spec, train, seed, queued.reference, queued.arm, queued.confirms, here=here)
    key = candidate.key(config)
    TrialNotes(arch=spec.to_dict(), arch_id=spec.arch_id, seed=seed, trial_key=key).write(trial)
    if not candidate.named:
        screen_by_theory(config, spec, num_classes)
    return candidate


def tell(
    study: optuna.Study, trial: optuna.Trial, record: TrialRecord, config: StudyConfig, duplicate_of: int | None
) -> StoredTrial:
    """Tell the study what a trial measured: objectives, constraints, and every figure as an attribute. A training
    that was stopped is pruned, and has no score: what it had reached is in its record.

    Raises `StudyError` if an objective was not measured.
    """
    figures = figures_of(record)
    values = objective_values(config, figures)
    known = figures if record.stopped is None else figures_of_profile(record.profile)
    by_class = {name: iou for name, iou in record.result.class_iou.items() if iou is not None}
    _notes_of_profile(record.profile).write(trial)
    TrialNotes(
        figures={name: value for name in OF_TRAINING if (value := known.get(name)) is not None},
        class_iou=by_class if record.stopped is None else None,
        train_seconds=record.result.seconds,
        duplicate_of=duplicate_of,
        retried=record.retried,
        reason=record.stopped,
    ).write(trial)
    excess = limit_excess(config, record.arch, record.profile.num_classes)
    excess |= constraint_excess(config, known, intervals_of(record.profile))
    set_constraints(study, trial, excess)
    if record.stopped is not None:
        return tell_pruned(study, trial)
    return tell_complete(study, trial, values)


def tell_screened(study: optuna.Study, trial: optuna.Trial, out: ScreenedOutError) -> None:
    """Record that a candidate is not trained, with its reason, and by how much it breaks what: samplers learn from
    that. It is pruned by Optuna's word; the note `screened` tells it from a training that was stopped."""
    if out.cost is not None:
        _notes_of_profile(out.cost).write(trial)
    TrialNotes(reason=str(out), screened=True).write(trial)
    set_constraints(study, trial, out.excess)
    tell_pruned(study, trial)


def network_of(notes: TrialNotes, chooser: Chooser, config: StudyConfig) -> tuple[ArchSpec, TrainConfig]:
    """The network and the training of a trial with these notes; `chooser` picks what the space leaves open.

    Raises `ScreenedOutError` for a point of which none can be made.
    """
    reference, arm = notes.reference, notes.arm
    if arm is not None and config.plan is not None:
        return config.plan.spec_of(arm), config.plan.training_of(arm, config.train)
    if reference is not None:
        spec, train = config.known_networks[reference], config.space.training_of({}, config.train)
        if config.space.parameters_of(spec, train) is None:
            # Not in the space: trained all the same, but the sampler cannot learn from it.
            return spec, train
    chosen = config.space.choose(chooser)
    try:
        return config.space.spec_of(chosen), config.space.training_of(chosen, config.train)
    except StdcLabError as error:
        raise ScreenedOutError(f"screened out, for it cannot be made: {error}", {POSSIBLE: 1.0}) from error


def _notes_of_profile(cost: ProfileResult) -> TrialNotes:
    latency, where = cost.latency, cost.environment
    return TrialNotes(
        figures={name: value for name, value in figures_of_profile(cost).items() if value is not None},
        intervals=intervals_of(cost),
        latency_spread=None if latency is None else latency.spread,
        latency_noisy=None if latency is None else latency.noisy,
        latency_note=None if latency is None else latency.note,
        fingerprint=None if where is None else where.fingerprint,
    )
