"""Memory: kept for the next step, and whether it has run out."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

import torch

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "failed to allocate")


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
