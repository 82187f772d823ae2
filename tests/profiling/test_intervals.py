"""Intervals of medians, and how often they hold when the timer itself decides when to stop."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from stdc_lab.profiling.intervals import (
    LOOKS,
    confidence_of_look,
    is_noisy,
    median_interval,
    precision_of,
    spread_of,
)

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "latency_coverage.py"


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("latency_coverage", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


coverage = load_benchmark()


@pytest.mark.parametrize("scenario", coverage.SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_interval_of_a_whole_measurement_holds_as_often_as_it_says(scenario: object) -> None:
    held, _, windows = coverage.simulate(scenario, 400)
    assert 0.93 <= held <= 0.99
    assert 1 <= windows <= 2


def test_the_timer_before_did_not_hold() -> None:
    # What the simulation is for: with it, single calls and stopping when the interval is narrow are found out.
    half, ninth = coverage.SCENARIOS[1:3]
    assert coverage.simulate_before(half, 100)[0] < 0.85
    assert coverage.simulate_before(ninth, 100)[0] < 0.55


def test_blocks_count_and_not_calls() -> None:
    rng = np.random.default_rng(0)
    states = np.repeat(rng.standard_normal(20), 30)
    values = 100 + states + 0.01 * rng.standard_normal(600)
    blocks = np.repeat(np.arange(20), 30)
    low, high = median_interval(values, blocks)
    alone_low, alone_high = median_interval(values)
    assert high - low > 3 * (alone_high - alone_low)
    assert low <= 100 <= high


def test_blocks_that_resemble_their_neighbours_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20, 10)) / 2 + np.sort(rng.standard_normal(20))[:, None]
    blocks = np.repeat(np.arange(20), 10)
    mixed = values[rng.permutation(20)]
    drifting_width, mixed_width = (np.ptp(median_interval(one.ravel(), blocks)) for one in (values, mixed))
    assert drifting_width > 1.3 * mixed_width


def test_spikes_of_any_height_do_not_move_the_interval() -> None:
    values = np.random.default_rng(0).normal(100, 1, 200)
    spiked = values.copy()
    spiked[::20] *= 50
    blocks = np.repeat(np.arange(10), 20)
    low, high = median_interval(spiked, blocks)
    assert 99 < low < high < 101


def test_slow_and_fast_calls_in_turn_are_not_taken_for_certainty() -> None:
    # Every block has as many of both: its share below the median says nothing of where the median is.
    values = np.array([100.0, 110.0] * 50)
    assert median_interval(values, np.repeat(np.arange(10), 10)) == (100, 110)


def test_few_blocks_give_the_whole_range() -> None:
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)
    assert median_interval(np.arange(50.0), np.repeat(np.arange(5), 10)) == (0, 49)
    assert median_interval(np.full(20, 7.0)) == (7, 7)


def test_single_independent_calls_hold_too() -> None:
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.lognormal(size=25)) for _ in range(1000)]
    assert 0.94 <= np.mean([low <= 1 <= high for low, high in intervals]) <= 0.985


def test_more_looks_cost_confidence() -> None:
    found = [confidence_of_look(looks) for looks in range(1, len(LOOKS) + 1)]
    assert found[:2] == [0.95, 0.9706]
    assert found == sorted(found)
    values = np.random.default_rng(0).normal(100, 1, 40)
    assert precision_of(values, None, found[1]) > precision_of(values, None, found[0])


def test_noise_is_a_wide_interval_or_a_wide_spread() -> None:
    assert not is_noisy(np.full(20, 5.0), 0.02)
    assert is_noisy(np.linspace(90, 110, 20), 0.02)
    rng = np.random.default_rng(0)
    assert not is_noisy(rng.uniform(99, 101, 20), 0.02)
    many = rng.uniform(80, 120, 10_000)
    assert precision_of(many) < 0.02 and spread_of(many) > 0.1
    assert is_noisy(many, 0.02)
