"""The proxy: a short training that stands for a long one."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stdc_lab.arch import ArchSpec
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import Dataset, batch_at, crop_size
from stdc_lab.errors import StdcLabError
from stdc_lab.machine import choose_dtype, environment, machine_lock, place
from stdc_lab.nn import StdcSegmenter, build_model
from stdc_lab.records import CurvePoint, TrainResult
from stdc_lab.training.evaluate import evaluate, to_input
from stdc_lab.training.losses import training_loss
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.schedule import rate_at

CURVE_POINTS = 50


class DivergedError(StdcLabError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for who shows it."""

    iteration: int
    iterations: int
    loss: float
    learning_rate: float
    seconds: float
    miou: float | None


@dataclass(frozen=True)
class Trained:
    """A training's outcome: the figures, and the network whose weights were evaluated (training form)."""

    result: TrainResult
    network: StdcSegmenter


def train(
    spec: ArchSpec,
    dataset: Dataset,
    config: TrainConfig,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a network from scratch on `dataset.train` and evaluate it on `dataset.val`.

    The same seed gives the same result on the same machine with the same number of threads. The machine's
    lock is held shared meanwhile. Raises `DivergedError` when the loss is no longer a number.
    """
    device = device or torch.device("cpu")
    dtype = choose_dtype(config.precision, device)
    classes = len(dataset.class_names)
    started = time.monotonic()
    with machine_lock(alone=False), _reproducible(seed, device):
        network = place(build_model(spec, classes, config.heads), device)
        average = _averaged(network, config.ema_decay)
        evaluated = network if average is None else average.module
        assert isinstance(evaluated, StdcSegmenter)
        steps = _steps(network, average, dataset, config, seed, device, dtype)
        curve: list[CurvePoint] = []
        matrix = ConfusionMatrix(classes)
        evaluate_at = {round(config.iterations * (i + 1) / config.evaluations) for i in range(config.evaluations)}
        every = max(1, config.iterations // CURVE_POINTS)
        losses: list[float] = []
        for iteration, (loss, rate) in enumerate(steps, start=1):
            losses.append(loss)
            miou = None
            if iteration in evaluate_at:
                matrix = evaluate(evaluated, dataset.val, classes, device, dtype)
                miou = matrix.miou()
            if iteration % every == 0 or miou is not None or iteration == config.iterations:
                curve.append(
                    CurvePoint(iteration=iteration, loss=float(np.mean(losses)), learning_rate=rate, miou=miou)
                )
                losses.clear()
            if on_progress is not None:
                seconds = time.monotonic() - started
                on_progress(Progress(iteration, config.iterations, loss, rate, seconds, miou))
    iou = matrix.class_iou()
    result = TrainResult(
        miou=matrix.miou(),
        class_iou={
            name: None if math.isnan(value) else float(value)
            for name, value in zip(dataset.class_names, iou, strict=True)
        },
        pixel_accuracy=matrix.pixel_accuracy(),
        curve=tuple(curve),
        seconds=time.monotonic() - started,
        seed=seed,
        precision=str(dtype).removeprefix("torch."),
        environment=environment(device, torch.get_num_threads()),
        evaluated_weights="last" if average is None else "ema",
    )
    return Trained(result, evaluated)


def _steps(
    network: nn.Module,
    average: AveragedModel | None,
    dataset: Dataset,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[tuple[float, float]]:
    """Take one optimiser step after another; gives (loss, learning rate) of each."""
    optimizer = _optimizer(network, config)
    full_rates = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    size = crop_size(config.augmentation, dataset.train)
    network.train()
    for iteration in range(config.iterations):
        share = rate_at(iteration, config)
        for group, full in zip(optimizer.param_groups, full_rates, strict=True):
            group["lr"] = full * share
        images, labels = batch_at(dataset.train, config.augmentation, size, config.batch_size, seed, iteration)
        target = torch.from_numpy(labels).to(device).long()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            output = network(to_input(images, device))
        loss = training_loss(output, target, config.loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss became {value} at iteration {iteration + 1}: try a lower train.learning_rate "
                f"(now {config.learning_rate}) or a longer train.warmup_iterations (now {config.warmup_iterations})"
            )
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(scaler.scale(loss))
        scaler.step(optimizer)
        scaler.update()
        if average is not None:
            average.update_parameters(network)
        yield value, config.learning_rate * share


def _optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """SGD with momentum: decay on convolutions only, another rate for fusion and heads if asked for."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        fast = "head" in name.split(".")[0] or name.startswith("decoder.fusion.")
        groups.setdefault((parameter.ndim > 1, fast), []).append(parameter)
    return torch.optim.SGD(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decayed else 0.0,
                "lr": config.learning_rate * (config.decoder_rate_factor if fast else 1.0),
            }
            for (decayed, fast), parameters in groups.items()
        ],
        lr=config.learning_rate,
        momentum=config.momentum,
    )


def _averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of weights and batch-norm statistics; None without decay.

    The decay grows with the number of updates, so that a short training is not an average of its first steps.
    """
    if decay == 0:
        return None

    def average(ema: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        count = int(updates)
        weight = 1 - min(decay, (1 + count) / (10 + count))
        if ema[0].is_floating_point():
            torch._foreach_lerp_(list(ema), list(current), weight)
        else:
            torch._foreach_copy_(list(ema), list(current))

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


@contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
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
