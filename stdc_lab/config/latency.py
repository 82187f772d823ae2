"""How a latency is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stdc_lab.config.values import Size, Value


class LatencyConfig(Value):
    """Batch 1, the inference graph, eager PyTorch in float32 with channels-last layout."""

    size: Size = (512, 1024)
    """Height x width of the input."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; one for each core if absent."""
    warmup_s: Annotated[float, Field(ge=0, le=600)] = 0.5
    """Seconds of untimed calls before the first timed one (at least three calls)."""
    measure_s: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Seconds of timed calls (at least `min_repeats`)."""
    min_repeats: Annotated[int, Field(ge=5, le=100_000)] = 15
