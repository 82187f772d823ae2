"""The timer: calls that take turns, in blocks that are spread over a window of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.hardware.devices import synchronise
from stdc_lab.profiling.intervals import confidence_of_look, is_noisy, median_interval

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
BLOCKS = 10
"""A window is cut into so many slots, each with a block of timings in it; into fewer if fewer calls are asked for."""
TIMED_SHARE = 0.5
"""Of a slot. In the rest of it the same calls go on, so that the machine stays as it is, but are not counted: with them
the next block would resemble this one more than the interval supposes."""
MOST_LATE = 1.5
"""A window that took so many times as long as it should is not followed by another."""


class Clock(Protocol):
    """What tells the time, in seconds, and waits."""

    def now(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float) -> None:
        """Come back so much later."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Come back so much later."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Turns:
    """Timings of calls that took turns.

    milliseconds: rounds × calls, in the order of `names`, all attempts pooled. blocks: the block of each round.
    counted: of all rounds that were run, in order, whether it is one of these. warmups: untimed calls before.
    attempts: how many windows there were. confidence: of an interval at the end of a window, so that all windows that
    might have been the last err in 5 % together.
    """

    names: tuple[str, ...]
    milliseconds: np.ndarray
    blocks: np.ndarray
    counted: np.ndarray
    warmups: tuple[int, ...]
    attempts: int
    confidence: float

    def of(self, name: str) -> np.ndarray:
        """The timings of one call, a vector."""
        return np.asarray(self.milliseconds[:, self.names.index(name)])


@dataclass
class _Rounds:
    """Every round so far, and the block that it counts in, if any."""

    milliseconds: list[list[float]] = field(default_factory=list)
    blocks: list[int | None] = field(default_factory=list)

    def as_turns(self, names: tuple[str, ...], warmups: tuple[int, ...], attempts: int, confidence: float) -> Turns:
        counted = np.array([block is not None for block in self.blocks])
        blocks = np.array([block for block in self.blocks if block is not None])
        return Turns(names, np.array(self.milliseconds)[counted], blocks, counted, warmups, attempts, confidence)


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


def take_turns(
    calls: Mapping[str, Call],
    config: LatencyConfig,
    on_progress: OnProgress | None = None,
    *,
    clock: Clock | None = None,
) -> Turns:
    """Warm up each call until it is steady, then time one of each in turn, so that drift falls on all alike.

    A round is one call of each. A window of `config.measure_s` seconds a call has up to `BLOCKS` blocks of rounds, at
    times that are fixed before: what is measured does not decide when measuring ends. Only between windows it is
    looked at: if some calls are noisy there is another window, up to `config.attempts`, unless the calls are so slow
    that `config.min_repeats` of them took much longer than the window. All windows are pooled, and their number is
    paid for in the confidence of the interval, see `Turns`.
    """
    clock = clock or SystemClock()
    warmups = tuple(warm_up(call, config.warmup_s, clock) for call in calls.values())
    confidence = confidence_of_look(config.attempts)
    budget = config.measure_s * len(calls)
    rounds, names = _Rounds(), tuple(calls)
    started = clock.now()
    for attempt in range(1, config.attempts + 1):

        def heard(share: float, done: int = attempt - 1) -> None:
            if on_progress is not None:
                on_progress((done + min(share, 1.0)) / config.attempts)

        _time_window(calls, config, clock, rounds, heard)
        turns = rounds.as_turns(names, warmups, attempt, confidence)
        late = clock.now() - started > (attempt - 1 + MOST_LATE) * budget
        if late or not any(is_noisy(one, config.precision, turns.blocks, confidence) for one in turns.milliseconds.T):
            break
    if on_progress is not None:
        on_progress(1.0)
    return turns


def warm_up(call: Call, seconds: float, clock: Clock | None = None) -> int:
    """Call until the median of a window of calls no longer falls, or `seconds` are over; gives the number of calls.

    A window has at least three calls, unless the seconds are over before: of calls that slow, one is enough.
    """
    clock = clock or SystemClock()
    started = clock.now()
    before = np.inf
    count = 0
    while True:
        window: list[float] = []
        while len(window) < MIN_WARMUP_CALLS or (sum(window) < 1000 * WARMUP_WINDOW_S and seconds > 0):
            window.append(call())
            if 0 < seconds <= clock.now() - started:
                break
        count += len(window)
        median = float(np.median(window))
        if median >= (1 - STEADY) * before or clock.now() - started >= seconds:
            return count
        before = median


def times_as_fast(turns: Turns, name: str, reference: str) -> tuple[float, tuple[float, float]]:
    """The reference's time over this one's: the median over the rounds and its 95 % interval.

    Both calls of a round met the same state of the machine, so what slows both leaves their ratio alone. What is left
    may still last for some rounds: the interval is that of blocks, as a latency's.
    """
    ratios = turns.of(reference) / turns.of(name)
    return float(np.median(ratios)), median_interval(ratios, turns.blocks, turns.confidence)


def _time_window(
    calls: Mapping[str, Call], config: LatencyConfig, clock: Clock, rounds: _Rounds, heard: OnProgress
) -> None:
    """Time one window, in blocks that begin at equal distances; slow rounds begin as soon as they can."""
    count = min(BLOCKS, config.min_repeats)
    slot = config.measure_s * len(calls) / count
    started = clock.now()
    first = 1 + max((block for block in rounds.blocks if block is not None), default=-1)
    for index in range(count):
        opens = started + index * slot
        while clock.now() < opens:
            _run_round(calls, clock, rounds, None)
        least = (index + 1) * config.min_repeats // count - index * config.min_repeats // count
        done = 0
        while done < least or clock.now() < opens + TIMED_SHARE * slot:
            _run_round(calls, clock, rounds, first + index)
            done += 1
        heard((index + 1) / count)


def _run_round(calls: Mapping[str, Call], clock: Clock, rounds: _Rounds, block: int | None) -> None:
    row = []
    for call in calls.values():
        if len(calls) > 1:
            clock.sleep(SETTLE_S)
        row.append(call())
    rounds.milliseconds.append(row)
    rounds.blocks.append(block)


def _by_events(work: Callable[[], object], device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(device)
        start.record()
        work()
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end))
