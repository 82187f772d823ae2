"""The training of a segmenter: on which batches, by which loss, and what became of it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stdc_lab.arch import ArchSpec
from stdc_lab.arithmetic import TRAINING, computing
from stdc_lab.config.training import OptimisationConfig, TrainConfig
from stdc_lab.data import Dataset, Pixels, batch_at, crop_size
from stdc_lab.machine import machine_lock
from stdc_lab.nn import Segmenter, SegOutput, build_model
from stdc_lab.records import CurvePoint, InitialWeights, TrainingOutcome, TrainResult
from stdc_lab.training.class_weights import enet_weights, total_weight
from stdc_lab.training.evaluate import evaluate
from stdc_lab.training.losses import training_loss
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.optimiser import make_fusion_weights
from stdc_lab.training.stepper import Stepper
from stdc_lab.training.workers import Workers

CURVE_POINTS = 50


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for who shows it. `seconds`: since it was started or went on; `waited_s`: for data."""

    iteration: int
    iterations: int
    loss: float
    learning_rate: float
    seconds: float
    score: float | None
    """Of the validation set, where it was just evaluated."""
    first_iteration: int = 0
    waited_s: float = 0.0
    score_name: Literal["miou", "top1"] = "miou"


@dataclass(frozen=True)
class Trained:
    """A training's outcome: the figures, and the network whose weights were evaluated (training form)."""

    result: TrainResult
    network: Segmenter


class Trainer(Stepper[Segmenter, TrainConfig]):
    """A segmenter in training on a data set."""

    def __init__(
        self,
        network: Segmenter,
        dataset: Dataset,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        workers: Workers | None = None,
        start: InitialWeights | None = None,
    ) -> None:
        super().__init__(
            network,
            config,
            seed,
            device,
            workers,
            fusion_weights=make_fusion_weights(config, device),
            fast_rate_factor=config.decoder_rate_factor,
        )
        self.dataset = dataset
        self.start = start or InitialWeights()
        """What the network's weights are at the beginning."""
        self.class_weights: np.ndarray | None = None
        """Of each class in the cross-entropy, where the config asks for them."""
        if config.loss.class_weights == "enet":
            self.class_weights = enet_weights(dataset.train.labels, len(dataset.class_names))
        self._class_weights = None if self.class_weights is None else torch.from_numpy(self.class_weights).to(device)

    def make_batch(self, iteration: int, slots: range) -> tuple[Pixels, Pixels]:
        split, config = self.dataset.train, self.config
        size = crop_size(config.augmentation, split)
        return batch_at(split, config.augmentation, size, config.batch_size, self.seed, iteration, slots)

    def labelled(self, labels: np.ndarray) -> float:
        return total_weight(labels, self.class_weights)

    def loss(self, output: SegOutput, labels: Tensor, labelled: Tensor) -> Tensor:
        return training_loss(
            output,
            labels,
            self.config.loss,
            labelled=labelled,
            fusion_weights=self.fusion_weights,
            class_weights=self._class_weights,
        )

    def evaluate(self) -> ConfusionMatrix:
        """Evaluate the validation set, as the configuration says."""
        data, scales = self.dataset, (self.config.evaluation_scale,)
        return evaluate(
            self.evaluated,
            data.val,
            len(data.class_names),
            self.device,
            self.dtype,
            scales=scales,
            on_progress=self._on_evaluated,
        )

    def _on_evaluated(self, done: int, total: int) -> None:
        self.works()

    def new_matrix(self) -> ConfusionMatrix:
        return ConfusionMatrix(len(self.dataset.class_names))

    score_name = "miou"

    def score(self, matrix: ConfusionMatrix) -> float:
        return matrix.miou()

    def data_identity(self) -> dict[str, str]:
        data = self.dataset
        seen = json.dumps([data.name, data.train.names, data.val.names, data.train.images.shape, data.class_names])
        digest = self.start.digest
        return {
            "images": f"{len(data.train)} for training and {len(data.val)} for validation",
            "data set": f"{data.name} {hashlib.sha256(seen.encode()).hexdigest()[:10]}",
            "images and labels": data.contents,
        } | ({} if digest is None else {"file of initial weights": digest})

    def class_protocol(self) -> dict[str, Any]:
        return {"legend": self.dataset.legend, "contents": self.dataset.part_contents}

    outcome_type = TrainingOutcome

    def result(self, matrix: ConfusionMatrix, points: Sequence[CurvePoint], seconds: float) -> TrainResult:
        """What was reached, from the last evaluation."""
        iou = zip(self.dataset.class_names, matrix.class_iou(), strict=True)
        return TrainResult(
            miou=matrix.miou(),
            class_iou={name: None if math.isnan(value) else float(value) for name, value in iou},
            pixel_accuracy=matrix.pixel_accuracy(),
            initial_weights=self.start,
            **self.conditions(points, seconds),
        )


class Curve:
    """The points of a training's curve: the mean loss since the last one, and the score where it was evaluated.

    `pending`: losses since the last point.
    """

    def __init__(self, iterations: int, score_name: Literal["miou", "top1"] = "miou") -> None:
        self.points: list[CurvePoint] = []
        self._score_name = score_name
        self._every = max(1, iterations // CURVE_POINTS)
        self._last = iterations
        self.pending: list[float] = []

    def add(self, iteration: int, loss: float, rate: float, score: float | None) -> None:
        """Hear of a step (counted from 1) and its evaluation, if there was one."""
        self.pending.append(loss)
        if iteration % self._every == 0 or score is not None or iteration == self._last:
            point = CurvePoint(iteration=iteration, loss=float(np.mean(self.pending)), learning_rate=rate)
            self.points.append(point.replace(**{self._score_name: score}))
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

    The same seed gives the same result on the same machine with the same number of threads, and to another network the
    same initial weights in every layer that both have. The machine's lock is held shared meanwhile. Raises
    `DivergedError` when the loss is no longer a number.
    """
    device = device or torch.device("cpu")
    classes = len(dataset.class_names)
    started = time.monotonic()
    with machine_lock(alone=False), reproducible(seed, device):
        network = build_model(spec, classes, config.heads, seed=seed)
        trainer = Trainer(network, dataset, config, seed, device)
        curve = Curve(config.iterations)
        matrix = trainer.new_matrix()
        for loss, rate in trainer.steps():
            miou = None
            if is_evaluated(trainer.iteration, config):
                matrix = trainer.evaluate()
                miou = matrix.miou()
            curve.add(trainer.iteration, loss, rate, miou)
            if on_progress is not None:
                seconds = time.monotonic() - started
                waited = trainer.waited_s
                on_progress(Progress(trainer.iteration, config.iterations, loss, rate, seconds, miou, waited_s=waited))
    seconds = time.monotonic() - started
    return Trained(trainer.result(matrix, curve.points, seconds), trainer.evaluated)


def is_evaluated(iteration: int, config: OptimisationConfig) -> bool:
    """Whether the validation set is evaluated after an iteration (counted from 1): evenly spread, the last included."""
    done = iteration * config.evaluations // config.iterations
    return any(
        round(config.iterations * number / config.evaluations) == iteration
        for number in range(max(1, done - 1), min(config.evaluations, done + 1) + 1)
    )


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Everything that torch draws inside the block follows from the seed; the caller's random state is put back.

    It computes as `arithmetic.TRAINING` says meanwhile.
    """
    cuda = [device] if device.type == "cuda" else []
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(cuda), computing(TRAINING):
        torch.manual_seed(seed)
        if cuda:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
