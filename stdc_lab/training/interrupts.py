"""Signals that wait for the end of a step."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Interrupts:
    """Holds Ctrl-C and SIGTERM back inside its block, so that they leave no step half done: weights that have moved
    and an average that has not are no state to go on from.

    patient: whether every further signal is held back too; if not, the second one gets through at once.
    Only signals that end the block by an exception are held back, and only in the main thread, which alone hears them.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.patient = patient
        self.arrived: int | None = None
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):  # neither ignored nor deadly, but Python's own or a program's
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def pass_on(self) -> None:
        """Let the signal have its effect, if one has arrived."""
        if self.arrived is not None:
            number, self.arrived = self.arrived, None
            self._handlers[number](number, None)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.arrived is not None and not self.patient:
            self._handlers[number](number, frame)
            return
        if self.arrived is None:
            log.warning("stopping after this step%s", "" if self.patient else "; once more: at once, without its state")
        self.arrived = number
