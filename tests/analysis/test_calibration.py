"""Kendall's tau of a cheap score: against numbers by hand, SciPy, and worlds whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest

from stdc_lab.analysis.calibration import (
    Group,
    calibration,
    pooled_deviation,
    random_deviation,
    tau_beyond_noise,
    tau_interval,
    tau_of,
    usual_groups,
    without_noise,
)
from stdc_lab.errors import StdcLabError


def row(found: pd.DataFrame, predictor: str, group: str = "all") -> pd.Series:
    rows = found[(found["predictor"] == predictor) & (found["group"] == group)]
    assert len(rows) == 1
    return rows.iloc[0]


def normal_pairs(generator: np.random.Generator, count: int, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Two normal scores whose Kendall's tau is `tau`: their correlation is sin(pi tau / 2)."""
    rho = math.sin(math.pi * tau / 2)
    one = generator.standard_normal(count)
    return one, rho * one + math.sqrt(1 - rho**2) * generator.standard_normal(count)


def test_tau_by_hand() -> None:
    # Of the ten pairs of 1 2 3 4 5 and 1 3 2 4 5 one is in the other order: (9 - 1) / 10.
    frame = pd.DataFrame({"cheap": [1, 2, 3, 4, 5], "dear": [1, 3, 2, 4, 5], "macs": [5, 4, 3, 2, 1]})
    found = calibration(frame, "cheap", "dear", beside={"MACs": "macs"})
    assert row(found, "cheap")["tau"] == pytest.approx(0.8)
    assert row(found, "MACs")["tau"] == pytest.approx(-0.8)
    # A tie on one side: 5 of 6 pairs count there, all agree: 5 / sqrt(5 * 6).
    assert tau_of(np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(5 / math.sqrt(30))
    assert math.isnan(tau_of(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])))
    assert list(found["predictor"].unique()) == ["cheap", "MACs", "at random"]


def test_what_chance_does_is_the_spread_over_all_orders() -> None:
    from itertools import permutations

    taus = [tau_of(np.arange(6.0), np.array(order, dtype=float)) for order in permutations(range(6))]
    assert random_deviation(6) == pytest.approx(float(np.std(taus)))
    assert random_deviation(16) == pytest.approx(0.185, abs=5e-4)
    found = calibration(pd.DataFrame({"a": range(16), "b": range(16)}), "a", "b")
    chance = row(found, "at random")
    assert chance["tau"] == 0 and (chance["low"], chance["high"]) == pytest.approx((-0.3630, 0.3630), abs=5e-4)


def test_networks_closer_than_the_noise_are_ties() -> None:
    dear = np.array([0.50, 0.51, 0.60, 0.70])
    cheap = np.array([2.0, 1.0, 3.0, 4.0])  # wrong about the first two alone
    assert tau_of(cheap, dear) == pytest.approx(4 / 6)
    # Two standard errors of a difference: 2 * sqrt(2) * 0.01 = 0.028, more than 0.01 and less than 0.09.
    assert tau_beyond_noise(cheap, dear, np.full(4, 0.01)) == (pytest.approx(1.0), 5)
    assert tau_beyond_noise(cheap, dear, np.full(4, 0.003)) == (pytest.approx(4 / 6), 6)
    nothing = tau_beyond_noise(cheap, dear, np.full(4, 1.0))
    assert math.isnan(nothing[0]) and nothing[1] == 0


def test_groups_are_shares_of_the_ranks_and_a_band_of_macs() -> None:
    frame = pd.DataFrame({"dear": np.arange(16.0), "macs": np.arange(100.0, 260.0, 10.0)})
    groups = {one.name: one for one in usual_groups("dear", "macs", ("stdc1", 200.0))}
    assert list(groups) == [
        "all",
        "top quarter",
        "lowest third of MACs",
        "middle third of MACs",
        "highest third of MACs",
        "MACs of stdc1 ±10 %",
    ]
    assert [int(one.members(frame).sum()) for one in groups.values()] == [16, 4, 5, 5, 6, 5]
    assert frame["dear"][groups["top quarter"].members(frame)].min() == 12
    assert frame["macs"][groups["MACs of stdc1 ±10 %"].members(frame)].tolist() == [180, 190, 200, 210, 220]
    assert Group("middle decile", "macs", 0.45, 0.55).members(frame).sum() == 1


def test_the_interval_holds_the_true_tau_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    for count, tau in ((16, 0.0), (16, 0.6), (32, 0.3)):
        held = []
        for _ in range(200):
            low, high = tau_interval(*normal_pairs(generator, count, tau), resamples=300)
            held.append(low <= tau <= high)
        # 95 % of 200, give or take three standard errors of 1.5 points.
        assert 0.905 <= np.mean(held) <= 0.995, (count, tau)


def test_the_interval_is_the_bootstrap_of_scipys_tau() -> None:
    one, other = normal_pairs(np.random.default_rng(0), 20, 0.5)
    one = np.round(one, 1)  # with ties
    generator = np.random.default_rng([0, 20])
    times = generator.multinomial(20, np.full(20, 1 / 20), size=200)
    taus = [tau_of(np.repeat(one, many), np.repeat(other, many)) for many in times]
    assert tau_interval(one, other, resamples=200) == pytest.approx(np.quantile(taus, [0.025, 0.975]), abs=1e-5)
    assert tau_interval(one, other, seed=1) != tau_interval(one, other, seed=2)
    assert tau_interval(one, other, seed=1) == tau_interval(one, other, seed=1)


def test_few_networks_and_a_perfect_order_have_no_interval() -> None:
    one, other = normal_pairs(np.random.default_rng(0), 7, 0.5)
    assert all(map(math.isnan, tau_interval(one, other)))
    assert all(map(math.isnan, tau_interval(np.arange(20.0), np.arange(20.0))))


def test_the_ceiling_is_what_a_perfect_proxy_reaches() -> None:
    """The cheap score truly ranks as the dear one does, on another scale; only seeds blur both."""
    generator = np.random.default_rng(3)
    reached, told = {"all": [], "top quarter": []}, {"all": [], "top quarter": []}
    exact = []
    for _ in range(25):
        truth = generator.normal(size=64)
        frame = pd.DataFrame(
            {
                "cheap": 0.2 * truth + 0.1 * generator.normal(size=64),
                "dear": truth + 0.3 * generator.normal(size=64),
                "macs": truth,
                "cheap_error": 0.1,
                "dear_error": 0.3,
            }
        )
        found = calibration(
            frame,
            "cheap",
            "dear",
            low_error="cheap_error",
            high_error="dear_error",
            beside={"MACs": "macs"},
            resamples=10,
            draws=40,
        )
        for group in reached:
            reached[group].append(row(found, "cheap", group)["tau"])
            told[group].append(row(found, "cheap", group)["ceiling"])
        exact.append((row(found, "MACs")["tau"], row(found, "MACs")["ceiling"]))
        assert math.isnan(row(found, "at random")["ceiling"])
    assert np.mean(told["all"]) == pytest.approx(np.mean(reached["all"]), abs=0.03)
    assert np.mean(told["top quarter"]) == pytest.approx(np.mean(reached["top quarter"]), abs=0.08)
    assert np.mean([ceiling for _, ceiling in exact]) == pytest.approx(np.mean([tau for tau, _ in exact]), abs=0.03)
    assert np.mean(told["top quarter"]) < np.mean(told["all"]) - 0.2 < np.mean([ceiling for _, ceiling in exact]) - 0.2


def test_single_seeds_tell_no_ceiling_and_no_ties() -> None:
    frame = pd.DataFrame({"cheap": [1.0, 2, 3, 4], "dear": [1.0, 2, 3, 4], "error": 0.1})
    without = row(calibration(frame, "cheap", "dear"), "cheap")
    assert without[["ceiling", "tau_beyond_noise", "pairs_beyond_noise"]].isna().all()
    dear_alone = calibration(frame, "cheap", "dear", high_error="error", beside={"other": "cheap"})
    assert math.isnan(row(dear_alone, "cheap")["ceiling"]) and row(dear_alone, "cheap")["pairs_beyond_noise"] == 6


def test_noise_is_pooled_over_networks_and_taken_from_the_spread() -> None:
    assert pooled_deviation([[1.0, 3.0], [5.0], [10.0, 10.0, 13.0]]) == pytest.approx(math.sqrt((2 + 6) / 3))
    assert math.isnan(pooled_deviation([[1.0], [2.0]]))
    scores = np.array([0.0, 1.0, 2.0, 3.0])
    drawn = without_noise(scores, np.full(4, 0.5))
    assert drawn.var(ddof=1) == pytest.approx(scores.var(ddof=1) - 0.25) and drawn.mean() == 1.5
    assert without_noise(scores, np.full(4, 9.0)).tolist() == [1.5] * 4


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ({"cheap": [1, 2, 3, 4]}, "no column 'dear'; there: cheap"),
        ({"cheap": [1, 2, math.nan, 4], "dear": [1, 2, 3, 4]}, "column 'cheap', row 2: got .*nan.*; allowed: finite"),
        ({"cheap": [1, 2, 3, 4], "dear": ["1,5", "2", "3", "4"]}, "column 'dear', row 0: got '1,5'; allowed: finite"),
        ({"cheap": [1, 2, 3], "dear": [1, 2, 3]}, "got 3 networks; a ranking needs at least 4"),
    ],
)
def test_what_cannot_be_ranked_is_named(frame: dict, says: str) -> None:
    with pytest.raises(StdcLabError, match=says):
        calibration(pd.DataFrame(frame), "cheap", "dear")
