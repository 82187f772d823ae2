"""What `stdc-lab profile` says while it works: to stderr, a bar on a terminal, a line a runtime in a file or pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from stdc_lab.cli.progress import clock, progress_line


@dataclass(frozen=True)
class Progress:
    """Who is told how far it is, and how long it will take."""

    tell: Callable[[str, float], None]
    forecast: Callable[[float, float], None]


@contextmanager
def profiling_progress(runtimes: int, makings: int) -> Iterator[Progress]:
    """Show progress of a profile with so many runtimes, which are made so many times over all networks and sizes.

    Without runtimes it is over in seconds: nothing is said in a pipe.
    """
    started = time.monotonic()
    made, last = 0, ""
    with progress_line() as show:
        if runtimes:
            many = f"{runtimes} runtime{'s' if runtimes > 1 else ''}"
            times = f", made {makings} times in all" if makings > runtimes else ""
            _line(f"{many}{times}: each is made, compared with eager PyTorch, then timed with the others")

        def tell(what: str, share: float) -> None:
            nonlocal made, last
            show(what, round(100 * share), 100)
            if what == last:
                return
            last = what
            is_making = what.startswith("making ")
            made += is_making
            if runtimes and not _is_terminal():
                count = f" ({made} of {makings})" if is_making else ""
                _line(f"{clock(time.monotonic() - started):>5}  {what}{count}")

        def forecast(least_s: float, most_s: float) -> None:
            _line(f"about {_minutes(least_s)} from here, on a busy machine up to {_minutes(most_s)}")

        yield Progress(tell, forecast)


def _is_terminal() -> bool:
    from rich.console import Console

    return Console(stderr=True).is_terminal


def _line(text: str) -> None:
    typer.echo(text, err=True)


def _minutes(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min"
