"""Under which key a training and a profile are kept: equal keys, equal work."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from stdc_lab.arch import ArchSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.study import ScorerConfig
from stdc_lab.config.training import LossConfig, TrainConfig
from stdc_lab.records.profiles import Environment

KEY_VERSION = 1
DRAWS_VERSION = 2
"""Of what a seed draws, raised whenever one draws something else: a training from before is then no pair of one after.
2: each layer's initial weights by its name, all numbers of an image's augmentation up front."""


@dataclass(frozen=True)
class Circumstances:
    """What a training depends on that no setting says.

    contents: of the data set as it was decoded, see `Dataset.contents`. auto_precision: what `precision: auto` is on
    the device that trains, such as `bfloat16`.
    """

    contents: str
    auto_precision: str


def trial_key(
    arch: ArchSpec,
    train: TrainConfig,
    data: DataConfig,
    seed: int,
    here: Circumstances | None = None,
    scorer: ScorerConfig | None = None,
) -> str:
    """Sixteen hexadecimal digits for a training: architecture, heads, training, data, sizes, seed and circumstances.

    What has no effect on the weights is left out. So is what has its default value, and a setting which a later version
    adds leaves the keys of trainings that are done as they are. A default that changes its value needs another
    `KEY_VERSION`. here: None gives keys that are good for nothing but to be compared with each other.
    """
    settings = _in_effect(train).model_dump(mode="json", exclude_defaults=True, exclude={"precision"})
    precision = here.auto_precision if here is not None and train.precision == "auto" else train.precision
    inputs = {
        "version": KEY_VERSION,
        "draws": DRAWS_VERSION,
        "arch_id": arch.arch_id,
        "train": settings,
        "precision": precision,
        "data": data.model_dump(mode="json", exclude_defaults=True),
        "contents": None if here is None else here.contents,
        "seed": seed,
    }
    if scorer is not None and scorer != ScorerConfig():
        inputs["scorer"] = scorer.model_dump(mode="json", exclude_defaults=True)
    return _digest(inputs)


def _in_effect(train: TrainConfig) -> TrainConfig:
    """A training with the defaults in place of what makes no difference to it."""
    idle: set[str] = set()
    if train.loss.cross_entropy != "ohem":
        idle |= {"ohem_threshold", "ohem_min_kept"}
    if not train.heads.auxiliary:
        idle.add("auxiliary")
    if not train.heads.detail_strides:
        idle |= {name for name in LossConfig.model_fields if name.startswith("detail_")}
    loss = LossConfig.model_validate(train.loss.model_dump(exclude=idle))
    workers = TrainConfig.model_fields["data_workers"].default
    return train.replace(loss=loss, data_workers=workers)


def profile_key(
    arch_id: str,
    environment: Environment,
    *,
    num_classes: int,
    input_shape: tuple[int, int, int, int],
    task: Literal["seg", "cls"] = "seg",
    runtime: str = "eager",
    dtype: str = "float32",
    compared_with: str | None = None,
) -> str:
    """Sixteen hexadecimal digits for a profile: the network, its input N×C×H×W, and all that its latency depends on.

    environment: the machine by its fingerprint, the threads and the versions; clock and device number do not count.
    compared_with: the `arch_id` of the network that it was timed beside; left out where there is none, so that
    profiles without a ratio keep their keys.
    """
    inputs = {
        "version": KEY_VERSION,
        "arch_id": arch_id,
        "head": task,  # its name when the first keys were made
        "num_classes": num_classes,
        "input_shape": input_shape,
        "runtime": runtime,
        "dtype": dtype,
        "fingerprint": environment.fingerprint,
        "threads": environment.threads,
        "versions": {"python": environment.python, "torch": environment.torch, **environment.versions},
    }
    if compared_with is not None:
        inputs["compared_with"] = compared_with
    return _digest(inputs)


def _digest(inputs: dict[str, Any]) -> str:
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
