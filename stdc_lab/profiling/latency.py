"""The timer: latency of inference graphs at batch 1."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy import stats
from torch import nn

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.machine import cpu_threads, machine_lock, place, synchronise, usable_cores
from stdc_lab.profiling.counters import InferenceGraph
from stdc_lab.records import LatencyResult

MIN_WARMUP_CALLS = 3


def measure_latency(
    networks: Mapping[str, nn.Module],
    config: LatencyConfig,
    device: torch.device,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, LatencyResult]:
    """Time segmenters (inference form) at batch 1 under the machine's lock, one call of each in turn.

    Taking turns lets the machine's drift fall on all of them alike. Each is warmed up for `config.warmup_s`
    and timed for `config.measure_s` seconds, the device synchronised around every call. `on_progress` hears
    the share that is done. The networks are moved to the device, channels-last.
    """
    threads = config.threads or usable_cores()
    shape = (1, 3, *config.size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    images = images.to(device=device, memory_format=torch.channels_last)
    calls = {name: _timed_call(network, images, device) for name, network in networks.items()}
    with machine_lock(alone=True), cpu_threads(threads), torch.inference_mode():
        warmups = {name: _warm_up(call, config.warmup_s) for name, call in calls.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        started = time.perf_counter()
        budget = config.measure_s * len(calls)
        rounds = 0
        while rounds < config.min_repeats or time.perf_counter() - started < budget:
            for name, call in calls.items():
                times[name].append(call())
            rounds += 1
            if on_progress is not None:
                share = min(rounds / config.min_repeats, (time.perf_counter() - started) / budget)
                on_progress(min(1.0, share))
    return {
        name: summarise(
            np.array(values),
            warmup_repeats=warmups[name],
            device=str(device),
            threads=threads,
            input_shape=shape,
        )
        for name, values in times.items()
    }


def summarise(
    milliseconds: np.ndarray,
    *,
    warmup_repeats: int,
    device: str,
    threads: int,
    input_shape: tuple[int, int, int, int],
) -> LatencyResult:
    """Median, 95th percentile, interval and spread of repeated timings (a vector, in ms)."""
    q1, median, q3, p95 = (float(v) for v in np.percentile(milliseconds, [25, 50, 75, 95]))
    return LatencyResult(
        median_ms=median,
        p95_ms=p95,
        ci95_ms=median_interval(milliseconds),
        spread=(q3 - q1) / median if median else 0.0,
        repeats=len(milliseconds),
        warmup_repeats=warmup_repeats,
        runtime="eager",
        device=device,
        dtype="float32",
        threads=threads,
        input_shape=input_shape,
    )


def median_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a median without assumptions on the distribution: two order statistics.

    The number of values below the true median is binomial (n, 1/2). With fewer than six values no pair of
    order statistics covers 95 %: the whole range is given.
    """
    ordered = np.sort(values)
    below = int(stats.binom.ppf((1 - confidence) / 2, len(ordered), 0.5)) - 1
    below = max(0, below)
    return float(ordered[below]), float(ordered[len(ordered) - 1 - below])


def _timed_call(network: nn.Module, images: torch.Tensor, device: torch.device) -> Callable[[], float]:
    graph = place(InferenceGraph(network), device).eval()

    def call() -> float:
        synchronise(device)
        started = time.perf_counter_ns()
        graph(images)
        synchronise(device)
        return (time.perf_counter_ns() - started) / 1e6

    return call


def _warm_up(call: Callable[[], float], seconds: float) -> int:
    started = time.perf_counter()
    count = 0
    while count < MIN_WARMUP_CALLS or time.perf_counter() - started < seconds:
        call()
        count += 1
    return count
