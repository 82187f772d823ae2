"""CPU cores and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
