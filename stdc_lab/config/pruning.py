"""When a training on its way is stopped, because others are better beyond doubt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stdc_lab.config.values import Value


class PruningConfig(Value):
    """Rungs are the evaluations on the way (`train.evaluations`). At each, a trial is stopped that enough finished
    trials dominate: at least as good in every other objective, and ahead in mIoU beyond that rung's noise."""

    margin: Annotated[float, Field(ge=0, le=100)] = 2.0
    """By how many times the noise of a rung a finished trial has to be ahead there. The noise is measured: by how much
    two finished trials' difference changed from that rung to the end (standard deviation). In simulated searches the
    default lost at most 0.4 % of the members of fronts, and 0.5 lost 8 to 26 %."""
    dominators: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many finished trials have to be so."""
    finished: Annotated[int, Field(ge=3, le=100_000)] = 6
    """How many trials have to be finished before any is stopped: with fewer, the noise is not known."""
    from_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """The share of a training before which none is stopped."""
