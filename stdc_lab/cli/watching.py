"""What a search shows while it runs, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from stdc_lab.analysis.frame import load_study
from stdc_lab.cli.progress import clock
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.search import Watcher
from stdc_lab.search.objective import Candidate
from stdc_lab.training import Progress as TrainingProgress

PLAIN_LINES_PER_TRIAL = 4


class ConsoleWatcher(Watcher):
    """A live line with loss, rate and time left in a terminal; a few plain lines a trial in a file or pipe."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1, visible=False, note="")
        self.started_at = time.monotonic()
        self.done = self.wanted = self.done_at_start = self.screened = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def started(self, folder: Path, done: int, wanted: int, device: torch.device) -> None:
        self.started_at = time.monotonic()
        self.done_at_start = done
        going_on = f", going on after {done}" if done else ""
        self.console.print(f"{folder}: {wanted} trials on {device}{going_on}", markup=False)

    def data(self, what: str, done: int, total: int) -> None:
        self._show(f"preparing {what}", done, total, "")

    def trial_screened(self, number: int, reason: str) -> None:
        self.screened += 1
        if not reason.startswith("screened out before it was built"):  # of those there may be thousands
            self.console.print(f"trial {number:>3}: {reason}", markup=False)

    def trial_started(self, candidate: Candidate, done: int, wanted: int) -> None:
        self.done, self.wanted = done, wanted
        self._show(f"trial {candidate.number} timing", 0, candidate.train.iterations, "")

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        self._show(f"trial {candidate.number}", 0, candidate.train.iterations, "")

    def trial_progress(self, candidate: Candidate, progress: TrainingProgress) -> None:
        left = progress.seconds / progress.iteration * (progress.iterations - progress.iteration)
        note = (
            f"  loss {progress.loss:.3f}  rate {progress.learning_rate:.4f}  {clock(left)} left"
            f"  (trial {self.done + 1} of {self.wanted})"
        )
        self._show(f"trial {candidate.number}", progress.iteration, progress.iterations, note)
        every = max(1, progress.iterations // PLAIN_LINES_PER_TRIAL)
        if not self.console.is_terminal and progress.iteration % every == 0:
            self.console.print(f"  trial {candidate.number}: {progress.iteration}/{progress.iterations}{note}")

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        self.bar.update(self.task, visible=False)
        latency = record.profile.latency
        name = f" ({candidate.reference})" if candidate.reference else ""
        if duplicate_of is not None:
            text = f"the same as trial {duplicate_of}: not trained again"
        else:
            ms = "not timed" if latency is None else f"{latency.median_ms:.1f} ms"
            text = (
                f"mIoU {record.result.miou:.3f}  {ms}  {record.profile.macs / 1e9:.2f} GMACs  "
                f"{record.profile.num_params / 1e6:.2f} M parameters  trained in {clock(record.result.seconds)}"
            )
            self.done += 1
        self.console.print(f"trial {candidate.number:>3}{name}: {text}{self._time_left()}")

    def trial_failed(self, candidate: Candidate, reason: str) -> None:
        self.bar.update(self.task, visible=False)
        self.console.print(f"trial {candidate.number:>3}: failed: {reason}", markup=False)

    def trial_again(self, candidate: Candidate, reason: str) -> None:
        self.console.print(f"trial {candidate.number:>3}: goes on after: {reason}", markup=False)

    def stopping(self, running: int) -> None:
        trials = "the trial" if running == 1 else f"the {running} trials"
        self.console.print(f"finishing {trials} under way, then stopping; Ctrl-C again: at once")

    @contextmanager
    def retiming(self) -> Iterator[Callable[[float], None]]:
        """Show the share of a retiming that is done."""
        with self.bar:
            yield lambda share: self._show("timing, interleaved", round(100 * share), 100, " %")

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total, note=note, visible=True)

    def _time_left(self) -> str:
        fresh = self.done - self.done_at_start
        if fresh < 1 or self.done >= self.wanted:
            return ""
        left = (time.monotonic() - self.started_at) / fresh * (self.wanted - self.done)
        return f"  [{self.done}/{self.wanted}, about {clock(left)} left]".replace("[", "\\[")


def print_front(folder: Path, console: Console | None = None) -> None:
    """Print a study's finished trials, the front marked, fastest first."""
    console = console or Console(highlight=False)
    frame = load_study(folder)
    frame = frame[frame["miou"].notna() & frame["duplicate_of"].isna()].sort_values("latency_ms")
    if frame.empty:
        console.print("no finished trial yet")
        return
    table = Table(box=None, header_style="bold")
    table.add_column("front")
    for title in ("trial", "mIoU", "latency ms", "fps", "GMACs", "M params"):
        table.add_column(title, justify="right")
    table.add_column("network")
    for row in frame.to_dict("records"):
        table.add_row(
            "*" if row["on_front"] else "",
            str(row["number"]),
            f"{row['miou']:.3f}",
            f"{row['latency_ms']:.1f}",
            f"{row['fps']:.1f}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['num_params'] / 1e6:.2f}",
            str(row["reference"] if isinstance(row["reference"], str) else row["arch_id"]),
            style="bold" if row["on_front"] else None,
        )
    console.print(table)
