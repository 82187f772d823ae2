"""What `stdc-lab reproduce` shows while it runs, and its table of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from stdc_lab.analysis.claim_verdict import ClaimVerdict
from stdc_lab.claims.reproduce import Watcher
from stdc_lab.cli.progress import clock
from stdc_lab.cli.tables import Row, Table, as_rich
from stdc_lab.reporting.claim_words import effect_text, interval_text, remarks, seeds_text
from stdc_lab.training import Progress as TrainingProgress

FILE_WIDTH = 200
LOOKS = {"supported": "green", "contradicted": "red"}


class ReproduceWatcher:
    """In a terminal a line with the training under way; in a file or pipe a line a look."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[note]}"))
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=None, note="", visible=False)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def watcher(self) -> Watcher:
        """What `reproduce` tells."""
        return Watcher(progress=self._progress, measuring=self._measuring, data=self._data, judged=self._judged)

    def _progress(self, what: str, progress: TrainingProgress) -> None:
        done = progress.iteration - progress.first_iteration
        left = progress.seconds / max(done, 1) * (progress.iterations - progress.iteration)
        note = f"{progress.iteration}/{progress.iterations}  loss {progress.loss:.3f}  {clock(left)} left"
        self._show(what, progress.iteration, progress.iterations, note)

    def _measuring(self, what: str, share: float) -> None:
        self._show(what, share, 1.0, f"{100 * share:.0f} %")

    def _data(self, what: str, done: int, total: int) -> None:
        self._show(f"preparing {what}", done, total, f"{done}/{total}")

    def _show(self, what: str, done: float, total: float, note: str) -> None:
        self.bar.update(self.task, description=what, completed=done, total=total or None, note=note, visible=True)

    def _judged(self, verdict: ClaimVerdict) -> None:
        found = " ".join(filter(None, (effect_text(verdict), interval_text(verdict), seeds_text(verdict))))
        said = f"{verdict.claim}/{verdict.protocol}: {verdict.verdict}{'  ' if found else ''}{found}"
        self.console.print(said, markup=False)


def verdict_table(verdicts: Sequence[ClaimVerdict]) -> Table:
    """A row a claim and protocol, verdict first."""
    rows, notes = [], []
    for one in verdicts:
        protocol = "" if one.kind != "trained" else one.protocol
        cells = (one.verdict, one.claim, protocol, effect_text(one), interval_text(one), seeds_text(one))
        rows.append(Row(cells, LOOKS.get(one.verdict, "")))  # type: ignore[arg-type]
        notes += [f"{one.claim}/{one.protocol}: {remark}" for remark in remarks(one)]
    columns = ("verdict", "claim", "protocol", "effect", "95 % interval", "seeds")
    told = [place for place in range(len(columns)) if place < 2 or any(row.cells[place] for row in rows)]
    kept = tuple(Row(tuple(row.cells[place] for place in told), row.look) for row in rows)
    return Table("Verdicts", tuple(columns[place] for place in told), kept, words=3, notes=tuple(notes))


def print_verdicts(verdicts: Sequence[ClaimVerdict]) -> None:
    """Print the table, and below it what has to be known of single verdicts."""
    table, console = verdict_table(verdicts), Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = FILE_WIDTH  # a file has no edge that a name would have to be cut at
    console.print(as_rich(table))
    for note in table.notes:
        console.print(note, markup=False)
