"""Verdicts on simulated truth: how often they are wrong while everybody looks after every pair."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from stdc_lab import judge
from stdc_lab.analysis.decisions import (
    NO_DIFFERENCE,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Asserts,
    chance_of,
    chance_of_decision,
    chances,
    decide,
    decide_stated,
    first_decisions,
    is_wrong,
    plan_of,
    seeds_that_would_do,
)
from stdc_lab.analysis.sequential import (
    FIRST_LOOK,
    one_look_interval,
    p_limits,
    repeated_interval,
    repeated_intervals,
    repeated_p_value,
    running,
)
from stdc_lab.errors import ResultsError

Intervals = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
TABLES, SEEDS = 20_000, 16
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / TABLES)


def draws(kind: str, tables: int = TABLES) -> np.ndarray:
    draw, shape = np.random.default_rng(7), (tables, SEEDS)
    if kind == "t3":
        return draw.standard_t(3, shape) / math.sqrt(3)
    wide = np.where(draw.random(shape) < 0.1, 5, 1) if kind == "contaminated" else 1
    return draw.standard_normal(shape) * wide


def by_repeated_interval(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return repeated_intervals(differences, SEEDS)


def by_plain_t(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, error = running(differences)
    half = special.stdtrit(np.arange(FIRST_LOOK, SEEDS + 1) - 1, 0.975) * error
    return mean - half, mean + half


def by_bootstrap(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    draw, ends = np.random.default_rng(1), []
    for pairs in range(FIRST_LOOK, SEEDS + 1):
        chosen = draw.integers(0, pairs, (len(differences), 100, pairs))
        means = differences[np.arange(len(differences))[:, None, None], chosen].mean(axis=2)
        ends.append(np.quantile(means, [0.025, 0.975], axis=1))
    low, high = np.stack(ends, axis=2)
    return low, high


def wrong_rate(differences: np.ndarray, intervals: Intervals, asserts: Asserts) -> float:
    """The worst over margins and true differences."""
    low, high = intervals(differences)
    rates = []
    for margin in (0.25, 1.0):
        for effect in (0.0, margin, -margin):
            found = first_decisions(decide(low + effect, high + effect, margin, asserts))
            rates.append(float(is_wrong(found, effect, margin, asserts).mean()))
    return max(rates)


@pytest.mark.parametrize("kind", ["normal", "t3", "contaminated"])
def test_at_most_5_percent_of_the_verdicts_are_wrong(kind: str) -> None:
    differences = draws(kind)
    for asserts in get_args(Asserts):
        assert wrong_rate(differences, by_repeated_interval, asserts) <= ALLOWED, asserts


def test_the_error_that_may_be_made_is_spent() -> None:
    assert wrong_rate(draws("normal"), by_repeated_interval, "better") == pytest.approx(0.05, abs=0.004)


@pytest.mark.parametrize("wrong_test", [by_plain_t, by_bootstrap])
def test_a_test_that_is_not_made_for_looking_is_found_out(wrong_test: Intervals) -> None:
    assert wrong_rate(draws("normal", 1000), wrong_test, "better") > 0.1


def wrong_rate_of_judge(tables: int) -> float:
    wrong = 0
    for differences in draws("normal", tables):
        arms, seeds = np.repeat(["a", "b"], SEEDS), np.tile(np.arange(SEEDS), 2)
        frame = pd.DataFrame({"arm": arms, "seed": seeds, "miou": [*np.zeros(SEEDS), *differences]})
        found = judge(frame, control="a", treatment="b", metric="miou", margin=0.25, max_seeds=SEEDS).verdict
        wrong += found in ("supported", "contradicted")
    return wrong / tables


def test_judge_itself_is_seldom_wrong() -> None:
    assert wrong_rate_of_judge(300) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("wrong_test", [by_plain_t, by_bootstrap])
def test_judge_with_a_wrong_test_put_in_is_found_out(wrong_test: Intervals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stdc_lab.analysis.judge.repeated_intervals", lambda differences, _: wrong_test(differences))
    assert wrong_rate_of_judge(300) > 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize("seeds", [4, 5, 6, 8, 12, 32])
def test_all_looks_together_err_in_5_percent_whatever_the_number_of_seeds(seeds: int) -> None:
    low, high = repeated_intervals(np.random.default_rng(seeds).standard_normal((40_000, seeds)), seeds)
    assert float(((low > 0) | (high < 0)).any(axis=1).mean()) == pytest.approx(0.05, abs=0.0035)


def test_the_limits_for_16_pairs() -> None:
    known = [0.00009, 0.0004, 0.0011, 0.0023, 0.0039, 0.0059, 0.0086, 0.0111, 0.0144, 0.0173, 0.0207, 0.0242, 0.0275]
    np.testing.assert_allclose(p_limits(16), known, atol=5e-4)
    assert p_limits(4) == pytest.approx((0.05,))
    assert p_limits(16) is p_limits(16)


@pytest.mark.parametrize("seeds", [3, 201, 4.0, True])
def test_a_plan_has_4_to_200_seeds(seeds: int) -> None:
    with pytest.raises(ResultsError, match="max_seeds: got"):
        p_limits(seeds)


def test_an_interval_at_a_look_is_student_s_with_that_look_s_limit() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, 9)
    half = stats.t.isf(p_limits(16)[9 - 4] / 2, 8) * differences.std(ddof=1) / 3
    assert repeated_interval(differences, 16) == pytest.approx((differences.mean() - half, differences.mean() + half))
    with pytest.raises(ResultsError, match="got 3 differences; allowed: from 4 to max_seeds, 16"):
        repeated_interval(differences[:3], 16)
    plain = stats.ttest_1samp(differences, 0).confidence_interval()
    assert one_look_interval(differences) == pytest.approx((plain.low, plain.high))
    assert one_look_interval([1.0]) == (-math.inf, math.inf)


def test_what_a_running_spread_is_of_large_numbers_that_differ_little() -> None:
    values = 1e6 + np.random.default_rng(0).normal(0, 1e-3, (1, 10))
    mean, error = running(values)
    assert mean[0, -1] == pytest.approx(values.mean(), abs=1e-9)
    assert error[0, -1] == pytest.approx(values.std(ddof=1) / math.sqrt(10), rel=1e-4)


def test_a_repeated_p_value_is_below_5_percent_just_where_some_look_leaves_0_out() -> None:
    tables = np.random.default_rng(5).normal(0.6, 1, (40, 12))
    low, high = repeated_intervals(tables, 12)
    found = ((low > 0) | (high < 0)).any(axis=1)
    assert 5 < found.sum() < 35
    assert [repeated_p_value(table, 12) < 0.05 for table in tables] == found.tolist()
    assert repeated_p_value([1.0, 2.0, 1.5], 12) == 1.0
    assert repeated_p_value([0.0] * 5, 12) == 1.0


RULES = [
    # low, high, then better, not_worse, equal at a margin of 1
    (0.1, 0.9, "no difference that matters", "supported", "supported"),
    (-0.9, 0.9, "no difference that matters", "supported", "supported"),
    (-0.9, -0.1, "no difference that matters", "supported", "supported"),
    (0.1, 1.1, "supported", "supported", "undecided"),
    (1.1, 2.0, "supported", "supported", "contradicted"),
    (-1.1, -0.1, "contradicted", "undecided", "undecided"),
    (-2.0, -1.1, "contradicted", "contradicted", "contradicted"),
    (-0.5, 1.5, "undecided", "supported", "undecided"),
    (-1.5, 0.5, "undecided", "undecided", "undecided"),
    (0.0, 1.0, "undecided", "supported", "undecided"),  # ends that touch decide nothing
    (-1.0, 0.5, "undecided", "undecided", "undecided"),
]


@pytest.mark.parametrize(("low", "high", "better", "not_worse", "equal"), RULES)
def test_what_an_interval_says(low: float, high: float, better: str, not_worse: str, equal: str) -> None:
    for asserts, expected in (("better", better), ("not_worse", not_worse), ("equal", equal)):
        assert VERDICTS[int(decide(np.asarray(low), np.asarray(high), 1.0, asserts))] == expected  # type: ignore[arg-type]


def test_what_a_measured_interval_says_of_a_stated_figure() -> None:
    said = {
        ends: decide_stated(ends, stated=2.5, tolerance=0.25)
        for ends in ((2.25, 2.75), (2.4, 2.8), (2.76, 3.0), (2.0, 2.24), (2.0, 2.25))
    }
    assert list(said.values()) == ["supported", "undecided", "contradicted", "contradicted", "undecided"]
    assert decide_stated((8.0, 8.0), stated=8.0, tolerance=0) == "supported"
    assert decide_stated((8.0, 8.0), stated=8.1, tolerance=0) == "contradicted"
    with pytest.raises(ResultsError, match="interval: got nan to nan"):
        decide_stated((math.nan, math.nan), stated=1, tolerance=0.1)
    with pytest.raises(ResultsError, match=r"tolerance -1; allowed: numbers, the tolerance 0 or above"):
        decide_stated((0, 1), stated=1, tolerance=-1)


def test_the_first_look_that_decides_counts() -> None:
    looks = np.array([[UNDECIDED, SUPPORTED, NO_DIFFERENCE], [UNDECIDED] * 3])
    assert first_decisions(looks).tolist() == [SUPPORTED, UNDECIDED]


@pytest.mark.parametrize(("margin", "chance"), [(0.77, 0.52), (0.83, 0.65), (1.0, 0.87), (1.25, 0.97)])
def test_the_chance_of_no_difference_is_as_known(margin: float, chance: float) -> None:
    found = chance_of("no difference that matters", assumed_sd=2, margin=2 * margin, max_seeds=16, effect=0)
    assert found == pytest.approx(chance, abs=0.01)


def test_the_power_is_as_known() -> None:
    for effect, power in ((0.5, 0.43), (1.0, 0.95), (1.5, 1.0)):
        found = chances(assumed_sd=1, margin=0.01, max_seeds=16, effect=effect)
        assert found["supported"] == pytest.approx(power, abs=0.02)
        assert sum(found.values()) == pytest.approx(1)


def test_a_plan_that_cannot_decide_names_the_seeds_that_would_do() -> None:
    plan = plan_of(assumed_sd=0.8, margin=0.5, max_seeds=12)
    assert not plan.can_decide and plan.null_chance < 0.5 < plan.decision_chance
    enough = seeds_that_would_do(assumed_sd=0.8, margin=0.5)
    assert enough is not None and enough > 12
    assert plan_of(assumed_sd=0.8, margin=0.5, max_seeds=enough).can_decide
    assert not plan_of(assumed_sd=0.8, margin=0.5, max_seeds=enough - 1).can_decide
    assert seeds_that_would_do(assumed_sd=0.1, margin=1) == 4
    assert plan_of(assumed_sd=1, margin=1, max_seeds=16, asserts="equal").null_chance > 0.8
    with pytest.raises(ResultsError, match="assumed_sd: got 0; allowed: above 0"):
        plan_of(assumed_sd=0, margin=1, max_seeds=16)


def test_the_chance_that_more_seeds_decide_rises_and_comes_true() -> None:
    draw, told, came = np.random.default_rng(2), [], []
    for _ in range(600):
        effect, spread = draw.normal(0, 1), math.exp(draw.normal(0, 0.3))
        differences = draw.normal(effect, spread, 12)
        low, high = repeated_intervals(differences[None], 12)
        decided = decide(low, high, 1.0)[0] != UNDECIDED
        if decided[:4].any():
            continue
        ahead = chance_of_decision(differences[:7], margin=1.0, max_seeds=12)
        assert (np.diff(ahead) >= 0).all() and len(ahead) == 5
        told.append(ahead[-1])
        came.append(decided.any())
    assert float(np.mean(told)) == pytest.approx(float(np.mean(came)), abs=0.1)
