"""The device that computes, and the dtypes that it computes natively."""

from __future__ import annotations

import os
from typing import TypeVar

import torch

from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.memory import keep_freed_memory
from stdc_lab.hardware.processor import cpu_flags

_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_ISA_WITHOUT_BFLOAT16 = frozenset(
    ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
)
"""Instruction sets that oneDNN can be held back to by a variable, and computes no bfloat16 with."""
_NEEDED_CAPABILITY = {"float16": (5, 3), "bfloat16": (8, 0), "tf32": (8, 0)}
"""Of a GPU, by dtype."""
Module = TypeVar("Module", bound=torch.nn.Module)


def choose_device(wanted: str = "auto") -> torch.device:
    """`auto` (the GPU if there is one), `cpu`, `cuda` or `cuda:1` as a torch device.

    Raises `StdcLabError` for another word, or a GPU that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return torch.device("cuda:0" if count else "cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    name, _, index = wanted.partition(":")
    if name != "cuda" or not (index.isdecimal() or (not index and wanted == "cuda")):
        raise StdcLabError(f"--device: got {wanted!r}; allowed: auto, cpu, cuda, cuda:0, cuda:1, …")
    number = int(index or 0)
    if number >= count:
        there = f"{count} GPU{'s' if count != 1 else ''}"
        raise StdcLabError(f"--device: got {wanted!r}, but PyTorch sees {there} here; allowed: auto, cpu")
    return torch.device(f"cuda:{number}")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that a forward pass computes in, for a `TrainConfig.precision`.

    `auto` is bfloat16 where the device computes it natively, float16 on older GPUs, float32 elsewhere.
    """
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if computes_natively("bfloat16", device):
        return torch.bfloat16
    return torch.float16 if computes_natively("float16", device) else torch.float32


def computes_natively(dtype: str, device: torch.device) -> bool:
    """Whether the device has instructions for `float32`, `tf32`, `float16` or `bfloat16` that PyTorch uses.

    What it lacks, PyTorch emulates: with that dtype's rounding, but slower than float32. TensorFloat-32 is not
    emulated, float32 takes its place. What other libraries make of it is theirs to say.
    """
    if dtype == "float32":
        return True
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _NEEDED_CAPABILITY[dtype]
    # float16 is no dtype of ours on a CPU.
    return dtype == "bfloat16" and bool(cpu_flags() & {"avx512_bf16", "amx_bf16"}) and _onednn_may_use_bfloat16()


def not_native(dtype: str, device: torch.device) -> str | None:
    """What to say of a dtype that the device does not compute natively; None if it does."""
    if computes_natively(dtype, device):
        return None
    return f"not native here: PyTorch finds no {dtype} on this {'GPU' if device.type == 'cuda' else 'processor'}"


def place(module: Module, device: torch.device) -> Module:
    """Move a module to a device, its weights in channels-last layout; gives the module.

    On the CPU, `keep_freed_memory` too: training, timing and evaluation then all run with the same allocator.
    """
    if device.type == "cpu":
        keep_freed_memory()
    return module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _onednn_may_use_bfloat16() -> bool:
    """Whether oneDNN, which computes PyTorch's convolutions, was left the processor's bfloat16.

    The system tells of the processor's instructions however the variable holds oneDNN back. PyTorch says no below
    AVX-512, and yes at an AVX-512 without bfloat16, which takes three times as long as float32: hence the names.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    limit = next(filter(None, map(os.environ.get, _ONEDNN_LIMITS)), "")
    return limit.upper() not in _ISA_WITHOUT_BFLOAT16
