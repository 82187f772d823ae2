"""The trainings that a claim needs: one arm, one seed, one protocol at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stdc_lab.analysis.decisions import plan_of, seeds_that_would_do
from stdc_lab.analysis.ledger import now
from stdc_lab.analysis.trainings_table import COMPLETE, DIVERGED, TrainingRow, whole_pairs
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.figures import CLASS_IOU
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import Dataset
from stdc_lab.errors import ConfigError, StudyError
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.hardware.environment import environment
from stdc_lab.records import Circumstances, TrainResult, trial_key
from stdc_lab.training import Progress
from stdc_lab.training.run import TrainingCallbacks, run_training
from stdc_lab.training.stepper import DivergedError

STATES_PER_TRAINING = 6
"""How often a training's state is written, evaluations apart."""


@dataclass(frozen=True)
class Bench:
    """Where trainings are run."""

    device: torch.device
    runs: Path
    """A training's folder is `<trial_key>/` of it: a training that several claims need is done once."""
    known: dict[str, TrainingRow] = field(default_factory=dict)
    """What is done already, by `trial_key`, of this claim or another."""
    on_progress: Callable[[str, Progress], None] = lambda what, progress: None
    """Told which training takes a step, and where it is."""


def circumstances_of(dataset: Dataset, device: torch.device) -> Circumstances:
    """What a training's key holds beside its settings."""
    return Circumstances(dataset.contents, str(choose_dtype("auto", device)).removeprefix("torch."))


def key_of(claim: TrainedClaim, protocol: str, arm: str, seed: int, here: Circumstances | None = None) -> str:
    """The key of a training; without `here`, of what was asked for, whatever computes it."""
    wanted, plan = claim.protocols[protocol], claim.plan((seed,))
    return trial_key(plan.spec_of(arm), plan.training_of(arm, wanted.train), wanted.data, seed, here)


def refuse_undecidable(claim: TrainedClaim, protocol: str) -> None:
    """Raise `ConfigError` for a claim that its own plan can hardly decide, with the seeds that would do."""
    seeds = claim.seeds_of(protocol)
    asked = {"assumed_sd": claim.assumed_sd, "margin": claim.margin}
    plan = plan_of(**asked, max_seeds=seeds, asserts=claim.asserts)
    if plan.can_decide or claim.protocols[protocol].explores:
        return
    enough = seeds_that_would_do(**asked, asserts=claim.asserts)
    advice = "no number of seeds would do: widen the margin" if enough is None else f"{enough} seeds would do"
    raise ConfigError(
        f"{claim.id}/{protocol}: cannot be decided with {seeds} seeds at assumed_sd {claim.assumed_sd:g} and margin "
        f"{claim.margin:g}: no difference that matters is found with a chance of {plan.null_chance:.0%} where there is "
        f"none, and twice the margin with {plan.decision_chance:.0%}; each should be a half. {advice[0].upper()}"
        f"{advice[1:]}; --anyway runs it all the same, and the ledger records that"
    )


def check_rows(claim: TrainedClaim, protocol: str, rows: Iterable[TrainingRow], where: Path) -> None:
    """Raise `StudyError` for a row that is of another training than the claim now asks for."""
    for row in rows:
        if row.arm not in claim.arms:
            raise StudyError(
                f"{where}: a row of arm {row.arm}; allowed: {', '.join(claim.arms)}. The claim has other arms now: "
                "move the table away, or put the claim back"
            )
        if row.training != key_of(claim, protocol, row.arm, row.seed):
            raise StudyError(
                f"{where}: arm {row.arm}, seed {row.seed} was trained as the claim no longer says; move the table "
                "away, or put the claim back"
            )


def check_metric(claim: TrainedClaim) -> None:
    """Raise `ConfigError` for a claim by a figure that its table does not keep."""
    if claim.metric != "miou" and not claim.metric.startswith(CLASS_IOU):
        raise ConfigError(
            f"metric: {claim.metric} is not kept in the table of a claim; allowed: miou, {CLASS_IOU}CLASS"
        )


def check_classes(claim: TrainedClaim, protocol: str, known: Sequence[str]) -> None:
    """Raise `ConfigError` for a class that the claim names and the data set does not have."""
    named = {"frequent_classes": claim.protocols[protocol].frequent_classes}
    named |= {"metric": (claim.metric.removeprefix(CLASS_IOU),)} if claim.metric.startswith(CLASS_IOU) else {}
    for key, names in named.items():
        for name in names:
            if name not in known:
                raise ConfigError(f"{key}: got class {name!r}; allowed: {', '.join(known)}")


def next_seed(claim: TrainedClaim, rows: Sequence[TrainingRow]) -> int:
    """The first seed, from 0, of which an arm is missing, or whose arms are no pair."""
    kept, _ = whole_pairs(rows, list(claim.arms))
    whole = {row.seed for row in kept}
    return next(seed for seed in range(len(whole) + 1) if seed not in whole)


def _asked_precision(train: TrainConfig, here: Circumstances) -> str:
    return here.auto_precision if train.precision == "auto" else train.precision


def train_arm(claim: TrainedClaim, protocol: str, arm: str, seed: int, dataset: Dataset, bench: Bench) -> TrainingRow:
    """Train, or take what is done under the same key; a training that was broken off goes on from its last state.

    One that diverges is a result. Raises what else `run_training` raises.
    """
    wanted, plan = claim.protocols[protocol], claim.plan((seed,))
    train = plan.training_of(arm, wanted.train)
    here = circumstances_of(dataset, bench.device)
    key = key_of(claim, protocol, arm, seed, here)
    where = environment(bench.device, torch.get_num_threads())
    if key in bench.known and bench.known[key].fingerprint == where.fingerprint:
        return bench.known[key].replace(arm=arm, seed=seed)
    recipe = RecipeConfig(
        name=f"claim_{key}",
        arch=plan.spec_of(arm),
        data=wanted.data,
        train=train,
        seed=seed,
        checkpoint_every=max(1, train.iterations // STATES_PER_TRAINING),
    )
    what = f"{claim.id}/{protocol}: {arm}, seed {seed}"
    callbacks = TrainingCallbacks(progress=lambda progress: bench.on_progress(what, progress))
    found: TrainResult | None = None
    reason = ""
    try:
        done = run_training(recipe, bench.runs / key, dataset, bench.device, callbacks=callbacks, keep_weights=False)
        found = done.outcome.last
    except DivergedError as error:
        reason = str(error).split(";")[0]
    row = TrainingRow(
        arm=arm,
        seed=seed,
        state=DIVERGED if found is None else COMPLETE,
        miou=None if found is None else found.miou,
        class_iou={} if found is None else found.class_iou,
        pixel_accuracy=None if found is None else found.pixel_accuracy,
        iterations=train.iterations,
        seconds=None if found is None else round(found.seconds, 1),
        precision=_asked_precision(train, here) if found is None else found.precision,
        processor=where.processor,
        fingerprint=where.fingerprint,
        training=key_of(claim, protocol, arm, seed),
        trial_key=key,
        contents=dataset.contents,
        date=now(),
        reason=reason,
    )
    bench.known[key] = row
    return row
