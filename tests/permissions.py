"""What a user without special rights may do, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522  # of linux/capability.h
_OVERRIDES = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH


@contextmanager
def read_only(*paths: Path) -> Iterator[None]:
    """Take the right to write from files and folders, and from this thread the right to write all the same.

    Skips the test where root cannot lay it down.
    """
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        with _bound():
            yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@contextmanager
def _bound() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("permissions do not bind root")
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the same of capabilities from 32 on
    if library.capget(header, held):
        pytest.skip("permissions do not bind root")
    fewer = (ctypes.c_uint32 * 6)(held[0] & ~_OVERRIDES, *held[1:])
    if library.capset(header, fewer):
        pytest.skip("permissions do not bind root")
    try:
        yield
    finally:
        library.capset(header, held)
