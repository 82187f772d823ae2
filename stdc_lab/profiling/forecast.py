"""About how long it takes to time networks in runtimes, once one timing of each is known."""

from __future__ import annotations

from collections.abc import Sequence

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.runtimes import Runtime

COMPILED_S = (30.0, 150.0)
"""Until a compiled runtime answers first, on two cores of a server and on two busy ones."""
CONVERTED_S = (5.0, 30.0)
"""The same of one that is made from an ONNX graph."""
PLAIN_S = (0.5, 3.0)


def forecast_s(
    call_s: Sequence[float],
    runtimes: Sequence[Runtime],
    batches: Sequence[int],
    config: LatencyConfig,
    *,
    areas: Sequence[float] = (1.0,),
) -> tuple[float, float]:
    """Seconds that `measure_runtimes` takes on a quiet machine, and on one where every timing is repeated.

    call_s: seconds of a call of each network in eager PyTorch, at batch 1. areas: of the input sizes, one being that of
    these calls. A runtime that is faster than eager takes less.
    """
    least = most = 0.0
    for seconds in (one * area * batch for one in call_s for area in areas for batch in batches):
        for runtime in runtimes:
            quick, slow = COMPILED_S if runtime.compiles else CONVERTED_S if runtime.extra else PLAIN_S
            window = max(config.measure_s, config.min_repeats * seconds)
            # The first calls and those that look at its memory; then the warm-up; then the windows.
            least += quick + 6 * seconds + window
            again = config.attempts if config.min_repeats * seconds <= 1.5 * config.measure_s else 1
            most += slow + 3 * seconds + max(config.warmup_s, 6 * seconds) + again * window
    return least, most
