"""The figures of measured claims: networks that take turns on one machine, and ratios of their latencies.

Calls in a row, or other seeds, are no replicates of a latency: the intervals are those of the timer, which counts
blocks of turns (`profiling.intervals`). They hold for this machine, this runtime and this time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import torch

from stdc_lab.arithmetic import TIMING
from stdc_lab.claims.comparisons import COMPARISONS, Comparison, Found, median_ms
from stdc_lab.claims.exact import check_figures
from stdc_lab.config.claim import MeasuredClaim
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.values import show_size
from stdc_lab.deploy.runtimes import check_runtime
from stdc_lab.errors import ConfigError, StdcLabError
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.profiling.side_by_side import Sized, take_turns_in_runtime
from stdc_lab.profiling.timing import OnProgress, Turns

ERROR = 0.05
"""Of all figures of a claim together."""
COUNTED = "counted: no interval"
Timer = Callable[[Mapping[str, Sized], LatencyConfig, torch.device, OnProgress | None], Turns]


class NotRunHereError(StdcLabError):
    """A measured claim whose runtime or network cannot be had here, with what would help."""


def measure(
    claim: MeasuredClaim,
    device: torch.device,
    on_progress: OnProgress | None = None,
    *,
    timer: Timer = take_turns_in_runtime,
) -> pd.DataFrame:
    """Time what the claim compares, in its runtime; a row a figure, as `analysis.stated.judge_stated` reads them.

    Columns: figure, value, low, high, confidence, interval_is, noisy (None where nothing was timed), networks, size
    (theirs), runtime, dtype, batch, threads, device, rounds, blocks, windows, processor, fingerprint, torch, versions.
    The intervals of the figures that the claim states hold together with 95 % at every look that could end the timing
    (Bonferroni); those of the figures beside them are as wide. `on_progress` hears the share that is done.

    Raises `ConfigError` for a comparison or figure that there is none of, `NotRunHereError` where the runtime or a
    network is not to be had here, `StdcLabError` if a network fails in the runtime.
    """
    comparison = _comparison(claim)
    config = claim.latency
    try:
        check_runtime(config, device, claim.id)
        networks = comparison.networks(config.size)
    except StdcLabError as error:
        raise NotRunHereError(f"{claim.id}: not run: {error}") from error
    beside = {f"median_ms_{name}": median_ms(name) for name in networks}
    counted = comparison.counted(networks)
    check_figures(claim.id, claim.stated, [*comparison.figures, *counted, *beside])
    turns = timer(networks, config, device, on_progress)
    figures = {**comparison.figures, **beside}
    confidence = confidence_of(sum(name in figures for name in claim.stated), config.attempts)
    found = {name: figure(turns, config.precision, confidence) for name, figure in figures.items()}
    found |= {name: Found(value, value, value, tuple(networks), COUNTED) for name, value in counted.items()}
    return _table(found, networks, turns, config, device, confidence)


def confidence_of(figures: int, looks: int) -> float:
    """Of each figure's interval at each look, so that together they err in 5 % at most."""
    return 1 - ERROR / (max(figures, 1) * looks)


def _comparison(claim: MeasuredClaim) -> Comparison:
    if claim.computes not in COMPARISONS:
        raise ConfigError(f"{claim.id}: computes: got {claim.computes!r}; allowed: {', '.join(COMPARISONS)}")
    return COMPARISONS[claim.computes]


def _table(
    found: Mapping[str, Found],
    networks: Mapping[str, Sized],
    turns: Turns,
    config: LatencyConfig,
    device: torch.device,
    confidence: float,
) -> pd.DataFrame:
    threads = config.threads or default_threads()
    where = environment(device, threads, TIMING)
    protocol = {
        "runtime": config.runtime,
        "dtype": config.dtype,
        "batch": config.batch,
        "threads": threads,
        "device": str(device),
        "rounds": len(turns.milliseconds),
        "blocks": int(turns.blocks[-1]) + 1,
        "windows": turns.attempts,
        "processor": where.processor,
        "fingerprint": where.fingerprint,
        "torch": where.torch,
        "versions": "; ".join(f"{name} {version}" for name, version in where.versions.items()),
    }
    rows = [
        {
            "figure": name,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "confidence": None if one.interval_is == COUNTED else confidence,
            "interval_is": one.interval_is,
            "noisy": one.noisy,
            "networks": " ".join(one.networks),
            "size": " ".join(dict.fromkeys(show_size(networks[network].size) for network in one.networks)),
            **protocol,
        }
        for name, one in found.items()
    ]
    return pd.DataFrame(rows)
