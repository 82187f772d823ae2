"""What float32 means and how convolutions are chosen: decided here, for every timing, training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Arithmetic:
    """Settings of PyTorch that change what is computed, or by which algorithm.

    tf32: float32 convolutions and products may run in TensorFloat-32, with 11 bits of mantissa for 24. On a GPU that is
    PyTorch's default for convolutions: float32 in name only. autotune: cuDNN times its algorithms for a shape when it
    meets it first, and takes the fastest. deterministic: only algorithms that give the same bits again.
    """

    tf32: bool = False
    autotune: bool = False
    deterministic: bool = False


TIMING = Arithmetic(autotune=True)
TIMING_TF32 = Arithmetic(tf32=True, autotune=True)
TRAINING = Arithmetic(deterministic=True)
"""Of evaluations as well. What autotuning picks depends on the moment, and gives other bits in another run."""


@contextmanager
def computing(wanted: Arithmetic) -> Iterator[None]:
    """Compute in this way inside the block, whatever the caller had set; his settings come back afterwards."""
    products = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.flags(
        enabled=True, benchmark=wanted.autotune, deterministic=wanted.deterministic, allow_tf32=wanted.tf32
    )
    with convolutions:
        torch.set_float32_matmul_precision("high" if wanted.tf32 else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(products)


def arithmetic_here() -> Arithmetic:
    """The settings at this moment."""
    cudnn = torch.backends.cudnn
    return Arithmetic(
        tf32=cudnn.allow_tf32 or torch.get_float32_matmul_precision() != "highest",
        autotune=cudnn.benchmark,
        deterministic=cudnn.deterministic,
    )


def describe(arithmetic: Arithmetic, device: torch.device) -> str:
    """Of a device, in words for a record."""
    if device.type != "cuda":
        return "float32 in full"
    float32 = "float32 as TensorFloat-32" if arithmetic.tf32 else "float32 in full"
    chosen = "timed and the fastest taken" if arithmetic.autotune else "chosen by rule"
    return f"{float32}, convolutions {chosen}{', deterministic' if arithmetic.deterministic else ''}"
