"""The lock that keeps timing quiet."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stdc_lab.errors import StdcLabError
from stdc_lab.files import lock_holders, open_regular, own_folder

log = logging.getLogger(__name__)
LOCK_VARIABLE = "STDC_LAB_LOCK"


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
