"""Under which key a training and a profile are kept: equal keys, equal work."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from stdc_lab.arch import ArchSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.records.profiles import Environment

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
    return _digest(inputs)


def profile_key(
    arch_id: str,
    environment: Environment,
    *,
    num_classes: int,
    input_shape: tuple[int, int, int, int],
    head: Literal["seg", "cls"] = "seg",
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
        "head": head,
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
