"""What a search shows while it runs, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from stdc_lab.analysis.frame import GrowingStudy, load_study
from stdc_lab.cli.progress import clock
from stdc_lab.cli.status import LIVE_ROWS, doubts, results_table, sparkline, trained_rows
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.reporting.words import confirmation_sentences
from stdc_lab.search import Watcher
from stdc_lab.search.candidate import Candidate
from stdc_lab.storage import STORAGE_FILE
from stdc_lab.training import Progress as TrainingProgress

PLAIN_LINES_PER_TRIAL = 4


def console_beside(json_file: Path | None) -> Console:
    """Where people read: standard output, or, if JSON goes there, standard error."""
    return Console(highlight=False, soft_wrap=True, stderr=str(json_file) == "-")


class ConsoleWatcher(Watcher):
    """In a terminal the front so far and a line for every trial under way, with its loss as a curve, rate and time
    left; in a file or pipe a few plain lines a trial."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}{task.fields[note]}"),
            console=self.console,
        )
        self.task = self.bar.add_task("", total=1, visible=False, note="")
        self.tasks: dict[int, TaskID] = {}
        """The lines of the trials under way."""
        self.losses: dict[int, list[float]] = {}
        self.said: dict[int, int] = {}
        """How many plain lines there were of a trial."""
        self.front: Table | None = None
        self.folder: Path | None = None
        self.growing: GrowingStudy | None = None
        self.live = Live(console=self.console, transient=True, get_renderable=self._view)
        self.started_at = time.monotonic()
        self.done = self.wanted = self.done_at_start = self.screened = 0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()
        self._let_go()

    def started(self, folder: Path, done: int, wanted: int, device: torch.device) -> None:
        self.started_at = time.monotonic()
        self._let_go()
        self.folder, self.wanted = folder, wanted
        self.done = self.done_at_start = done
        self.bar.update(self.task, visible=False)
        self._draw_front()
        going_on = f", going on after {done}" if done else ""
        self.console.print(f"{folder}: {wanted} trials on {device}{going_on}", markup=False)

    def set_aside(self, storage: Path) -> None:
        self.console.print(
            f"{storage.parent}: was begun with another study, which trained nothing: begun anew, for what that one "
            f"taught its sampler holds no more; what it recorded is kept in {storage.name}",
            markup=False,
        )

    def data(self, what: str, done: int, total: int) -> None:
        self._show(f"preparing {what}", done, total, "")

    def trial_screened(self, number: int, reason: str) -> None:
        self.screened += 1
        self._forget(number)
        if not reason.startswith("screened out before it was built"):  # of those there may be thousands
            self.console.print(f"trial {number:>3}: {reason}", markup=False)

    def trial_started(self, candidate: Candidate, done: int, wanted: int) -> None:
        self.done, self.wanted = done, wanted
        self.losses[candidate.number] = []
        name = f"trial {candidate.number}"
        self.tasks[candidate.number] = self.bar.add_task(name, total=candidate.train.iterations, note="  timing")

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        self.bar.update(self.tasks[candidate.number], note="")
        if cost.latency is not None and cost.latency.making_s is not None:
            made = f"{cost.latency.runtime} {cost.latency.dtype} made in {clock(cost.latency.making_s)}"
            self.console.print(f"trial {candidate.number:>3}: {made}, then {cost.latency.median_ms:.1f} ms a call")

    def trial_progress(self, candidate: Candidate, progress: TrainingProgress) -> None:
        number, done = candidate.number, progress.iteration - progress.first_iteration
        left = progress.seconds / done * (progress.iterations - progress.iteration)
        self.losses[number].append(progress.loss)
        note = f"  loss {progress.loss:.3f}  rate {progress.learning_rate:.4f}  {clock(left)} left"
        curve = f"  {sparkline(self.losses[number])}"
        self.bar.update(self.tasks[number], completed=progress.iteration, note=curve + note)
        lines = progress.iteration * PLAIN_LINES_PER_TRIAL // progress.iterations
        if not self.console.is_terminal and lines > self.said.get(number, 0):
            self.said[number] = lines
            of = f"  (trial {self.done + 1} of {self.wanted})"
            self.console.print(f"  trial {number}: {progress.iteration}/{progress.iterations}{note}{of}")

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        self._forget(candidate.number)
        latency = record.profile.latency
        name = f" ({candidate.reference})" if candidate.reference else ""
        if candidate.arm is not None:
            name = f" ({candidate.arm} with seed {candidate.seed})"
        if candidate.confirms is not None:
            name = f" (#{candidate.confirms} with seed {candidate.seed})"
        if duplicate_of is not None:
            text = f"the same as trial {duplicate_of}: not trained again"
        else:
            ms = "not timed" if latency is None else f"{latency.median_ms:.1f} ms"
            text = (
                f"mIoU {record.result.miou:.3f}  {ms}  {record.profile.macs / 1e9:.2f} GMACs  "
                f"{record.profile.num_params / 1e6:.2f} M parameters  trained in {clock(record.result.seconds)}"
            )
            if record.stopped is not None:
                text = f"{record.stopped}; {text}"
            self.done += 1
            self._draw_front()
        self.console.print(f"trial {candidate.number:>3}{name}: {text}{self._time_left()}")

    def trial_failed(self, candidate: Candidate, reason: str) -> None:
        self._forget(candidate.number)
        self.console.print(f"trial {candidate.number:>3}: failed: {reason}", markup=False)

    def trial_again(self, candidate: Candidate, reason: str) -> None:
        self.console.print(f"trial {candidate.number:>3}: goes on after: {reason}", markup=False)

    def stopping(self, running: int) -> None:
        trials = "the trial" if running == 1 else f"the {running} trials"
        self.console.print(f"finishing {trials} under way, then stopping; Ctrl-C again: at once")

    @contextmanager
    def retiming(self) -> Iterator[Callable[[float], None]]:
        """Show the share of a retiming that is done."""
        with self:
            yield lambda share: self._show("making and timing, interleaved", round(100 * share), 100, " %")

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total, note=note, visible=True)

    def _view(self) -> RenderableType:
        return self.bar if self.front is None else Group(self.front, self.bar)

    def _draw_front(self) -> None:
        """Take the front from the storage, where somebody looks at it."""
        if self.console.is_terminal and self.folder is not None and (self.folder / STORAGE_FILE).exists():
            self.growing = self.growing or GrowingStudy(self.folder)
            frame = self.growing.load()
            found = len(trained_rows(frame)) > 0
            self.front = results_table(frame, front_only=True, rows=LIVE_ROWS) if found else None

    def _let_go(self) -> None:
        if self.growing is not None:
            self.growing.close()
        self.growing = None

    def _forget(self, number: int) -> None:
        task = self.tasks.pop(number, None)
        self.losses.pop(number, None)
        if task is not None:
            self.bar.remove_task(task)

    def _time_left(self) -> str:
        fresh = self.done - self.done_at_start
        if fresh < 1 or self.done >= self.wanted:
            return ""
        left = (time.monotonic() - self.started_at) / fresh * (self.wanted - self.done)
        return f"  [{self.done}/{self.wanted}, about {clock(left)} left]".replace("[", "\\[")


def print_confirmation(folder: Path, console: Console | None = None) -> None:
    """Say what fresh seeds made of a study's front."""
    console = console or Console(highlight=False)
    for sentence in confirmation_sentences(load_study(folder)):
        console.print(sentence, markup=False, soft_wrap=False)


def print_front(folder: Path, console: Console | None = None) -> None:
    """Print a study's finished networks, the front marked, fastest first; of a plan its arms."""
    console = console or Console(highlight=False)
    frame = load_study(folder)
    console.print("no finished trial yet" if trained_rows(frame).empty else results_table(frame), soft_wrap=False)
    for line in doubts(frame):
        console.print(line, markup=False, soft_wrap=False)
