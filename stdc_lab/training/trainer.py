"""A training, step by step: it can stop after any iteration and go on exactly as if it had not."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stdc_lab.arch import ArchSpec
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import IGNORE_LABEL, Batches, Dataset, Pixels, batch_at, crop_size
from stdc_lab.errors import StdcLabError
from stdc_lab.machine import choose_dtype, environment, machine_lock, place
from stdc_lab.nn import SegOutput, StdcSegmenter, build_model
from stdc_lab.records import CurvePoint, TrainResult
from stdc_lab.training.evaluate import evaluate, to_input
from stdc_lab.training.losses import training_loss
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.optimiser import make_average, make_fusion_weights, make_optimiser, set_training
from stdc_lab.training.schedule import rate_at
from stdc_lab.training.workers import Workers

CURVE_POINTS = 50


class DivergedError(StdcLabError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for who shows it. `seconds`: since it was started or went on; `waited_s`: for data."""

    iteration: int
    iterations: int
    loss: float
    learning_rate: float
    seconds: float
    miou: float | None
    first_iteration: int = 0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A training's outcome: the figures, and the network whose weights were evaluated (training form)."""

    result: TrainResult
    network: StdcSegmenter


class Trainer:
    """A network in training: `steps()` takes one optimiser step after another, from where it stands.

    Everything that decides the next step is in `state_dict()`: weights, average, optimiser, scaler, the weights of the
    detail targets, torch's random numbers and the iteration. Data and schedule follow from seed and iteration.
    """

    def __init__(
        self,
        network: StdcSegmenter,
        dataset: Dataset,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        if config.batch_size % (self.workers.count * config.accumulation):
            raise StdcLabError(
                f"train.batch_size: got {config.batch_size}, to be shared by {self.workers.count} processes in "
                f"{config.accumulation} parts; allowed: a multiple of {self.workers.count * config.accumulation}"
            )
        self.dataset, self.config, self.seed, self.device = dataset, config, seed, device
        self.dtype = choose_dtype(config.precision, device)
        network = place(network, device)
        if self.workers.count > 1 and device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.network = network
        self.average = make_average(network, config.ema_decay)
        self.fusion_weights = make_fusion_weights(config, device)
        self.optimiser = make_optimiser(network, config, self.fusion_weights)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.iteration = 0
        self.waited_s = 0.0
        self._shared = DistributedDataParallel(network, broadcast_buffers=False) if self.workers.count > 1 else None
        self._forward: Callable[[Tensor], SegOutput] = self._shared or network
        if config.compile:
            self._forward = torch.compile(self._forward)

    @property
    def evaluated(self) -> StdcSegmenter:
        """The network that is evaluated and kept: the average of the weights, or the last ones."""
        network = self.network if self.average is None else self.average.module
        assert isinstance(network, StdcSegmenter)
        return network

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors and plain values."""
        return {
            "iteration": self.iteration,
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "fusion_weights": None if self.fusion_weights is None else self.fusion_weights.detach().clone(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.fusion_weights is not None:
            with torch.no_grad():
                self.fusion_weights.copy_(state["fusion_weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)
        self.iteration = state["iteration"]

    def steps(self) -> Iterator[tuple[float, float]]:
        """Take the steps that are left; gives (loss, learning rate) of each. Raises `DivergedError`, the network then
        as it was before the step that failed."""
        config = self.config
        size, slots = crop_size(config.augmentation, self.dataset.train), self.workers.slots(config.batch_size)

        def make(iteration: int) -> tuple[Pixels, Pixels]:
            split = self.dataset.train
            return batch_at(split, config.augmentation, size, config.batch_size, self.seed, iteration, slots)

        batches = Batches(make, self.iteration, config.iterations, config.data_workers)
        for images, labels in batches:
            self.waited_s = batches.waited_s
            share = rate_at(self.iteration, config)
            for group, full in zip(self.optimiser.param_groups, self.full_rates, strict=True):
                group["lr"] = full * share
            set_training(self.network, config)
            loss = self._step(images, labels)
            self.iteration += 1
            if self.average is not None:
                self.average.update_parameters(self.network)
            yield loss, config.learning_rate * share

    def _step(self, images: Pixels, labels: Pixels) -> float:
        """One optimiser step on this process's share of a batch, in parts; gives the loss of the whole batch."""
        config, parts = self.config, self.config.accumulation
        self.optimiser.zero_grad(set_to_none=True)
        if self.fusion_weights is not None:
            self.fusion_weights.grad = torch.zeros_like(self.fusion_weights)
        # A part is divided by its share of all labelled pixels: so parts and processes add up to the whole batch.
        labelled = torch.tensor(float((labels != IGNORE_LABEL).sum()) / parts, device=self.device)
        labelled = self.workers.mean(labelled)
        value = torch.zeros((), device=self.device)
        count = len(images) // parts
        for part in range(parts):
            rows = slice(part * count, (part + 1) * count)
            target = torch.from_numpy(labels[rows]).to(self.device).long()
            last = part == parts - 1
            with nullcontext() if self._shared is None or last else self._shared.no_sync():
                with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                    output = self._forward(to_input(images[rows], self.device))
                loss = training_loss(output, target, config.loss, labelled=labelled, fusion_weights=self.fusion_weights)
                torch.autograd.backward(self.scaler.scale(loss))
            value += loss.detach()
        total = float(self.workers.mean(value))
        if not math.isfinite(total):
            raise DivergedError(
                f"the loss became {total} at iteration {self.iteration + 1}: try a lower train.learning_rate "
                f"(now {config.learning_rate}) or a longer train.warmup_iterations (now {config.warmup_iterations})"
            )
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return total


class Curve:
    """The points of a training's curve: the mean loss since the last one, and mIoU where it was evaluated.

    `pending`: losses since the last point.
    """

    def __init__(self, iterations: int) -> None:
        self.points: list[CurvePoint] = []
        self._every = max(1, iterations // CURVE_POINTS)
        self._last = iterations
        self.pending: list[float] = []

    def add(self, iteration: int, loss: float, rate: float, miou: float | None) -> None:
        """Hear of a step (counted from 1) and its evaluation, if there was one."""
        self.pending.append(loss)
        if iteration % self._every == 0 or miou is not None or iteration == self._last:
            mean = float(np.mean(self.pending))
            self.points.append(CurvePoint(iteration=iteration, loss=mean, learning_rate=rate, miou=miou))
            self.pending.clear()


def train(
    spec: ArchSpec,
    dataset: Dataset,
    config: TrainConfig,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a network from scratch on `dataset.train` and evaluate it on `dataset.val`, all in memory.

    The same seed gives the same result on the same machine with the same number of threads. The machine's
    lock is held shared meanwhile. Raises `DivergedError` when the loss is no longer a number.
    """
    device = device or torch.device("cpu")
    classes = len(dataset.class_names)
    started = time.monotonic()
    with machine_lock(alone=False), reproducible(seed, device):
        trainer = Trainer(build_model(spec, classes, config.heads), dataset, config, seed, device)
        curve = Curve(config.iterations)
        matrix = ConfusionMatrix(classes)
        for loss, rate in trainer.steps():
            miou = None
            if is_evaluated(trainer.iteration, config):
                matrix = evaluate(trainer.evaluated, dataset.val, classes, device, trainer.dtype)
                miou = matrix.miou()
            curve.add(trainer.iteration, loss, rate, miou)
            if on_progress is not None:
                seconds = time.monotonic() - started
                waited = trainer.waited_s
                on_progress(Progress(trainer.iteration, config.iterations, loss, rate, seconds, miou, waited_s=waited))
    seconds = time.monotonic() - started
    return Trained(result_of(trainer, matrix, curve.points, seconds), trainer.evaluated)


def is_evaluated(iteration: int, config: TrainConfig) -> bool:
    """Whether the validation set is evaluated after an iteration (counted from 1): evenly spread, the last included."""
    done = iteration * config.evaluations // config.iterations
    return any(
        round(config.iterations * number / config.evaluations) == iteration
        for number in range(max(1, done - 1), min(config.evaluations, done + 1) + 1)
    )


def result_of(trainer: Trainer, matrix: ConfusionMatrix, points: list[CurvePoint], seconds: float) -> TrainResult:
    """What a training reached, from its last evaluation."""
    iou = matrix.class_iou()
    return TrainResult(
        miou=matrix.miou(),
        class_iou={
            name: None if math.isnan(value) else float(value)
            for name, value in zip(trainer.dataset.class_names, iou, strict=True)
        },
        pixel_accuracy=matrix.pixel_accuracy(),
        curve=tuple(points),
        seconds=seconds,
        seed=trainer.seed,
        precision=str(trainer.dtype).removeprefix("torch."),
        environment=environment(trainer.device, torch.get_num_threads()),
        evaluated_weights="last" if trainer.average is None else "ema",
    )


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Everything that torch draws inside the block follows from the seed; the caller's random state is put back."""
    cuda = [device] if device.type == "cuda" else []
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        if cuda:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
