import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import stats

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.profiling.timing import (
    MIN_WARMUP_CALLS,
    Call,
    Turns,
    is_noisy,
    median_interval,
    precision_of,
    take_turns,
    timed,
    times_as_fast,
    warm_up,
)


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


def test_calls_take_turns_after_a_warm_up() -> None:
    heard: list[str] = []
    shares: list[float] = []
    turns = take_turns({name: clock(forever(1), name, heard) for name in "ab"}, config(), shares.append)
    assert "".join(heard) == "aaabbb" + "ab" * 5
    assert turns.milliseconds.shape == (5, 2)
    assert turns.warmups == (3, 3)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_timing_ends_once_every_median_is_known_well_enough() -> None:
    quiet = {"a": clock(forever(1)), "b": clock(forever(2))}
    assert len(take_turns(quiet, config(measure_s=100)).milliseconds) == 5
    # As many of 100 as of 110: the interval of the median goes on spanning both until 105 settle it.
    settling = {"a": clock(forever(1)), "b": clock(iter([100.0, 110.0] * 5 + [105.0] * 1000))}
    assert 10 < len(take_turns(settling, config(measure_s=100)).milliseconds) < 100


def test_a_noisy_run_is_repeated_and_the_best_attempt_kept() -> None:
    rng = np.random.default_rng(0)
    worse, better = 100 * rng.lognormal(sigma=1, size=5), 100 * rng.lognormal(sigma=0.1, size=5)
    times = iter([*[100.0] * 3, *worse, *better, *worse])
    turns = take_turns({"a": clock(times)}, config(attempts=3))
    assert turns.attempts == 3
    assert turns.of("a").tolist() == better.tolist()
    assert is_noisy(turns.of("a"), 0.02)
    times = iter([*[100.0] * 3, *worse, *[100.0] * 5])
    turns = take_turns({"a": clock(times)}, config(attempts=3))
    assert turns.attempts == 2
    assert not is_noisy(turns.of("a"), 0.02)


def test_noise_is_a_wide_interval_or_a_wide_spread() -> None:
    assert not is_noisy(np.full(20, 5.0), 0.02)
    assert is_noisy(np.linspace(90, 110, 20), 0.02)
    assert not is_noisy(np.linspace(99, 101, 20), 0.02)
    many = np.concatenate([np.linspace(80, 100, 5000), np.linspace(100, 120, 5000)])
    assert precision_of(many) < 0.02
    assert is_noisy(many, 0.02)


def test_what_slows_both_calls_of_a_round_leaves_their_ratio_alone() -> None:
    drift = np.linspace(1, 3, 21)
    turns = Turns(("slow", "fast"), np.stack([30 * drift, 10 * drift], axis=1), (3, 3), 1)
    ratio, interval = times_as_fast(turns, "fast", "slow")
    assert ratio == pytest.approx(3)
    assert interval == pytest.approx((3, 3))
    assert times_as_fast(turns, "slow", "slow")[0] == 1
    assert precision_of(turns.of("fast")) > 0.1


def test_a_timed_call_takes_what_it_takes() -> None:
    call = timed(lambda: time.sleep(0.02), torch.device("cpu"))
    assert 20 <= call() < 200


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.lognormal(size=25)) for _ in range(2000)]
    covered = np.mean([low <= 1 <= high for low, high in intervals])
    assert covered >= 0.95
    assert covered < 0.985  # and is no wider than its order statistics make it
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)


def test_the_interval_against_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    theirs = stats.quantile_test(values, q=stats.expon.ppf(0.5), p=0.5).confidence_interval(0.95)
    assert median_interval(values) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_own_clock() -> None:
    device = torch.device("cuda:0")
    wide = torch.randn(4096, 4096, device=device)
    small = torch.randn(512, 512, device=device)
    large, little = timed(lambda: wide @ wide, device), timed(lambda: small @ small, device)
    for call in (large, little):
        call()
    assert np.median([large() for _ in range(20)]) > np.median([little() for _ in range(20)])
