"""How a latency is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stdc_lab.config.values import Size, Value


class LatencyConfig(Value):
    """The inference graph, warmed up until steady, timed until its median is known well enough."""

    size: Size = (512, 1024)
    """Height x width of the input."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; one for each core if absent."""
    warmup_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    """Seconds of untimed calls at most, for each network: they end once the median no longer falls by more than 1 %
    (at least three calls)."""
    measure_s: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Seconds of timed calls at most, for each network (at least `min_repeats` calls)."""
    min_repeats: Annotated[int, Field(ge=5, le=100_000)] = 15
    precision: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Timing ends once the 95 % interval of every median lies within this share of it, to either side."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How often a noisy run is timed at most; what is then still noisy is marked so."""
