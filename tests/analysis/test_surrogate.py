"""The surrogate: against functions that are known, worlds that are drawn, and bad tables."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import stdc_lab
from stdc_lab.analysis import gaussian_process
from stdc_lab.analysis.gaussian_process import COMMON
from stdc_lab.analysis.surrogate import Surrogate
from stdc_lab.arch import presets
from stdc_lab.errors import ResultsError


def world(count: int, seed: int, noise: float = 0.05) -> pd.DataFrame:
    """Four features, of which `c` is a scale over three decades and `d` says nothing; truth and a noisy value."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({name: draw.uniform(-2, 2, count) for name in "abd"})
    frame["c"] = 10 ** draw.uniform(0, 3, count)
    frame["truth"] = 5 + np.sin(frame["a"]) + 0.5 * frame["b"] + 0.4 * np.log10(frame["c"])
    frame["value"] = frame["truth"] + noise * draw.standard_normal(count)
    return frame


FEATURES = ["a", "b", "c", "d"]


def test_it_recovers_a_function_and_its_noise() -> None:
    surrogate = Surrogate(FEATURES, "value").fit(world(80, 0))
    new = world(200, 1)
    found = surrogate.predict(new, noise=False)
    assert np.sqrt(((found["mean"] - new["truth"]) ** 2).mean()) < 0.05
    noisy = surrogate.predict(new)
    assert noisy["mean"].equals(found["mean"]) and (noisy["sd"] > found["sd"]).all()
    assert np.sqrt((noisy["sd"] ** 2 - found["sd"] ** 2).mean()) == pytest.approx(0.05, rel=0.35)


def test_far_from_what_it_has_seen_it_is_unsure() -> None:
    surrogate = Surrogate(["a"], "value").fit(world(40, 0))
    near, far = surrogate.predict(pd.DataFrame({"a": [0.0, 30.0]}), noise=False)["sd"]
    assert far > 2 * near


@pytest.mark.parametrize(("rows", "low", "high"), [(12, 0.83, 0.97), (40, 0.85, 0.95)])
def test_nine_of_ten_values_lie_in_the_interval(rows: int, low: float, high: float) -> None:
    inside = []
    for seed in range(12):
        new = world(100, 1000 + seed, noise=0.2)
        found = Surrogate(FEATURES, "value").fit(world(rows, seed, noise=0.2)).predict(new)
        inside.append(((new["value"] - found["mean"]).abs() <= 1.645 * found["sd"]).mean())
    assert low < np.mean(inside) < high


def test_what_is_known_of_one_network_from_many_trainings_is_their_mean() -> None:
    rows = world(12, 0, noise=0.0)
    repeated = pd.concat([rows] * 9, ignore_index=True)
    draw = np.random.default_rng(1)
    repeated["value"] = repeated["truth"] + 0.3 * draw.standard_normal(len(repeated))
    found = Surrogate(FEATURES, "value").fit(repeated).predict(rows, noise=False)
    means = repeated["value"].to_numpy().reshape(9, 12).mean(axis=0)
    assert np.abs(found["mean"] - means).mean() < 0.1
    assert found["sd"].mean() < 0.15


def test_exact_duplicates_do_no_harm() -> None:
    rows = world(20, 0, noise=0.0)
    found = Surrogate(FEATURES, "value").fit(pd.concat([rows] * 5)).predict(rows)
    assert np.isfinite(found.to_numpy()).all() and (found["sd"] > 0).all()
    np.testing.assert_allclose(found["mean"], rows["truth"], atol=0.05)


def test_a_training_that_two_rows_share_counts_once() -> None:
    rows = world(12, 0).assign(trial_key=[f"k{number}" for number in range(12)])
    twice = pd.concat([rows, rows.iloc[:4]], ignore_index=True)
    surrogate = Surrogate(FEATURES, "value").fit(twice)
    assert surrogate.notes == ("left out: 4 rows whose training another row has",)
    pd.testing.assert_frame_equal(surrogate.predict(rows), Surrogate(FEATURES, "value").fit(rows).predict(rows))


def test_equal_arguments_give_equal_predictions_indexed_as_the_input() -> None:
    rows, new = world(20, 0), world(5, 1).set_index(pd.Index(list("vwxyz")))
    one, other = (Surrogate(FEATURES, "value", seed=3).fit(rows).predict(new) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    assert list(one.columns) == ["mean", "sd"] and list(one.index) == list("vwxyz")


def test_no_unit_changes_a_prediction() -> None:
    rows, new = world(20, 0), world(5, 1)
    one = Surrogate(FEATURES, "value").fit(rows).predict(new)
    scale = {"a": 1e6, "value": 1e9}
    other = Surrogate(FEATURES, "value").fit(rows.assign(**{name: rows[name] * by for name, by in scale.items()}))
    found = other.predict(new.assign(a=new["a"] * 1e6))
    np.testing.assert_allclose(found / 1e9, one, rtol=1e-3)


def test_a_scale_over_decades_is_taken_by_its_logarithm() -> None:
    rows = world(30, 0, noise=0.01)
    surrogate = Surrogate(FEATURES, "value").fit(rows)
    new = world(1, 1).loc[[0] * 3].assign(c=[10.0, 100.0, 1000.0])
    low, middle, high = surrogate.predict(new)["mean"]
    assert middle - low == pytest.approx(0.4, abs=0.1) and high - middle == pytest.approx(0.4, abs=0.1)
    assert np.isfinite(surrogate.predict(new.assign(c=0.0)).to_numpy()).all()


def test_a_column_that_does_not_vary_is_left_out_and_said() -> None:
    rows = world(20, 0).assign(same=3.0)
    surrogate = Surrogate([*FEATURES, "same"], "value").fit(rows)
    assert surrogate.notes == ("left out, the same in every row: same",)
    expected = Surrogate(FEATURES, "value").fit(rows).predict(rows)
    pd.testing.assert_frame_equal(surrogate.predict(rows.assign(same=7.0)), expected)


def test_rows_without_a_target_are_left_out_and_said() -> None:
    rows = world(20, 0)
    some = rows.assign(value=rows["value"].where(rows.index < 15), a=rows["a"].where(rows.index < 16))
    surrogate = Surrogate(FEATURES, "value").fit(some)
    assert surrogate.notes == ("left out: 5 of 20 rows without value",)


@pytest.mark.parametrize(
    ("changes", "features", "message"),
    [
        ({}, ["a", "zeal", "zest"], "columns: no zeal, zest; there are a, b"),
        ({"a": "wide"}, FEATURES, "columns: a: text, not numbers; allowed: columns of numbers, and arch"),
        ({"value": "good"}, FEATURES, "columns: value: text"),
        ({"a": float("nan")}, FEATURES, r"not known, or infinite: a in 20 of 20 rows"),
        ({"b": float("inf")}, FEATURES, r"not known, or infinite: b in 20 of 20 rows"),
        ({"value": float("nan")}, FEATURES, "value: got 0 rows that have it; allowed: 8 or more"),
        ({"value": float("inf")}, FEATURES, "value: infinite in some row"),
        ({"value": 0.5}, FEATURES, "value: is 0.5 in every row; there is nothing to learn"),
        ({"a": 1.0, "b": 2.0}, ["a", "b"], "features: the same in every row, all of them: a, b"),
        ({}, ["arch"], "columns: no arch; a study's frame"),
        ({"arch": "{"}, ["arch"], r"arch: .* has an architecture's JSON there"),
        ({"arch": '{"family": "none"}'}, ["arch"], "family: got 'none'"),
        ({"arch": None}, None, "arch: 20 rows have no network, row 0 among them"),
    ],
)
def test_a_bad_table_is_answered_with_what_is_wrong(changes, features, message) -> None:
    with pytest.raises(ResultsError, match=message):
        Surrogate(features, "value").fit(world(20, 0).assign(**changes))


def test_too_few_rows_and_an_early_question_are_answered() -> None:
    with pytest.raises(ResultsError, match="value: got 7 rows that have it; allowed: 8 or more to learn from"):
        Surrogate(FEATURES, "value").fit(world(7, 0))
    with pytest.raises(ResultsError, match="has not been fitted"):
        Surrogate(FEATURES, "value").predict(world(7, 0))
    with pytest.raises(ResultsError, match="got value, which is the target"):
        Surrogate(["a", "value"], "value")
    with pytest.raises(ResultsError, match="features: got none"):
        Surrogate([], "value")
    with pytest.raises(ResultsError, match=r"not known, or infinite: d in 1 of 3 rows"):
        Surrogate(FEATURES, "value").fit(world(20, 0)).predict(world(3, 1).assign(d=[0, np.nan, 1]))


def test_the_gradient_is_that_of_the_loss() -> None:
    draw = np.random.default_rng(0)
    rows, values = draw.standard_normal((12, 3)), draw.standard_normal(12)
    hyper = 0.5 * draw.standard_normal(COMMON + 6)
    found = gaussian_process._loss(hyper, rows, values)[1]
    expected = optimize.approx_fprime(hyper, lambda at: gaussian_process._loss(at, rows, values)[0], 1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_process_is_the_textbooks() -> None:
    """Mean and variance by the plain formulas, with an inverse and the covariances written out."""
    draw = np.random.default_rng(0)
    rows, values, new = draw.standard_normal((9, 2)), draw.standard_normal(9), draw.standard_normal((4, 2))
    process = gaussian_process.fit_process(rows, values)
    smooth, length, straight, noise = np.exp(process.hyper[:COMMON])
    lengths = length * np.exp(process.hyper[COMMON : COMMON + 2]) * np.sqrt(2)
    weights = straight * np.exp(process.hyper[COMMON + 2 :]) / np.sqrt(2)

    def covariance(one: np.ndarray, other: np.ndarray) -> float:
        apart = (((one - other) / lengths) ** 2).sum()
        return float(smooth**2 * np.exp(-apart / 2) + (one * other * weights**2).sum())

    whole = np.reshape([covariance(one, other) for one, other in product(rows, rows)], (9, 9)) + noise**2 * np.eye(9)
    across = np.reshape([covariance(one, other) for one, other in product(new, rows)], (4, 9))
    mean, sd = process.predict(new)
    np.testing.assert_allclose(mean, across @ np.linalg.inv(whole) @ values, rtol=1e-8)
    before = np.array([covariance(one, one) for one in new])
    np.testing.assert_allclose(sd**2, before - (across @ np.linalg.inv(whole) * across).sum(axis=1), rtol=1e-6)


def networks() -> pd.DataFrame:
    """Networks of two families, as a study's frame has them, with a made-up score that more MACs and guidance raise."""
    specs = [presets["stdc1"].with_values({"base_width": width, "depths.stage4": depth})
             for width, depth in product((16, 32, 48, 64), (1, 2, 3))]  # fmt: skip
    specs += [presets["regseg"].with_values({"decoder_width": width}) for width in (32, 48, 64, 96)]
    frame = pd.DataFrame({"arch": [json.dumps(spec.to_dict()) for spec in specs], "state": "COMPLETE"})
    frame["macs"] = [stdc_lab.total_cost(spec).macs for spec in specs]
    frame["heads.detail_strides"] = ["8" if number % 2 else "" for number in range(len(frame))]
    frame["base_width"] = [width for width in (16, 32, 48, 64) for _ in range(3)] + [np.nan] * 4
    frame["miou"] = 0.1 * np.log10(frame["macs"]) - 0.5 + 0.05 * (frame["heads.detail_strides"] == "8")
    return frame


def test_a_studys_frame_needs_no_columns_picked_by_hand() -> None:
    frame = networks()
    surrogate = stdc_lab.Surrogate(None, "miou").fit(frame)
    fresh = frame.drop(columns=["miou", "macs"])
    found = surrogate.predict(fresh)
    assert (found["mean"] - frame["miou"]).abs().max() < 0.02
    other = surrogate.predict(fresh.assign(**{"heads.detail_strides": "8"}))["mean"] - found["mean"]
    guided = frame["heads.detail_strides"] == "8"
    assert other[~guided].mean() == pytest.approx(0.05, abs=0.02) and (other[guided] == 0).all()


def test_an_architecture_and_a_cheap_score_are_features_together() -> None:
    frame = networks().assign(short=lambda rows: rows["miou"] / 2)
    alone = Surrogate("arch", "miou").fit(frame).predict(frame)["mean"]
    both = Surrogate(["arch", "short"], "miou").fit(frame).predict(frame)["mean"]
    assert (both - frame["miou"]).abs().mean() < (alone - frame["miou"]).abs().mean()
