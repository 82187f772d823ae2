"""Optimiser steps, one after another: they can stop after any iteration and go on exactly as if they had not."""

from __future__ import annotations

import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stdc_lab.arithmetic import arithmetic_here
from stdc_lab.config.training import OptimisationConfig
from stdc_lab.data import Batches, Pixels
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.devices import choose_dtype, not_native, place
from stdc_lab.hardware.environment import environment
from stdc_lab.nn import Classifier, Segmenter
from stdc_lab.records import (
    ClassifierResult,
    Computing,
    CurvePoint,
    PretrainingOutcome,
    TrainingOutcome,
    TrainResult,
)
from stdc_lab.training.evaluate import to_input
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.optimiser import make_average, make_optimiser, set_training, synchronise_norms
from stdc_lab.training.schedule import rate_at
from stdc_lab.training.workers import Workers

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=Segmenter | Classifier)
Config = TypeVar("Config", bound=OptimisationConfig)


class DivergedError(StdcLabError):
    """The loss is no longer a number."""


class Stepper(ABC, Generic[Network, Config]):
    """A network in training: `steps()` takes one optimiser step after another, from where it stands.

    Everything that decides the next step is in `state_dict()`: weights, average, optimiser, scaler, the weights of the
    detail targets, torch's random numbers and the iteration. Data and schedule follow from seed and iteration. What
    is trained on what, and by which loss, is for the children to say.

    fusion_weights: of the detail targets, which are decayed as if they were trained. fast_rate_factor: the rate of
    fusion and heads, in multiples of the others'.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        seed: int,
        device: torch.device,
        workers: Workers | None = None,
        *,
        fusion_weights: nn.Parameter | None = None,
        fast_rate_factor: float = 1.0,
    ) -> None:
        self.workers = workers or Workers()
        if config.batch_size % (self.workers.count * config.accumulation):
            raise StdcLabError(
                f"train.batch_size: got {config.batch_size}, to be shared by {self.workers.count} processes in "
                f"{config.accumulation} parts; allowed: a multiple of {self.workers.count * config.accumulation}"
            )
        self.config, self.seed, self.device = config, seed, device
        self.dtype = choose_dtype(config.precision, device)
        emulated = not_native(str(self.dtype).removeprefix("torch."), device)
        if emulated is not None:
            log.warning("train.precision: got %r; %s, float32 is faster", config.precision, emulated)
        network = place(network, device)
        if self.workers.count > 1 and device.type == "cuda":
            network = synchronise_norms(network, config)
        self.network: Network = network
        self.average = make_average(network, config.ema_decay)
        self.fusion_weights = fusion_weights
        self.optimiser = make_optimiser(network, config, fusion_weights, fast_rate_factor)
        self.full_rates = [group["lr"] for group in self.optimiser.param_groups]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.iteration = 0
        self.computed: tuple[Computing, ...] = (self._computing(),)
        """What which iterations were computed on and in."""
        self.waited_s = 0.0
        self.works: Callable[[], None] = _nobody
        """Told that an evaluation comes on, batch after batch."""
        self._shared = _shared(network) if self.workers.count > 1 else None
        self._forward: Callable[[Tensor], Any] = self._shared or network
        if config.compile:
            self._forward = torch.compile(self._forward)

    @property
    def evaluated(self) -> Network:
        """The network that is evaluated and kept: the average of the weights, or the last ones."""
        return self.network if self.average is None else cast(Network, self.average.module)

    @abstractmethod
    def make_batch(self, iteration: int, slots: range) -> tuple[Pixels, np.ndarray]:
        """This process's images N×h×w×3 of the batch of an iteration (from 0), and what they are labelled with.

        Called from several threads at once, so it must depend on nothing but its arguments.
        """

    @abstractmethod
    def labelled(self, labels: np.ndarray) -> float:
        """How many of the labels count in the loss."""

    @abstractmethod
    def loss(self, output: Any, labels: Tensor, labelled: Tensor) -> Tensor:
        """The loss of one part of a batch; a mean over labels divides by `labelled`."""

    @abstractmethod
    def new_matrix(self) -> ConfusionMatrix:
        """An empty confusion matrix over the classes."""

    @abstractmethod
    def evaluate(self) -> ConfusionMatrix:
        """Evaluate the validation set."""

    score_name: ClassVar[Literal["miou", "top1"]]
    """By what the best of several evaluations is told: mean IoU, or the share of images that are classified right."""

    @abstractmethod
    def score(self, matrix: ConfusionMatrix) -> float:
        """The figure that `score_name` names."""

    @abstractmethod
    def data_identity(self) -> dict[str, str]:
        """What must be the same when a training goes on with this data."""

    @abstractmethod
    def class_protocol(self) -> dict[str, Any]:
        """What a checkpoint says of its classes."""

    outcome_type: ClassVar[type[TrainingOutcome] | type[PretrainingOutcome]]

    @abstractmethod
    def result(
        self, matrix: ConfusionMatrix, points: Sequence[CurvePoint], seconds: float
    ) -> TrainResult | ClassifierResult:
        """What was reached, from the last evaluation."""

    def conditions(self, points: Sequence[CurvePoint], seconds: float) -> dict[str, Any]:
        """What every result says of its training."""
        return {
            "curve": tuple(points),
            "seconds": seconds,
            "seed": self.seed,
            "precision": self.computed[-1].precision,
            "computed": self.computed,
            "environment": environment(self.device, torch.get_num_threads(), arithmetic_here()),
            "evaluated_weights": "last" if self.average is None else "ema",
        }

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors and plain values."""
        return {
            "iteration": self.iteration,
            "computed": [stretch.model_dump() for stretch in self.computed],
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "fusion_weights": None if self.fusion_weights is None else self.fusion_weights.detach().clone(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called, be it on another device or in another precision."""
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.fusion_weights is not None:
            with torch.no_grad():
                self.fusion_weights.copy_(state["fusion_weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:  # empty where nothing had to be scaled: it then begins anew
            self.scaler.load_state_dict(state["scaler"])
        restore_random(state, self.device)
        self.iteration = state["iteration"]
        self.computed = self._going_on(state.get("computed"))

    def _computing(self, after: int = 0) -> Computing:
        return Computing(after=after, device=self.device.type, precision=str(self.dtype).removeprefix("torch."))

    def _going_on(self, before: Sequence[Any] | None) -> tuple[Computing, ...]:
        """What all iterations are computed on and in; of those before, a state of an older version does not tell."""
        here = self._computing(self.iteration)
        if before is None:
            return (here,)
        stretches = tuple(Computing.model_validate(stretch) for stretch in before)
        same = stretches[-1].replace(after=here.after) == here
        return stretches if same or self.iteration == self.config.iterations else (*stretches, here)

    def steps(self) -> Iterator[tuple[float, float]]:
        """Take the steps that are left; gives (loss, learning rate) of each. Raises `DivergedError`, the network then
        as it was before the step that failed."""
        config = self.config
        make = partial(self.make_batch, slots=self.workers.slots(config.batch_size))
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

    def _step(self, images: Pixels, labels: np.ndarray) -> float:
        """One optimiser step on this process's share of a batch, in parts; gives the loss of the whole batch."""
        config, parts = self.config, self.config.accumulation
        self.optimiser.zero_grad(set_to_none=True)
        if self.fusion_weights is not None:
            self.fusion_weights.grad = torch.zeros_like(self.fusion_weights)
        # A part is divided by its share of all labels that count: so parts and processes add up to the whole batch.
        labelled = torch.tensor(self.labelled(labels) / parts, device=self.device)
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
                loss = self.loss(output, target, labelled)
                loss = loss / parts
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


def _nobody() -> None:
    """Nobody wants to know."""


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """Torch's random numbers go on from a stepper's state. What was trained on the CPU so far has none of a GPU: that
    draws from the seed on, as at the beginning of a training."""
    torch.set_rng_state(state["random"].cpu())
    if device.type == "cuda" and state["random_cuda"] is not None:
        torch.cuda.set_rng_state(state["random_cuda"].cpu(), device)


def _shared(network: nn.Module) -> DistributedDataParallel:
    """The network with gradients averaged over all processes, statistics left alone."""
    with warnings.catch_warnings():
        # The name that a new PyTorch would rather hear is one that an older one does not know.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        return DistributedDataParallel(network, broadcast_buffers=False)
