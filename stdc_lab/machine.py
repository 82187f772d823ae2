"""What runs here: the device, what it computes natively, its fingerprint, and the lock that keeps timing quiet."""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import torch

from stdc_lab.arithmetic import Arithmetic, describe
from stdc_lab.errors import StdcLabError
from stdc_lab.files import lock_holders, open_regular, own_folder
from stdc_lab.records import Environment

log = logging.getLogger(__name__)
LOCK_VARIABLE = "STDC_LAB_LOCK"
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "failed to allocate")
RUNTIME_PACKAGES = ("onnxruntime", "openvino")
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
    return dtype == "bfloat16" and bool(_cpu_flags() & {"avx512_bf16", "amx_bf16"}) and _onednn_may_use_bfloat16()


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


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next step; says whether the C library could be told.

    glibc gives every large tensor fresh pages from the system and hands them back when it is freed, so that a
    training on the CPU spends a quarter of its time having the same pages cleared again. Other C libraries are left
    as they are, and so is what the user set in a MALLOC_… variable.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # of malloc.h
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    tell.argtypes, tell.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    wanted = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**26))
    return all(bool(tell(what, value)) for what, value in wanted)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how a device, or a library, says that memory has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let PyTorch use this many CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def default_threads() -> int:
    """CPU threads unless somebody says how many: one a core, or fewer if OMP_NUM_THREADS asks for fewer."""
    # As OpenMP reads it: a list is of nested levels, of which the first is meant; what is no number is passed over.
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(usable_cores(), int(wanted)) if wanted.isdecimal() and int(wanted) else usable_cores()


def environment(device: torch.device, threads: int, computed: Arithmetic | None = None) -> Environment:
    """The machine and the versions behind a figure measured on `device` with so many CPU threads, computed so."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    parts = {
        "device": device.type,
        "processor": processor,
        "cores": usable_cores(),
        "system": platform.system(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    return Environment(
        device=str(device),
        processor=processor,
        threads=threads,
        python=platform.python_version(),
        torch=torch.__version__,
        fingerprint=digest,
        clock_mhz=_clock_mhz(device),
        versions=_versions(),
        arithmetic=None if computed is None else describe(computed, device),
    )


class MachineLock:
    """The machine's lock while it is held, by a training or a timer; false where the system has no such lock.

    gate: a second file. A timer holds it alone from when it begins to wait, and who wants the lock passes through it:
    so a timer gets its turn, however many trainings follow each other.
    """

    def __init__(self, lock: int | None = None, gate: int | None = None) -> None:
        self._lock, self._gate = lock, gate

    def __bool__(self) -> bool:
        return self._lock is not None

    def timer_waits(self) -> bool:
        """Whether a timer waits until the trainings that hold the lock let go of it."""
        if self._gate is None:
            return False
        import fcntl

        try:
            fcntl.flock(self._gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        return False

    def step_aside(self) -> None:
        """Let the timers that wait have the machine, and take the lock again, shared, when they are done."""
        if self._lock is None or self._gate is None:
            return
        import fcntl

        fcntl.flock(self._lock, fcntl.LOCK_UN)
        fcntl.flock(self._gate, fcntl.LOCK_SH)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def take(self, *, alone: bool) -> None:
        """Wait for the lock."""
        import fcntl

        assert self._lock is not None and self._gate is not None
        mode = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        for descriptor in (self._gate, self._lock):
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                other = "a training or a timing" if alone else "a timing"
                holders = "; ".join(lock_holders(descriptor))
                who = f" ({holders})" if holders else ""
                log.warning("waiting for the machine's lock: %s of another process is under way%s", other, who)
                started = time.monotonic()
                fcntl.flock(descriptor, mode)
                log.info("got the machine's lock after %.0f s", time.monotonic() - started)
        if not alone:
            fcntl.flock(self._gate, fcntl.LOCK_UN)


@contextmanager
def machine_lock(*, alone: bool) -> Iterator[MachineLock]:
    """Hold the machine's lock: shared while training, alone while timing. Gives a false one where there is none.

    Any number of trainings hold it together; a timer waits until each of them has ended or stepped aside, and they
    wait for it. It is one file for all processes of a user and another beside it, in a folder that is the user's
    alone, and the kernel frees both when a process dies. A file where everybody may write could be held, or replaced
    by a link, by anybody: users who trust each other share a lock by naming one file in the variable STDC_LAB_LOCK.
    Without that the timings of two users can overlap, and are noisier then.
    """
    if sys.platform == "win32":
        yield MachineLock()
        return
    named = os.environ.get(LOCK_VARIABLE)
    path = Path(named or Path(tempfile.gettempdir()) / f"stdc_lab-{os.geteuid()}" / "lock")
    descriptors: list[int] = []
    try:
        if not named:
            own_folder(path.parent)
        for file in (path, path.with_name(path.name + ".gate")):
            descriptors.append(_open_lock(file))
    except OSError as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise StdcLabError(
            f"{path}: the machine's lock cannot be opened ({error.strerror}); make it writable, or name another "
            f"file in the variable {LOCK_VARIABLE}"
        ) from error
    try:
        lock = MachineLock(*descriptors)
        lock.take(alone=alone)
        yield lock
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _open_lock(path: Path) -> int:
    # For reading, which is all that flock needs: so the file that one user made serves every other.
    try:
        return open_regular(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = open_regular(path, os.O_RDONLY | os.O_CREAT)
        with suppress(OSError):
            os.fchmod(descriptor, 0o644)  # whatever the umask
        return descriptor


def _clock_mhz(device: torch.device) -> float | None:
    """The clock as the system tells it at this moment: of the GPU, or the fastest of the cores."""
    if device.type == "cuda":
        with suppress(Exception):  # without NVIDIA's library for it there is none to be had
            return float(torch.cuda.clock_rate(device))
        return None
    clocks = [float(line.partition(":")[2]) for line in _cpu_lines() if line.startswith("cpu MHz")]
    return max(clocks) if clocks else None


def _versions() -> dict[str, str]:
    installed = {}
    for name in RUNTIME_PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


def _cpu_name() -> str:
    for line in _cpu_lines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    for line in _cpu_lines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


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


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
