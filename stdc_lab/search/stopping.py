"""When a search ends: by a signal, by the clock."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Stop:
    """Hears Ctrl-C and SIGTERM inside its block, and looks at the clock.

    Ctrl-C once: no new trial (`soon`). Twice, or SIGTERM: at once (`now`). Past `max_hours`: at once too, but that is
    a study's planned end for today and not an interruption. In another thread than the main one, which hears no
    signals, only the clock counts.
    """

    def __init__(self, max_hours: float | None = None) -> None:
        self.soon = self.now = False
        self._deadline = None if max_hours is None else time.monotonic() + 3600 * max_hours
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heard: dict[int, Callable[[int, FrameType | None], None]] = {
                signal.SIGINT: self._interrupt,
                signal.SIGTERM: self._terminate,
            }
            for number, handler in heard.items():
                self._handlers[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.now, self.soon = self.soon, True

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.now = self.soon = True
