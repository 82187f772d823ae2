"""What a whole training shows while it runs."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from stdc_lab.cli.progress import clock
from stdc_lab.training import Progress as TrainingProgress

PLAIN_LINE_S = 30.0
"""How often a training says in a file or pipe where it stands."""
SCORE_NAMES = {"miou": "mIoU", "top1": "top-1"}


class TrainingWatcher:
    """A whole training on the console: the account, a live line with an estimate, and every evaluation."""

    def __init__(self, *, speaks: bool = True, errors: bool = False) -> None:
        self.console = Console(highlight=False, soft_wrap=True, stderr=errors, quiet=not speaks)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not (self.console.is_terminal and speaks),
        )
        self.task = self.bar.add_task("", total=1, visible=False, note="")
        self.said_at = time.monotonic()
        self.steps = 0
        """How many were taken here, not before."""

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def print(self, text: str) -> None:
        self.console.print(text, markup=False)

    def data(self, what: str, done: int, total: int) -> None:
        self.bar.update(
            self.task, description=f"preparing {what}", completed=done, total=total, note="", visible=done < total
        )

    def account(self, text: str) -> None:
        self.print(text)

    def progress(self, progress: TrainingProgress) -> None:
        self.steps += 1
        done = progress.iteration - progress.first_iteration
        left = progress.seconds / done * (progress.iterations - progress.iteration)
        waiting = progress.waited_s / max(progress.seconds, 1e-9)
        note = f"  loss {progress.loss:.3f}  rate {progress.learning_rate:.2g}  {clock(left)} left"
        if waiting > 0.05:
            note += f"  (waiting for data {waiting:.0%} of the time: more train.data_workers may help)"
        self.bar.update(
            self.task, description="training", completed=progress.iteration, total=progress.iterations, note=note,
            visible=progress.iteration < progress.iterations,
        )  # fmt: skip
        place = f"{progress.iteration:>7,}/{progress.iterations:,}"
        if progress.score is not None:
            self.print(f"{place}  validation {SCORE_NAMES[progress.score_name]} {progress.score:.4f}{note}")
        elif not self.console.is_terminal and time.monotonic() - self.said_at > PLAIN_LINE_S:
            self.print(f"{place}{note}")
        else:
            return
        self.said_at = time.monotonic()
