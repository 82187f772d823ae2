"""How a latency is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stdc_lab.config.values import Size, Value


class LatencyConfig(Value):
    """The inference graph, warmed up until steady, timed in windows that are fixed before."""

    size: Size = (512, 1024)
    """Height x width of the input."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; if absent one for each core, or OMP_NUM_THREADS if that is fewer."""
    warmup_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    """Seconds of untimed calls at most, for each network: they end once the median no longer falls by more than 1 %
    (at least three calls, or one where three take longer)."""
    measure_s: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Seconds of a window for each network, or longer if `min_repeats` calls take longer. Half of the calls in it
    count: they come in ten blocks with gaps between them, since calls in a row resemble each other."""
    min_repeats: Annotated[int, Field(ge=5, le=100_000)] = 15
    precision: Annotated[float, Field(gt=0, le=1)] = 0.02
    """A timing is noisy unless the 95 % interval of its median lies within this share of it, to either side."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How many windows there are at most: another one if some network is noisy, and all are pooled. What is then still
    noisy is marked so. The interval pays for every look that may end the timing: one more costs about a tenth of it."""
