"""A whole training in a folder: it is said what will be done, everything is kept, and it goes on where it stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from stdc_lab.config.pretraining import PretrainConfig
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.data import IGNORE_LABEL, Dataset
from stdc_lab.data.images import ImageFolder
from stdc_lab.errors import CheckpointError, ConfigError, DataError, StudyError
from stdc_lab.hardware.devices import synchronise
from stdc_lab.machine import MachineLock, machine_lock
from stdc_lab.nn import OwnNetwork, Segmenter, build_classifier, build_model, build_own
from stdc_lab.nn.checkpoints import load_backbone
from stdc_lab.records import InitialWeights, PretrainingOutcome, TrainingOutcome
from stdc_lab.training.account import account, mixed_warning, pretraining_account
from stdc_lab.training.classifier import ClassifierTrainer
from stdc_lab.training.folder import LAST_FILE, Outcome, TrainingFolder, check_same_recipe, training_lock
from stdc_lab.training.interrupts import Interrupts
from stdc_lab.training.stepper import DivergedError
from stdc_lab.training.trainer import Progress, Trainer, is_evaluated, reproducible
from stdc_lab.training.workers import Workers


@dataclass(frozen=True)
class TrainingCallbacks:
    """What a training calls: its account before it starts, every step, and where it stopped before its end."""

    account: Callable[[str], None] = lambda text: None
    progress: Callable[[Progress], None] = lambda progress: None
    stopped: Callable[[str], None] = lambda text: None
    is_enough: Callable[[Progress], bool] = lambda progress: False
    """Asked after every evaluation but the last: whether the training ends here, before its planned end."""
    works: Callable[[], None] = lambda: None
    """Told between two steps that an evaluation comes on, and that the machine's lock is held again."""
    waits: Callable[[], None] = lambda: None
    """Told that the training waits for the machine's lock, however long a timer holds it."""


@dataclass(frozen=True)
class TrainedInFolder:
    """A whole training, and its network with the weights that were evaluated, on its device."""

    outcome: TrainingOutcome
    network: Segmenter


def run_training(
    recipe: RecipeConfig,
    folder: Path,
    dataset: Dataset,
    device: torch.device,
    *,
    pretrained: Path | None = None,
    own: OwnNetwork | None = None,
    workers: Workers | None = None,
    callbacks: TrainingCallbacks | None = None,
    keep_weights: bool = True,
) -> TrainedInFolder:
    """Train as the recipe says, in a folder; called again, go on exactly where the last state was written.

    own: what builds the network of a recipe that records `own_network`.

    The folder gets the recipe, the account, a curve (a row a step), the state, the last and the best checkpoint and
    the result; a training that is finished is only reported. Ctrl-C and SIGTERM wait for the end of a step, whose
    state is then written. keep_weights: whether the last and the best weights get files of their own, beside the state.

    Raises `StudyError` if the folder was begun with another recipe, network or data set,
    `DataError` for an empty split, `DivergedError` when loss or weights are no numbers any more (the last good state
    is kept), and `CheckpointError` if a file cannot be written (what was written before is kept).
    """
    callbacks = callbacks or TrainingCallbacks()
    _check_data(dataset)
    with machine_lock(alone=False) as lock, reproducible(recipe.seed, device):
        network = _network(recipe, len(dataset.class_names), own)
        start = InitialWeights(source="random" if recipe.own_network is None else "own code")
        if pretrained is not None:
            if recipe.own_network is not None:
                raise ConfigError("--pretrained: allowed without --network, whose code can load weights of its own")
            load_backbone(network, pretrained)
            with pretrained.open("rb") as file:
                start = InitialWeights(source=pretrained.name, digest=hashlib.file_digest(file, "sha256").hexdigest())
        trainer = Trainer(network, dataset, recipe.training, recipe.seed, device, workers, start)
        files = TrainingFolder(folder, recipe, trainer, str(start), keep_weights)
        outcome = _run(files, account(recipe, trainer, str(start)), callbacks, lock)
    assert isinstance(outcome, TrainingOutcome)
    return TrainedInFolder(outcome, trainer.evaluated)


def _network(recipe: RecipeConfig, num_classes: int, own: OwnNetwork | None) -> Segmenter:
    """In its training form. Raises `ConfigError` for a user's own network that was not asked for."""
    heads = recipe.training.heads
    if recipe.arch is not None:
        return build_model(recipe.arch, num_classes, heads, seed=recipe.seed)
    if own is None or own.path != recipe.own_network:
        raise ConfigError(
            f"own_network: got {recipe.own_network!r}, whose code runs only when it is asked for: --network "
            f"{recipe.own_network}"
        )
    return build_own(own, num_classes, heads, seed=recipe.seed)


def run_pretraining(
    recipe: PretrainConfig,
    folder: Path,
    images: ImageFolder,
    device: torch.device,
    *,
    workers: Workers | None = None,
    callbacks: TrainingCallbacks | None = None,
) -> PretrainingOutcome:
    """Train a classifier, whose backbone a segmenter can begin with; everything else as `run_training`."""
    callbacks = callbacks or TrainingCallbacks()
    with machine_lock(alone=False) as lock, reproducible(recipe.seed, device):
        network = build_classifier(recipe.arch, len(images.class_names), seed=recipe.seed)
        trainer = ClassifierTrainer(network, images, recipe.data, recipe.train, recipe.seed, device, workers)
        files = TrainingFolder(folder, recipe, trainer, "random weights")
        outcome = _run(files, pretraining_account(recipe, trainer), callbacks, lock)
    assert isinstance(outcome, PretrainingOutcome)
    return outcome


def _run(files: TrainingFolder, text: str, callbacks: TrainingCallbacks, lock: MachineLock) -> Outcome:
    """Begin or go on in a folder, to the end. text: the account of what will be done."""
    trainer, folder, workers = files.trainer, files.folder, files.trainer.workers
    # All that can be wrong with the input is known by now: a folder appears for a training that can begin.
    with training_lock(folder) if workers.first else nullcontext():
        check_same_recipe(files.recipe, folder)
        files.resume()
        if workers.from_first(lambda: trainer.iteration) != trainer.iteration:
            raise StudyError(f"{folder}: the processes do not see the same files; they need one folder in common")
        if trainer.iteration == trainer.config.iterations:
            callbacks.account(f"{folder}: all {trainer.iteration:,} iterations were done before; nothing to train\n")
            return workers.from_first(files.finished)
        if workers.first:
            text += mixed_warning(trainer.computed)
            files.begin(text)
            callbacks.account(text + _going_on(trainer))
        workers.wait()
        _train(files, workers, callbacks, lock)
        return workers.from_first(files.outcome)


def _going_on(trainer: Trainer | ClassifierTrainer) -> str:
    """From where a training goes on, and whether it does so on another kind of device or in another precision."""
    if not trainer.iteration:
        return ""
    said = f"going on after iteration {trainer.iteration:,}"
    before, here = trainer.computed[-2:-1], trainer.computed[-1]
    if before and here.after == trainer.iteration:
        said += f" in {here.precision} on {here.device}, until then in {before[0].precision} on {before[0].device}"
    return f"{said}\n"


def _train(files: TrainingFolder, workers: Workers, callbacks: TrainingCallbacks, lock: MachineLock) -> None:
    """Take the steps that are left, and say what is kept if they end early."""
    try:
        _take_steps(files, workers, callbacks, lock)
    except BaseException as error:
        with suppress(CheckpointError):  # of a disk that was full already
            files.close()
        kept = files.kept()
        if isinstance(error, KeyboardInterrupt):
            again = "goes on from there" if files.saved_at else "begins anew"
            callbacks.stopped(f"stopped; {kept}: the same command {again}")
        elif isinstance(error, CheckpointError):
            raise CheckpointError(f"{error}; {kept}. Once there is room, the same command goes on") from error
        elif isinstance(error, DivergedError):
            last = files.folder / LAST_FILE
            advice = ": change the settings and begin anew"
            if files.saved_at:
                backbone = f" (--pretrained {last} begins with its backbone)" if files.keep_weights else ""
                advice = f" and leads here again: use another --out for other settings{backbone}"
            raise DivergedError(f"{error}; {kept}{advice}") from error
        raise
    files.close()


def _take_steps(files: TrainingFolder, workers: Workers, callbacks: TrainingCallbacks, lock: MachineLock) -> None:
    trainer, recipe = files.trainer, files.recipe
    first, started = trainer.iteration, time.monotonic()
    trainer.works = callbacks.works
    with Interrupts(patient=workers.count > 1) as interrupts:
        for loss, rate in trainer.steps():
            score, evaluated = None, is_evaluated(trainer.iteration, trainer.config)
            saved = evaluated or trainer.iteration % recipe.checkpoint_every == 0
            if saved:
                _check_finite(trainer)
            if evaluated:
                score = files.evaluate() if workers.first else None
                workers.wait()
            if workers.first:
                files.add(loss, rate, score)
                if saved:
                    files.save()
            seconds, waited = time.monotonic() - started, trainer.waited_s
            progress = Progress(
                trainer.iteration, trainer.config.iterations, loss, rate, seconds, score, first, waited,
                trainer.score_name,
            )  # fmt: skip
            try:
                callbacks.progress(progress)
                if workers.any(interrupts.arrived is not None, trainer.device):
                    interrupts.pass_on()
                    if workers.count > 1:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                if workers.first:
                    _check_finite(trainer)
                    files.save()
                raise
            if evaluated and _is_enough(progress, workers, trainer, callbacks):
                return
            if workers.count == 1 and lock.timer_waits():  # several would wait for each other in the next step
                synchronise(trainer.device)
                callbacks.waits()
                lock.step_aside()
                callbacks.works()


def _is_enough(
    progress: Progress, workers: Workers, trainer: Trainer | ClassifierTrainer, callbacks: TrainingCallbacks
) -> bool:
    if progress.iteration == progress.iterations:
        return False
    return workers.any(workers.first and callbacks.is_enough(progress), trainer.device)


def _check_data(dataset: Dataset) -> None:
    for part, split in (("training", dataset.train), ("validation", dataset.val)):
        if not len(split):
            raise DataError(f"{dataset.name}: no {part} images; a training needs both")
        if not any((labels != IGNORE_LABEL).any() for labels in split.labels):
            raise DataError(f"{dataset.name}: no pixel of the {part} images has a class; a training needs both")


def _check_finite(trainer: Trainer | ClassifierTrainer) -> None:
    """Raise `DivergedError` rather than write weights that nothing can go on from: a loss shows it a step later."""
    config = trainer.config
    if not all(bool(tensor.isfinite().all()) for tensor in trainer.network.state_dict().values()):
        raise DivergedError(
            f"the weights are no numbers any more at iteration {trainer.iteration}: try a lower train.learning_rate "
            f"(now {config.learning_rate}) or a longer train.warmup_iterations (now {config.warmup_iterations})"
        )
