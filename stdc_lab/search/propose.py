"""What is tried next, and what the sampler learns of it: Optuna's trials on one side, candidates on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from stdc_lab.arch import ArchSpec
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StdcLabError
from stdc_lab.records import Circumstances, ProfileResult, TrialRecord
from stdc_lab.records.figures import figures_of, figures_of_profile, intervals_of, notes_of_training
from stdc_lab.search.ledger import CONFIRMS, Ledger, Searched
from stdc_lab.search.objective import Candidate
from stdc_lab.search.objectives import (
    ScreenedOutError,
    constraint_excess,
    limit_excess,
    objective_values,
    screen_by_theory,
)
from stdc_lab.search.samplers import Point, PointSampler, RandomPoints, Tpe

SCREENED = "screened"
"""The attribute of a trial that was not trained because of what theory or its profile says."""
POSSIBLE = "possible"
"""The constraint that a point breaks of which no network or training can be made."""
REPEATS_IN_A_ROW = 3
"""After so many proposals that were trained before, points are drawn at random until one is not."""
_QUEUED = ("reference", "arm", "seed")


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
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
    there = {trial.user_attrs.get("reference") for trial in trials}
    train = config.space.training_of({}, config.train)
    for name, spec in config.known_networks.items():
        if name not in there:
            point = config.space.parameters_of(spec, train) or {}
            study.enqueue_trial(point, user_attrs={"reference": name})
    if config.plan is None:
        return
    done = {(trial.user_attrs.get("arm"), trial.user_attrs.get("seed")) for trial in trials}
    for arm, seed in config.plan.pairs():
        if (arm, seed) not in done:
            study.enqueue_trial({}, user_attrs={"arm": arm, "seed": seed})


def next_trial(study: optuna.Study, config: StudyConfig) -> optuna.Trial | None:
    """What is tried next: what waits, or else what the sampler proposes; None once all of a plan was tried.

    Fresh trainings of a confirmation are neither taken nor seen.
    """
    searched = Searched(study)
    if config.plan is not None and not searched.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return None
    return searched.ask()


def draw_candidate(
    trial: optuna.Trial, config: StudyConfig, num_classes: int, here: Circumstances | None = None
) -> Candidate:
    """Draw a point of the space, or take the network or arm that the trial was queued for.

    Raises `ScreenedOutError` for a drawn point that cannot be made or does not meet the limits. What the user named
    is run all the same; its trial says which limits it breaks.
    """
    attributes = trial.user_attrs
    reference, arm, seed = (attributes.get(name) for name in _QUEUED)
    confirms = attributes.get(CONFIRMS)
    if confirms is None:
        seed = config.seed if seed is None or arm is None else int(seed)
        spec, train = network_of(trial, config)
    else:
        confirmed = trial.study.get_trials(deepcopy=False)[confirms]
        # Drawn once more where it can be, so that its row of the table has its parameters.
        spec, train = network_of(trial if confirmed.params else confirmed, config)
        seed = int(attributes["seed"])
    candidate = Candidate(trial.number, spec, train, seed, reference, arm, confirms, here=here)
    for name, value in {
        "arch": spec.to_dict(),
        "arch_id": spec.arch_id,
        "seed": seed,
        "trial_key": candidate.key(config),
    }.items():
        trial.set_user_attr(name, value)
    if not candidate.named:
        screen_by_theory(config, spec, num_classes)
    return candidate


def tell(
    study: optuna.Study, trial: optuna.Trial, record: TrialRecord, config: StudyConfig, duplicate_of: int | None
) -> FrozenTrial:
    """Tell the study what a trial measured: objectives, constraints, and every figure as an attribute. A training
    that was stopped is pruned, and has no score: what it had reached is in its record.

    Raises `StudyError` if an objective was not measured.
    """
    figures = figures_of(record)
    values = objective_values(config, figures)
    _note_profile(trial, record.profile)
    attributes: dict[str, Any] = {
        **(notes_of_training(record) if record.stopped is None else {}),
        "train_seconds": record.result.seconds,
        "duplicate_of": duplicate_of,
        "retried": record.retried,
        "reason": record.stopped,
    }
    for name, value in attributes.items():
        if value is not None:
            trial.set_user_attr(name, value)
    excess = limit_excess(config, record.arch, record.profile.num_classes)
    known = figures if record.stopped is None else figures_of_profile(record.profile)
    excess |= constraint_excess(config, known, intervals_of(record.profile))
    _set_constraints(study, trial, excess)
    if record.stopped is not None:
        return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, values)


def tell_screened(study: optuna.Study, trial: optuna.Trial, out: ScreenedOutError) -> None:
    """Record that a candidate is not trained, with its reason, and by how much it breaks what: samplers learn from
    that. It is pruned by Optuna's word; the attribute `SCREENED` tells it from a training that was stopped."""
    if out.cost is not None:
        _note_profile(trial, out.cost)
    trial.set_user_attr("reason", str(out))
    trial.set_user_attr(SCREENED, True)
    _set_constraints(study, trial, out.excess)
    study.tell(trial, state=TrialState.PRUNED)


def is_screened(trial: FrozenTrial) -> bool:
    """Whether a trial was screened out, not trained."""
    return bool(trial.user_attrs.get(SCREENED))


def network_of(trial: optuna.Trial | FrozenTrial, config: StudyConfig) -> tuple[ArchSpec, TrainConfig]:
    """The network and the training of a trial, drawn where that was not done before.

    Raises `ScreenedOutError` for a point of which none can be made.
    """
    reference, arm = trial.user_attrs.get("reference"), trial.user_attrs.get("arm")
    if arm is not None and config.plan is not None:
        return config.plan.spec_of(arm), config.plan.training_of(arm, config.train)
    if reference is not None:
        spec, train = config.known_networks[reference], config.space.training_of({}, config.train)
        if config.space.parameters_of(spec, train) is None:
            # Not in the space: trained all the same, but the sampler cannot learn from it.
            return spec, train
    chosen = config.space.choose(trial)
    try:
        return config.space.spec_of(chosen), config.space.training_of(chosen, config.train)
    except StdcLabError as error:
        raise ScreenedOutError(f"screened out, for it cannot be made: {error}", {POSSIBLE: 1.0}) from error


def _note_profile(trial: optuna.Trial, cost: ProfileResult) -> None:
    latency, where = cost.latency, cost.environment
    attributes: dict[str, Any] = {**figures_of_profile(cost)}
    if latency is not None:
        attributes |= {"latency_spread": latency.spread, "latency_noisy": latency.noisy, "latency_note": latency.note}
        for figure, (low, high) in intervals_of(cost).items():
            attributes |= {f"{figure}_low": low, f"{figure}_high": high}
    if where is not None:
        attributes["fingerprint"] = where.fingerprint
    for name, value in attributes.items():
        if value is not None:
            trial.set_user_attr(name, value)


def _set_constraints(study: optuna.Study, trial: optuna.Trial, excess: Mapping[str, float]) -> None:
    # Optuna keeps the first value of a constraint: a driver that was killed before its last word may have set it.
    there = study._storage.get_trial(trial._trial_id).constraints
    for name, value in excess.items():
        if name not in there:
            trial.set_constraint(name, value)
