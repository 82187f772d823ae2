"""What fresh seeds make of a front, against figures computed by hand and by SciPy's own t-interval."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stdc_lab.analysis.confirmation import seed_deviation, winners_curse, with_confirmations, worth_confirming
from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, parse_objective


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"state": "COMPLETE", "feasible": True, "confirms": math.nan, "boundary_f": math.nan, "on_front": False}
    return pd.DataFrame([{**usual, "number": number, **row} for number, row in enumerate(rows)])


def trial(miou: float, latency_ms: float, **more: Any) -> dict[str, Any]:
    return {"miou": miou, "latency_ms": latency_ms, **more}


def fresh(of: int, miou: float, latency_ms: float = 10.0) -> dict[str, Any]:
    return trial(miou, latency_ms, confirms=of)


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


def test_the_means_of_fresh_seeds_decide_the_confirmed_front() -> None:
    lucky, steady = trial(0.62, 20, on_front=True), trial(0.60, 20)
    frame = with_confirmations(
        frame_of(trial(0.5, 10, on_front=True), lucky, steady,
                 fresh(0, 0.49), fresh(0, 0.51), fresh(1, 0.57), fresh(1, 0.55, 20), fresh(2, 0.60), fresh(2, 0.58)),
        DEFAULT_OBJECTIVES,
    )  # fmt: skip
    assert frame["confirmed_miou"].tolist()[:3] == pytest.approx([0.50, 0.56, 0.59])
    assert frame["on_confirmed_front"].tolist() == [True, False, True, *[False] * 6]
    assert frame["confirmed_seeds"].tolist()[:4] == [2, 2, 2, 0]
    curse = winners_curse(frame)
    assert curse is not None
    assert curse.networks == 2
    assert curse.lead == pytest.approx((0.00 + 0.06) / 2)
    theirs = stats.ttest_1samp([0.0, 0.06], 0.0).confidence_interval(0.95)
    assert (curse.low, curse.high) == pytest.approx((theirs.low, theirs.high))


def test_an_unconfirmed_network_is_on_no_confirmed_front_and_hides_none() -> None:
    frame = with_confirmations(frame_of(trial(0.9, 1), trial(0.5, 10), fresh(1, 0.4)), DEFAULT_OBJECTIVES)
    assert frame["on_confirmed_front"].tolist() == [False, True, False]


def test_the_interval_is_of_the_pooled_deviation() -> None:
    values = {0: [0.50, 0.52, 0.54], 1: [0.60, 0.60, 0.63], 2: [0.7]}
    rows = [fresh(of, value) for of, found in values.items() for value in found]
    frame = with_confirmations(frame_of(trial(0.5, 1), trial(0.6, 2), trial(0.7, 3), *rows), DEFAULT_OBJECTIVES)
    deviation, freedom = seed_deviation(frame)
    assert freedom == 4
    pooled = math.sqrt(np.mean([np.var(values[0], ddof=1), np.var(values[1], ddof=1)]))
    assert deviation == pytest.approx(pooled)
    for number, found in values.items():
        expected = stats.t.interval(0.95, 4, np.mean(found), pooled / math.sqrt(len(found)))
        assert frame.loc[number, ["confirmed_low", "confirmed_high"]].tolist() == pytest.approx(expected)


def test_single_fresh_seeds_have_no_interval() -> None:
    frame = with_confirmations(frame_of(trial(0.5, 1, on_front=True), fresh(0, 0.4)), DEFAULT_OBJECTIVES)
    assert frame["confirmed_miou"][0] == 0.4
    assert math.isnan(frame["confirmed_low"][0])
    curse = winners_curse(frame)
    assert curse is not None
    assert curse.lead == pytest.approx(0.1)
    assert math.isnan(curse.low)


def test_unfinished_fresh_trainings_count_for_nothing() -> None:
    failed = {**fresh(0, math.nan), "state": "FAIL"}
    frame = with_confirmations(frame_of(trial(0.5, 1), failed), DEFAULT_OBJECTIVES)
    assert frame["confirmed_seeds"].tolist() == [0, 0]
    assert winners_curse(frame) is None
    assert not frame["on_confirmed_front"].any()


def test_an_empty_study() -> None:
    frame = frame_of(trial(0.5, 1)).head(0)
    assert with_confirmations(frame, DEFAULT_OBJECTIVES)["on_confirmed_front"].tolist() == []
    assert worth_confirming(frame, DEFAULT_OBJECTIVES, 0.01).tolist() == []
