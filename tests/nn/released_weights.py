"""Weights and inputs of the reference outputs, made by the rule that they were made by (tests/nn/parity/README.md)."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

PARITY = Path(__file__).parent / "parity"


def _values(key: str, shape: list[int]) -> np.ndarray:
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        z = np.exp(0.2 * z)
    elif key.endswith(("running_mean", "bias")):
        z = 0.1 * z
    elif key.endswith("num_batches_tracked"):
        z = np.zeros(shape)
    elif len(shape) == 1:
        z = 1 + 0.1 * z
    else:
        z = z * np.sqrt(2 / np.prod(shape[1:]))
    return z.astype(np.float32)


def released_state(name: str) -> dict[str, torch.Tensor]:
    """The released state dict of `stdc1_seg` or `stdc2_seg`, without the second names."""
    keys = json.loads((PARITY / f"{name}_keys.json").read_text())
    second_name = re.compile(r"(cp\.backbone\.)?x(2|4|8|16|32)\.")
    return {key: torch.from_numpy(_values(key, shape)) for key, shape in keys.items() if not second_name.match(key)}


def reference(name: str) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """The input images, and the released outputs as they are stored (every fourth row and column if large)."""
    with np.load(PARITY / f"{name}.npz") as stored:
        images = np.random.default_rng(int(stored["x_seed"])).standard_normal(stored["x_shape"]).astype(np.float32)
        return torch.from_numpy(images), {key: stored[key] for key in stored.files if key.startswith("out")}
