"""What comes back from profiling, training and a trial; and the key under which a training is kept."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.theory import Part
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Arch, Extent, Size, Value


class Environment(Value):
    """The machine and the versions behind a figure."""

    device: str
    """`cpu` or `cuda:0` …"""
    processor: str
    """The processor's or the GPU's name."""
    threads: int
    python: str
    torch: str
    fingerprint: str
    """Digest of all that makes latencies of two machines unlike; unlike fingerprints never share an axis."""


class LatencyResult(Value):
    """Latency of one network at batch 1."""

    median_ms: float
    p95_ms: float
    ci95_ms: tuple[float, float]
    """95 % confidence interval of the median, from order statistics."""
    spread: float
    """Interquartile range over median: above 0.1 the machine was not quiet."""
    repeats: int
    warmup_repeats: int
    runtime: str
    device: str
    dtype: str
    threads: int
    input_shape: tuple[int, int, int, int]


class StageCost(Value):
    """A part of the network: one of the five stages, the decoder, the head."""

    name: str
    output_channels: int
    output_size: Extent
    num_params: int
    macs: int

    @classmethod
    def of(cls, part: Part) -> StageCost:
        """What theory says of a part of a network."""
        return cls(
            name=part.name,
            output_channels=part.output_channels,
            output_size=part.output_size,
            num_params=part.cost.num_params,
            macs=part.cost.macs,
        )


class MacCounters(Value):
    """Multiply-accumulates by different counters, each by its own convention; null where it has no answer."""

    theory: int | None = None
    fvcore: int | None = None
    thop: int | None = None
    torch: int | None = None


class ProfileResult(Value):
    """What a network costs in its inference form."""

    arch: Arch
    arch_id: str
    num_classes: int
    size: Size
    num_params: int
    macs: int
    """Multiply-accumulates of convolutions and linear layers at `size`, batch 1, by theory."""
    counters: MacCounters
    not_counted: dict[str, dict[str, int]]
    """Operations that a counter met and did not count: counter → operation → how often."""
    stages: tuple[StageCost, ...]
    latency: LatencyResult | None = None
    environment: Environment | None = None


class CurvePoint(Value):
    """A moment of a training."""

    iteration: int
    loss: float
    learning_rate: float
    miou: float | None = None
    """Validation mIoU of the evaluated weights, where it was evaluated."""
    top1: float | None = None
    """Of a classifier: share of the validation images that it classified right, where it was evaluated."""


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
    """`float32` or `bfloat16`, as it ran."""
    environment: Environment
    evaluated_weights: Literal["ema", "last"]


class TrainingOutcome(Value):
    """A whole training: what its last weights reach, and what the best of its evaluations reached.

    The best of many evaluations on one validation set is a choice made on that set: report both.
    """

    arch: Arch
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
    environment: Environment
    evaluated_weights: Literal["ema", "last"]


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
    arch_id: str
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
    train: TrainConfig
    data: DataConfig
    seed: int
    profile: ProfileResult
    result: TrainResult


KEY_VERSION = 1


def trial_key(arch: ArchSpec, train: TrainConfig, data: DataConfig, seed: int) -> str:
    """Sixteen hexadecimal digits for a training: architecture, heads, training, data, sizes and seed.

    What has its default value is left out, so that a setting which a later version adds leaves the keys of trainings
    that are done as they are. A default that changes its value needs another `KEY_VERSION`.
    """
    inputs = {
        "version": KEY_VERSION,
        "arch_id": arch.arch_id,
        "train": train.model_dump(mode="json", exclude_defaults=True),
        "data": data.model_dump(mode="json", exclude_defaults=True),
        "seed": seed,
    }
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
