import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.profiling.intervals import confidence_of_look, precision_of
from stdc_lab.profiling.timing import (
    MIN_WARMUP_CALLS,
    Call,
    Turns,
    take_turns,
    timed,
    times_as_fast,
    warm_up,
)
from tests.profiling.clocks import Believing


def config(**changes: float) -> LatencyConfig:
    values = {"size": (32, 64), "warmup_s": 0, "measure_s": 1e-6, "min_repeats": 5, "attempts": 1}
    return LatencyConfig.model_validate({**values, **changes})


def clock(times: Iterator[float], name: str = "", heard: list[str] | None = None) -> Call:
    """A call that says it took these milliseconds, one after another."""

    def call() -> float:
        if heard is not None:
            heard.append(name)
        return next(times)

    return call


def forever(*times: float) -> Iterator[float]:
    yield from times
    while True:
        yield times[-1]


def test_warm_up_ends_when_the_times_no_longer_fall() -> None:
    assert warm_up(clock(forever(100)), seconds=60) == 2 * MIN_WARMUP_CALLS
    falling = [100.0] * 3 + [80.0] * 3 + [70.0] * 3 + [69.9] * 3
    assert warm_up(clock(forever(*falling)), seconds=60) == len(falling)


def test_warm_up_of_short_calls_lasts_for_a_while() -> None:
    # Three calls of a microsecond say nothing of a device that is still speeding up.
    assert warm_up(clock(forever(10)), seconds=60) == 20


def test_warm_up_has_an_end() -> None:
    assert warm_up(clock(0.9**step * 1e300 for step in range(6000)), seconds=0) == MIN_WARMUP_CALLS
    started = time.perf_counter()
    warm_up(clock(0.9**step * 1e300 for step in range(6000)), seconds=0.01)
    assert time.perf_counter() - started < 5


def test_warm_up_of_very_slow_calls_ends_with_its_seconds() -> None:
    clock = Believing()
    assert warm_up(clock.call(forever(2000)), 1, clock) == 1
    assert warm_up(clock.call(forever(400)), 1, clock) == 3


def test_calls_take_turns_after_a_warm_up() -> None:
    heard: list[str] = []
    shares: list[float] = []
    turns = take_turns({name: clock(forever(1), name, heard) for name in "ab"}, config(), shares.append)
    assert "".join(heard) == "aaabbb" + "ab" * 5
    assert turns.milliseconds.shape == (5, 2)
    assert turns.warmups == (3, 3)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.fixture
def clock_of_calls() -> Believing:
    return Believing()


def test_timings_come_in_blocks_over_the_whole_window(clock_of_calls: Believing) -> None:
    wanted = config(measure_s=5, min_repeats=10)
    turns = take_turns({"a": clock_of_calls.call(forever(62.5))}, wanted, clock=clock_of_calls)
    assert turns.attempts == 1
    assert turns.blocks.tolist() == [block for block in range(10) for _ in range(4)]
    # 500 ms a slot: 250 of them counted, 250 run on uncounted; nothing follows the last block.
    assert turns.counted.tolist() == ([True] * 4 + [False] * 4) * 9 + [True] * 4
    assert clock_of_calls.now() == 0.1875 + 4.75  # after a warm-up of three calls


def test_a_window_that_is_quiet_at_once_is_timed_to_its_end(clock_of_calls: Believing) -> None:
    # Stopping where the interval is narrow would stop where it is too narrow.
    short = take_turns({"a": clock_of_calls.call(forever(20))}, config(measure_s=1), clock=clock_of_calls)
    long = take_turns({"a": clock_of_calls.call(forever(20))}, config(measure_s=4), clock=clock_of_calls)
    assert len(long.counted) > 3 * len(short.counted)


def test_slow_calls_are_timed_as_often_as_is_asked_without_gaps(clock_of_calls: Believing) -> None:
    slow = {"a": clock_of_calls.call(forever(1000))}
    turns = take_turns(slow, config(measure_s=3, min_repeats=14), clock=clock_of_calls)
    assert turns.counted.all()
    assert len(turns.milliseconds) == 14
    assert len(set(turns.blocks.tolist())) == 10


def test_a_noisy_window_is_followed_by_another_and_both_are_pooled(clock_of_calls: Believing) -> None:
    wanted = config(measure_s=2, attempts=3)
    noisy = 20 * np.random.default_rng(0).lognormal(sigma=0.5, size=10_000)
    turns = take_turns({"a": clock_of_calls.call(iter(noisy))}, wanted, clock=clock_of_calls)
    assert turns.attempts == 3
    assert len(set(turns.blocks.tolist())) == 15
    assert turns.of("a").tolist() == noisy[3:][: len(turns.counted)][turns.counted].tolist()
    assert turns.confidence == confidence_of_look(3)
    settling = iter([*noisy[:60], *[20.0] * 10_000])
    turns = take_turns({"a": clock_of_calls.call(settling)}, wanted, clock=clock_of_calls)
    assert 1 < turns.attempts <= 3
    assert turns.of("a").max() > 21  # the noisy ones are still among them
    quiet = take_turns({"a": clock_of_calls.call(forever(20))}, wanted, clock=clock_of_calls)
    assert quiet.attempts == 1
    assert quiet.confidence == confidence_of_look(3)  # for looks that might have been


def test_calls_too_slow_for_their_window_have_only_one(clock_of_calls: Believing) -> None:
    times = 1000 * np.random.default_rng(0).lognormal(sigma=0.5, size=100)
    wanted = config(measure_s=1.5, min_repeats=7, attempts=2)
    turns = take_turns({"a": clock_of_calls.call(iter(times))}, wanted, clock=clock_of_calls)
    assert (turns.attempts, len(turns.milliseconds)) == (1, 7)


def test_what_slows_both_calls_of_a_round_leaves_their_ratio_alone() -> None:
    drift = np.linspace(1, 3, 21)
    turns = Turns(
        names=("slow", "fast"),
        milliseconds=np.stack([30 * drift, 10 * drift], axis=1),
        blocks=np.arange(21),
        counted=np.ones(21, bool),
        warmups=(3, 3),
        attempts=1,
        confidence=0.95,
    )
    ratio, interval = times_as_fast(turns, "fast", "slow")
    assert ratio == pytest.approx(3)
    assert interval == pytest.approx((3, 3))
    assert times_as_fast(turns, "slow", "slow")[0] == 1
    assert precision_of(turns.of("fast")) > 0.1


def test_a_timed_call_takes_what_it_takes() -> None:
    call = timed(lambda: time.sleep(0.02), torch.device("cpu"))
    assert 20 <= call() < 200


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_own_clock() -> None:
    device = torch.device("cuda:0")
    wide = torch.randn(4096, 4096, device=device)
    small = torch.randn(512, 512, device=device)
    large, little = timed(lambda: wide @ wide, device), timed(lambda: small @ small, device)
    for call in (large, little):
        call()
    assert np.median([large() for _ in range(20)]) > np.median([little() for _ in range(20)])
