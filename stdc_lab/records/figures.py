"""Where each figure of `stdc_lab.config.figures` is read off a record; None where it was not measured."""

from __future__ import annotations

from collections.abc import Callable

from stdc_lab.config.bounds import Interval
from stdc_lab.config.figures import CLASS_IOU
from stdc_lab.records.profiles import LatencyResult, ProfileResult
from stdc_lab.records.trainings import TrialRecord

Figures = dict[str, float | None]


def _of_latency(read: Callable[[LatencyResult], float | None]) -> Callable[[ProfileResult], float | None]:
    return lambda cost: None if cost.latency is None else read(cost.latency)


OF_PROFILE: dict[str, Callable[[ProfileResult], float | None]] = {
    "latency_ms": _of_latency(lambda latency: latency.median_ms),
    "latency_p95_ms": _of_latency(lambda latency: latency.p95_ms),
    "latency_ratio": _of_latency(lambda latency: 1 / latency.times_as_fast if latency.times_as_fast else None),
    "macs": lambda cost: cost.macs,
    "num_params": lambda cost: cost.num_params,
    "activations": lambda cost: cost.activations,
    "peak_activations": lambda cost: cost.peak_activations,
    "peak_memory_bytes": _of_latency(lambda latency: latency.peak_memory_bytes),
}
"""What is known of a network before it is trained."""
OF_TRAINING: dict[str, Callable[[TrialRecord], float | None]] = {
    "miou": lambda record: record.result.miou,
    "boundary_f": lambda record: record.boundary_f,
}
"""What its training tells, beside the IoU of each class."""


def figures_of_profile(cost: ProfileResult) -> Figures:
    """What is known of a network before it is trained."""
    return {name: read(cost) for name, read in OF_PROFILE.items()}


def figures_of_training(record: TrialRecord) -> Figures:
    """What a finished training tells."""
    by_class = {f"{CLASS_IOU}{name}": iou for name, iou in record.result.class_iou.items()}
    return {name: read(record) for name, read in OF_TRAINING.items()} | by_class


def figures_of(record: TrialRecord) -> Figures:
    """Everything that a finished trial measured."""
    return figures_of_profile(record.profile) | figures_of_training(record)


def intervals_of(cost: ProfileResult) -> dict[str, Interval]:
    """The 95 % intervals of those figures of a profile that scatter."""
    latency = cost.latency
    if latency is None:
        return {}
    intervals = {"latency_ms": latency.ci95_ms}
    if latency.times_as_fast_ci95 is not None:
        low, high = latency.times_as_fast_ci95
        intervals["latency_ratio"] = (1 / high, 1 / low)
    return intervals
