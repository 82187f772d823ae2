"""The timer: calls that take turns, until their medians are known well enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.machine import synchronise

Call = Callable[[], float]
"""Does something once and says how many milliseconds it took."""
OnProgress = Callable[[float], None]

MIN_WARMUP_CALLS = 3
WARMUP_WINDOW_S = 0.1
"""A window of warm-up lasts this long, and at least `MIN_WARMUP_CALLS` calls."""
STEADY = 0.01
"""Warm-up is over when the median of a window is not this much below the one before."""
SETTLE_S = 0.01
"""Between turns: the threads of one runtime go on spinning for some milliseconds, on the cores that the next needs."""
NOISY_SPREAD = 0.1


@dataclass(frozen=True)
class Turns:
    """Timings of calls that took turns.

    milliseconds: rounds × calls, in the order of `names`. warmups: untimed calls before. attempts: how often all were
    timed; these are the best of them.
    """

    names: tuple[str, ...]
    milliseconds: np.ndarray
    warmups: tuple[int, ...]
    attempts: int

    def of(self, name: str) -> np.ndarray:
        """The timings of one call, a vector."""
        return np.asarray(self.milliseconds[:, self.names.index(name)])


def timed(work: Callable[[], object], device: torch.device) -> Call:
    """A call that synchronises the device around `work`; on CUDA by the clock of its events."""
    if device.type == "cuda":
        return lambda: _by_events(work, device)

    def call() -> float:
        synchronise(device)
        started = time.perf_counter_ns()
        work()
        synchronise(device)
        return (time.perf_counter_ns() - started) / 1e6

    return call


def take_turns(calls: Mapping[str, Call], config: LatencyConfig, on_progress: OnProgress | None = None) -> Turns:
    """Warm up each call until it is steady, then time one of each in turn, so that drift falls on all alike.

    A round is one call of each. Rounds end when the interval of every median is as narrow as `config.precision` asks,
    or after `config.measure_s` seconds a call. If some are noisy then, all are timed again, up to `config.attempts`
    times, and the attempt whose widest interval is narrowest is kept.
    """
    warmups = tuple(warm_up(call, config.warmup_s) for call in calls.values())
    best: np.ndarray | None = None
    attempt = 0
    for attempt in range(1, config.attempts + 1):
        done = (attempt - 1) / config.attempts

        def heard(share: float, done: float = done) -> None:
            if on_progress is not None:
                on_progress(done + share / config.attempts)

        found = _rounds(calls, config, heard)
        if best is None or _worst(found) < _worst(best):
            best = found
        if not any(is_noisy(column, config.precision) for column in best.T):
            break
    if on_progress is not None:
        on_progress(1.0)
    assert best is not None  # there is at least one attempt
    return Turns(tuple(calls), best, warmups, attempt)


def warm_up(call: Call, seconds: float) -> int:
    """Call until the median of a window of calls no longer falls, or `seconds` are over; gives the number of calls."""
    started = time.perf_counter()
    before = np.inf
    count = 0
    while True:
        window: list[float] = []
        while len(window) < MIN_WARMUP_CALLS or (sum(window) < 1000 * WARMUP_WINDOW_S and seconds > 0):
            window.append(call())
        count += len(window)
        median = float(np.median(window))
        if median >= (1 - STEADY) * before or time.perf_counter() - started >= seconds:
            return count
        before = median


def is_noisy(milliseconds: np.ndarray, precision: float) -> bool:
    """Whether the median is known less well than asked for, or the timings scatter."""
    return precision_of(milliseconds) > precision or spread_of(milliseconds) > NOISY_SPREAD


def precision_of(values: np.ndarray) -> float:
    """How far the farther end of the median's 95 % interval is from the median, over the median."""
    median = float(np.median(values))
    low, high = median_interval(values)
    return max(high - median, median - low) / median if median else 0.0


def spread_of(values: np.ndarray) -> float:
    """Interquartile range over median."""
    q1, median, q3 = (float(v) for v in np.percentile(values, [25, 50, 75]))
    return (q3 - q1) / median if median else 0.0


def median_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a median without assumptions on the distribution: two order statistics.

    The number of values below the true median is binomial (n, 1/2). With fewer than six values no pair of
    order statistics covers 95 %: the whole range is given.
    """
    ordered = np.sort(values)
    shares = special.bdtr(np.arange(len(ordered) + 1), len(ordered), 0.5)
    below = max(0, int(np.searchsorted(shares, (1 - confidence) / 2)) - 1)
    return float(ordered[below]), float(ordered[len(ordered) - 1 - below])


def times_as_fast(turns: Turns, name: str, reference: str) -> tuple[float, tuple[float, float]]:
    """The reference's time over this one's: the median over the rounds and its 95 % interval.

    Both calls of a round met the same state of the machine, so what slows both leaves their ratio alone.
    """
    ratios = turns.of(reference) / turns.of(name)
    return float(np.median(ratios)), median_interval(ratios)


def _rounds(calls: Mapping[str, Call], config: LatencyConfig, on_progress: OnProgress) -> np.ndarray:
    rounds: list[list[float]] = []
    budget = config.measure_s * len(calls)
    started = time.perf_counter()
    while True:
        row = []
        for call in calls.values():
            if len(calls) > 1:
                time.sleep(SETTLE_S)
            row.append(call())
        rounds.append(row)
        elapsed = time.perf_counter() - started
        on_progress(min(1.0, len(rounds) / config.min_repeats, elapsed / budget))
        if len(rounds) < config.min_repeats:
            continue
        found = np.array(rounds)
        if elapsed >= budget or _worst(found) <= config.precision:
            return found


def _worst(milliseconds: np.ndarray) -> float:
    return max(precision_of(column) for column in milliseconds.T)


def _by_events(work: Callable[[], object], device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end))
