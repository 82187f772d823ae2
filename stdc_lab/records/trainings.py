"""What comes back from a training, an evaluation and a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Arch, Value
from stdc_lab.records.profiles import Environment, ProfileResult


class CurvePoint(Value):
    """A moment of a training."""

    iteration: int
    loss: float
    learning_rate: float
    miou: float | None = None
    """Validation mIoU of the evaluated weights, where it was evaluated."""
    top1: float | None = None
    """Of a classifier: share of the validation images that it classified right, where it was evaluated."""


class Computing(Value):
    """What some of a training's iterations, one after the other, were computed on and in."""

    after: int
    """How many iterations were done before them."""
    device: str
    """`cpu` or `cuda`."""
    precision: str


def mixed_computing(stretches: Sequence[Computing]) -> str | None:
    """In words, how a training was computed that went on in another precision or on another kind of device; None for
    one that did not."""
    if len(stretches) < 2:
        return None
    ends = [f"to iteration {stretch.after:,}" for stretch in stretches[1:]]
    parts = [
        f"in {stretch.precision} on {stretch.device} {end}"
        for stretch, end in zip(stretches, [*ends, "from there"], strict=True)
    ]
    return f"trained {', '.join(parts)}"


class InitialWeights(Value):
    """What a training began with."""

    source: str = "random"
    """`random`, `own code` for what a user's own network makes of itself, or the name of the file whose backbone it
    began with; the rest is random."""
    digest: str | None = None
    """Of that file: SHA-256, hexadecimal."""

    def __str__(self) -> str:
        if self.digest is not None:
            return f"backbone of {self.source}"
        return "random weights" if self.source == "random" else "weights as its code makes them"


class TrainResult(Value):
    """What a training reached."""

    miou: float
    """Of the last evaluation: mean IoU over the classes that occur in labels or predictions, 0 to 1."""
    class_iou: dict[str, float | None]
    """IoU by class; null for a class that occurs in neither labels nor predictions."""
    pixel_accuracy: float
    curve: tuple[CurvePoint, ...]
    seconds: float
    """Wall time of training and evaluation."""
    seed: int
    precision: str
    """`float32`, `bfloat16` or `float16`: what its last iterations were computed in."""
    environment: Environment
    evaluated_weights: Literal["ema", "last"]
    computed: tuple[Computing, ...] = ()
    """What which iterations were computed on and in; more than one mark a curve that is not of one piece."""
    initial_weights: InitialWeights | None = None
    """What it began with; null in the results of earlier versions."""


class TrainingOutcome(Value):
    """A whole training: what its last weights reach, and what the best of its evaluations reached.

    The best of many evaluations on one validation set is a choice made on that set: report both.
    """

    arch: Arch | None
    own_network: str | None = None
    """The import path of the user's own network, which has no `arch`."""
    last: TrainResult
    best_miou: float | None
    best_iteration: int | None
    folder: str


class ClassifierResult(Value):
    """What a classifier's training reached."""

    top1: float
    """Of the last evaluation: share of the validation images whose class was the first guess."""
    curve: tuple[CurvePoint, ...]
    seconds: float
    """Wall time of training and evaluation."""
    seed: int
    precision: str
    """What its last iterations were computed in."""
    environment: Environment
    evaluated_weights: Literal["ema", "last"]
    computed: tuple[Computing, ...] = ()
    """What which iterations were computed on and in."""


class PretrainingOutcome(Value):
    """A classifier's whole training: what its last weights reach, and what the best of its evaluations reached."""

    arch: Arch
    last: ClassifierResult
    best_top1: float | None
    best_iteration: int | None
    folder: str


class EvaluationProtocol(Value):
    """All that the figures of an evaluation depend on."""

    checkpoint: str
    """The file of weights, as it was named."""
    arch_id: str | None
    own_network: str | None = None
    """The import path of the user's own network, which has no `arch_id`."""
    num_classes: int
    data: DataConfig
    """The validation part of this data set, at this size of images and labels, was evaluated."""
    num_images: int
    scales: tuple[float, ...]
    """What images are resized by before the network; logits come back to the labels' size. Several: their mean."""
    flip: bool
    """Averaged with the mirrored images."""
    precision: str
    miou_is: str
    boundary_f_is: str
    environment: Environment
    notes: tuple[str, ...] = ()
    """What to keep in mind before comparing."""


class EvaluationResult(Value):
    """What a file of weights reaches on a validation set; null where there was nothing to measure."""

    miou: float | None
    class_iou: dict[str, float | None]
    pixel_accuracy: float | None
    boundary_f: float | None
    class_boundary_f: dict[str, float | None]
    class_boundary_precision: dict[str, float | None]
    class_boundary_recall: dict[str, float | None]
    seconds: float
    recorded_miou: float | None
    """What the file says of itself, measured under the protocol that `trained` gives."""
    trained: dict[str, Any]
    """How the weights came about, as their file says."""
    protocol: EvaluationProtocol


class TrialRecord(Value):
    """One trial of a study, kept as `trial.json` in its run's folder."""

    number: int
    arch: Arch
    arch_id: str
    trial_key: str
    reference: str | None = None
    """The preset's name, if the trial is a reference network."""
    confirms: int | None = None
    """The number of the trial that this one trains once more with a fresh seed."""
    train: TrainConfig
    data: DataConfig
    seed: int
    profile: ProfileResult
    result: TrainResult
    stopped: str | None = None
    """Why its training was ended before its planned end; the result is then of the last evaluation before."""
    retried: str | None = None
    """Why `train` is not quite what was asked for and what `trial_key` names: less memory than that needed."""
    boundary_f: float | None = None
    """Boundary F-score of the validation set, 0 to 1; null where the study does not ask for it."""
