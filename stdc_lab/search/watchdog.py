"""Whether a worker that says nothing hangs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from stdc_lab.search.messages import FromWorker, Stepped, Waiting
from stdc_lab.training import Progress

HANG_S = 60.0
HANG_STEPS = 10
"""A worker hangs that says nothing for so many seconds, or for the time of so many steps, whichever is longer."""
LOOK_S = 1.0
"""Of the time between two looks at most so much counts: the driver may have been kept from hearing."""
STEPS_KEPT = 100


@dataclass(eq=False)
class Watchdog:
    """Listens to one worker at one trial.

    Silence counts from its first step on: what comes before, be it reading data, timing, compiling or waiting for
    others, may take any time. It does not count while the worker waits for the machine's lock. An evaluation is heard
    of batch by batch, so it is no silence.
    """

    silent_s: float = 0.0
    _waits: bool = False
    _last: Progress | None = None
    _looked_at: float | None = None
    _first_step_s: float = 0.0
    _steps_s: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS_KEPT))

    def look(self, now: float, message: FromWorker | None) -> str | None:
        """Time has passed, with or without a message; gives why the worker is taken to hang, None if it is not.

        now: seconds on a clock that never goes back.
        """
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, LOOK_S)
        self._looked_at = now
        if message is not None:
            self.silent_s, self._waits = 0.0, isinstance(message, Waiting)
            if isinstance(message, Stepped):
                self._step(message.progress)
        elif not self._waits:
            self.silent_s += passed
        if self.silent_s < self.limit_s or self._last is None:
            return None
        step = f"a step takes {self.step_s:.3g} s"
        return f"nothing was heard of it for {self.silent_s:.0f} s after iteration {self._last.iteration:,} ({step})"

    @property
    def limit_s(self) -> float:
        """How long it may say nothing."""
        return max(HANG_S, HANG_STEPS * self.step_s)

    @property
    def step_s(self) -> float:
        """What a step takes: the median, without the first, during which a network may be compiled."""
        return median(self._steps_s) if self._steps_s else self._first_step_s

    def _step(self, progress: Progress) -> None:
        last, self._last = self._last, progress
        if last is None:
            self._first_step_s = progress.seconds / max(1, progress.iteration - progress.first_iteration)
        elif progress.iteration > last.iteration:
            self._steps_s.append((progress.seconds - last.seconds) / (progress.iteration - last.iteration))
