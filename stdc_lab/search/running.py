"""`Running`: what the loop of a search knows of a trial that is under way."""

from __future__ import annotations

from dataclasses import dataclass, field

import optuna

from stdc_lab.records import ProfileResult
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.crew import Worker
from stdc_lab.search.objectives import ScreenedOutError
from stdc_lab.search.watchdog import Watchdog


@dataclass(eq=False)
class Running:
    """A trial under way."""

    trial: optuna.Trial
    candidate: Candidate
    worker: Worker
    key: str
    cost: ProfileResult | None = None
    screened: ScreenedOutError | None = None
    """Why it is not trained, once its cost is known."""
    iteration: int = 0
    """As far as its training is known to have come."""
    lost: tuple[int, int] = (0, 0)
    """How many workers it has lost without getting any further, and how far it had got."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    """Of the worker that it has now."""
    twins: list[optuna.Trial] = field(default_factory=list)
    """Proposals of the same training, made meanwhile: they wait for its result."""
