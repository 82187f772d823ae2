"""How much memory a call needs beside what is there already."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.memory import is_out_of_memory

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
MEMORY = Path("/proc/meminfo")


def peak_memory(work: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that `work` needed at its highest, above what was in use before; None where the system does not tell.

    CUDA: of the allocator. CPU: resident memory of the process (Linux), after the C library has handed back what was
    freed before.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    _hand_back_freed()
    try:
        CLEAR.write_text(RESET_PEAK)
        resident = _of_status("VmRSS")
    except OSError:
        work()
        return None
    work()
    peak = _of_status("VmHWM")
    return None if peak is None or resident is None else max(0, peak - resident)


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on the device; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return _kilobytes(MEMORY, "MemAvailable")


def check_memory(needed: float, device: torch.device) -> None:
    """Raises `StdcLabError` if so many bytes cannot be had: on the CPU the system kills who asks for too much."""
    free = free_memory(device)
    if free is not None and needed > free:
        raise StdcLabError(f"out of memory: about {needed / 2**30:.1f} GiB are needed, {free / 2**30:.1f} GiB are free")


@contextmanager
def lack_of_memory() -> Iterator[None]:
    """Within it, whatever says that there is no memory left is a `StdcLabError`; every other error is itself."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StdcLabError(f"out of memory: {text}") from error


def _of_status(name: str) -> int | None:
    return _kilobytes(STATUS, name)


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _hand_back_freed() -> None:
    # A process that keeps its freed memory (`machine.keep_freed_memory`) would serve the call from it, unseen.
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
