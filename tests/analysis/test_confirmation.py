"""What fresh seeds make of a front, against figures computed by hand and by SciPy's own t-interval."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stdc_lab.analysis.confirmation import (
    fresh_difference,
    seed_deviation,
    winners_curse,
    with_confirmations,
    worth_confirming,
)
from stdc_lab.analysis.networks import with_networks
from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, parse_objective


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    """A frame of which every row is a network of its own, unless it is a fresh training of another."""
    usual = {"state": "COMPLETE", "feasible": True, "confirms": math.nan, "boundary_f": math.nan, "on_front": False}
    usual |= {"seed": 0.0, "control": False, "reference": math.nan}
    frame = pd.DataFrame([{**usual, "number": number, **row} for number, row in enumerate(rows)])
    frame["trial_key"] = [f"key {number}" for number in frame["number"]]
    return with_networks(frame.astype({"reference": "str"}), [f"row {number}" for number in frame["number"]])


def trial(miou: float, latency_ms: float, **more: Any) -> dict[str, Any]:
    return {"miou": miou, "latency_ms": latency_ms, **more}


def fresh(of: int, miou: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    return trial(miou, 10.0, confirms=of, seed=float(1_000_000 + seed), **more)


def test_near_ties_are_those_that_a_little_more_would_put_on_the_front() -> None:
    frame = frame_of(
        trial(0.50, 10), trial(0.60, 20), trial(0.495, 10), trial(0.591, 20), trial(0.589, 20), trial(0.55, 21),
        trial(0.70, 5, feasible=False), trial(0.595, 20, state="PRUNED"), trial(0.599, 15, confirms=1),
    )  # fmt: skip
    chosen = worth_confirming(frame, DEFAULT_OBJECTIVES, 0.01)
    assert chosen.tolist() == [True, True, True, True, False, False, False, False, False]
    assert worth_confirming(frame, DEFAULT_OBJECTIVES, 0.0).tolist()[:6] == [True, True, *[False] * 4]


def test_a_tie_is_in_the_scores_alone_and_in_their_direction() -> None:
    objectives = [parse_objective("minimize miou"), parse_objective("latency_ms")]
    frame = frame_of(trial(0.5, 10.0), trial(0.505, 10.0), trial(0.5, 10.005))
    assert worth_confirming(frame, objectives, 0.01).tolist() == [True, False, False]


def test_ties_and_fronts_of_the_boundary_score_are_in_that_score() -> None:
    objectives = [parse_objective("boundary_f"), parse_objective("latency_ms")]
    frame = frame_of(
        trial(0.9, 10, boundary_f=0.30), trial(0.1, 10, boundary_f=0.295), trial(0.9, 10, boundary_f=0.20),
        trial(0.1, 5, boundary_f=0.10),
    )  # fmt: skip
    assert worth_confirming(frame, objectives, 0.01).tolist() == [True, True, False, True]


def test_both_scores_of_fresh_trainings_are_averaged_and_no_front_is_chosen_by_them() -> None:
    """The lucky network stays on the front that the search chose; what it reaches now stands beside it."""
    lucky, steady = trial(0.62, 20, on_front=True), trial(0.60, 20)
    rows = [fresh(0, 0.57, 0, boundary_f=0.3), fresh(0, 0.55, 1, boundary_f=0.5), fresh(1, 0.60), fresh(1, 0.58, 1)]
    frame = with_confirmations(frame_of(lucky, steady, *rows))
    assert frame["confirmed_miou"].tolist()[:2] == pytest.approx([0.56, 0.59])
    assert frame["confirmed_boundary_f"].tolist()[0] == pytest.approx(0.4)
    assert math.isnan(frame["confirmed_boundary_f"][1])
    assert frame["on_front"].tolist() == [True, *[False] * 5]
    assert frame["confirmed_seeds"].tolist() == [2, 2, 0, 0, 0, 0]
    assert not [name for name in frame.columns if "front" in name and name != "on_front"]


def test_an_interval_is_of_the_networks_own_spread() -> None:
    values = {0: [0.50, 0.52, 0.54], 1: [0.60, 0.60, 0.63], 2: [0.7]}
    rows = [fresh(of, value, seed) for of, found in values.items() for seed, value in enumerate(found)]
    frame = with_confirmations(frame_of(trial(0.5, 1), trial(0.6, 2), trial(0.7, 3), *rows))
    for number in (0, 1):
        found = values[number]
        expected = stats.t.interval(0.95, 2, np.mean(found), stats.sem(found))
        assert frame.loc[number, ["confirmed_low", "confirmed_high"]].tolist() == pytest.approx(expected)
    assert frame.loc[2, ["confirmed_low", "confirmed_high"]].isna().all()
    deviation, freedom = seed_deviation(frame)
    assert freedom == 4
    assert deviation == pytest.approx(math.sqrt(np.mean([np.var(values[0], ddof=1), np.var(values[1], ddof=1)])))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_as_often_as_they_say_for_steady_and_for_noisy_networks(seeds: int) -> None:
    """Six networks of one spread, two of half as much again: pooled, the noisy ones are covered in 87 % of cases."""
    rng, spreads = np.random.default_rng(seeds), [0.01] * 6 + [0.015] * 2
    covered = []
    for _ in range(25):  # each a study of 8 networks in 50 copies, so that few frames are made
        truth = [trial(0.5, 1.0) for _ in range(400)]
        drawn = 0.5 + rng.normal(size=(400, seeds)) * np.tile(spreads, 50)[:, None]
        rows = [fresh(of, drawn[of, seed], seed) for of in range(400) for seed in range(seeds)]
        frame = with_confirmations(frame_of(*truth, *rows)).head(400)
        covered.append(((frame["confirmed_low"] <= 0.5) & (frame["confirmed_high"] >= 0.5)).to_numpy().reshape(50, 8))
    share = np.concatenate(covered).mean(axis=0)
    assert 0.93 <= share[:6].mean() <= 0.97
    assert 0.93 <= share[6:].mean() <= 0.97


def test_luck_is_what_chosen_networks_lose_beyond_networks_that_were_not_chosen() -> None:
    """All first trainings are 0.02 above the fresh ones, the chosen ones 0.03 more: 0.03 is luck."""
    first = [trial(0.55, 10, on_front=True), trial(0.56, 20, on_front=True), trial(0.57, 30, on_front=True)]
    controls = [trial(0.52, 12, reference="stdc1"), trial(0.53, 22), trial(0.51, 32)]
    reached = [0.50, 0.50, 0.53, 0.50, 0.51, 0.489]
    rows = [fresh(of, miou, control=of > 3) for of, miou in enumerate(reached)]
    frame = with_confirmations(frame_of(*first, *controls, *rows))
    assert frame["control"].tolist() == [False, False, False, True, True, True, *[False] * 6]
    curse = winners_curse(frame)
    assert curse is not None
    assert (curse.networks, curse.controls) == (3, 3)
    leads, others = [0.05, 0.06, 0.04], [0.02, 0.02, 0.021]
    assert (curse.lead, curse.control_lead) == pytest.approx((np.mean(leads), np.mean(others)))
    assert curse.luck == pytest.approx(np.mean(leads) - np.mean(others))
    theirs = stats.ttest_ind(leads, others, equal_var=False).confidence_interval(0.95)
    assert (curse.low, curse.high) == pytest.approx((theirs.low, theirs.high))


def test_without_choice_there_is_no_luck_whatever_the_first_seed_was_like() -> None:
    """The first seed favours all networks alike; the front was drawn by lot: the interval holds 0 in 95 % of cases."""
    rng, held = np.random.default_rng(1), []
    for _ in range(100):
        first = 0.5 + 0.03 + rng.normal(0, 0.01, 8)
        rows = [trial(first[n], 10.0, on_front=n < 4, reference="r" if n == 7 else math.nan) for n in range(8)]
        rows += [fresh(n, 0.5 + rng.normal(0, 0.01), s, control=n >= 3) for n in range(8) for s in range(3)]
        curse = winners_curse(with_confirmations(frame_of(*rows)))
        assert curse is not None
        assert (curse.networks, curse.controls) == (4, 5), "one of the lot is on the front"
        held.append(curse.low <= 0 <= curse.high)
    assert 0.9 <= np.mean(held) <= 0.99


def test_without_controls_the_lead_is_not_called_luck() -> None:
    frame = with_confirmations(frame_of(trial(0.5, 1, on_front=True), fresh(0, 0.4)))
    assert frame["confirmed_miou"][0] == 0.4
    assert math.isnan(frame["confirmed_low"][0])
    curse = winners_curse(frame)
    assert curse is not None
    assert curse.lead == pytest.approx(0.1)
    assert curse.controls == 0
    assert math.isnan(curse.luck)


def test_references_are_controls_only_once_all_of_them_were_trained_again() -> None:
    """One that was trained again because it was on the front is a chosen one."""
    rows = [trial(0.5, 1, on_front=True, reference="stdc1"), trial(0.4, 2, reference="stdc2"), fresh(0, 0.45)]
    assert with_confirmations(frame_of(*rows))["control"].tolist() == [False] * 3
    assert with_confirmations(frame_of(*rows, fresh(1, 0.4)))["control"].tolist() == [True, True, False, False]


def test_the_same_networks_as_controls_tell_nothing() -> None:
    frame = with_confirmations(frame_of(trial(0.5, 1, on_front=True, reference="stdc1"), fresh(0, 0.4)))
    curse = winners_curse(frame)
    assert curse is not None
    assert curse.controls == 0


def test_fresh_differences_are_paired_by_seed() -> None:
    rows = [trial(0.5, 1), trial(0.5, 2), *(fresh(0, 0.5 + 0.1 * s, s) for s in range(3))]
    rows += [fresh(1, 0.4 + 0.1 * s + 0.01 * (s == 2), s) for s in (1, 2, 5)]
    apart = fresh_difference(with_confirmations(frame_of(*rows)), 0, 1)
    assert (apart.count, apart.mean) == (2, pytest.approx(0.095))
    assert apart.high - apart.low == pytest.approx(2 * stats.t.ppf(0.975, 1) * np.std([0.1, 0.09], ddof=1) / 2**0.5)


def test_unfinished_fresh_trainings_count_for_nothing() -> None:
    failed = {**fresh(0, math.nan), "state": "FAIL"}
    frame = with_confirmations(frame_of(trial(0.5, 1, on_front=True), failed))
    assert frame["confirmed_seeds"].tolist() == [0, 0]
    assert winners_curse(frame) is None


def test_an_empty_study() -> None:
    frame = frame_of(trial(0.5, 1)).head(0)
    assert with_confirmations(frame)["confirmed_seeds"].tolist() == []
    assert worth_confirming(frame, DEFAULT_OBJECTIVES, 0.01).tolist() == []
