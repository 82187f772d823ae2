from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stdc_lab.analysis.pareto import hypervolume, hypervolume_growth, pareto_front

SMALL = st.one_of(st.integers(-4, 4).map(float), st.sampled_from([float("nan"), float("inf"), -float("inf")]))


@st.composite
def tables(draw, entries=SMALL, max_columns=4):
    columns = draw(st.integers(1, max_columns))
    rows = draw(st.lists(st.lists(entries, min_size=columns, max_size=columns), max_size=24))
    return np.array(rows, dtype=float).reshape(len(rows), columns), draw(
        st.lists(st.booleans(), min_size=columns, max_size=columns)
    )


def dominates(one, other, maximize):
    signed = [(a, b) if up else (-a, -b) for a, b, up in zip(one, other, maximize, strict=True)]
    return all(a >= b for a, b in signed) and any(a > b for a, b in signed)


def front_by_definition(values, maximize):
    measured = [row for row in values if not np.isnan(row).any()]
    return [
        bool(not np.isnan(row).any() and not any(dominates(other, row, maximize) for other in measured))
        for row in values
    ]


@settings(max_examples=200, deadline=None)
@given(tables())
def test_front_is_what_the_definition_says(case):
    values, maximize = case
    assert pareto_front(values, maximize).tolist() == front_by_definition(values, maximize)


def test_equal_points_are_all_on_the_front():
    values = np.array([[0.5, 10.0], [0.5, 10.0], [0.5, 11.0], [0.6, 12.0]])
    assert pareto_front(values, [True, False]).tolist() == [True, True, False, True]


def test_a_row_with_nan_is_neither_on_the_front_nor_in_the_way():
    values = np.array([[np.nan, 1.0], [0.9, np.nan], [0.4, 10.0]])
    assert pareto_front(values, [True, False]).tolist() == [False, False, True]


def test_no_rows_give_no_front():
    assert pareto_front(np.empty((0, 2)), [True, False]).tolist() == []
    assert pareto_front([], [True, False]).tolist() == []


@pytest.mark.parametrize("values", [np.zeros((3, 3)), np.zeros(4), np.zeros((2, 2, 2))])
def test_shapes_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match=r"values: got shape .*; allowed: N rows of 2 columns"):
        pareto_front(values, [True, False])


@settings(max_examples=100, deadline=None)
@given(tables(entries=st.integers(-4, 4).map(float), max_columns=3))
def test_hypervolume_is_the_number_of_unit_cells_dominated(case):
    values, maximize = case
    losses = np.where(maximize, -values, values)
    cells = itertools.product(range(-4, 4), repeat=values.shape[1])
    expected = sum(any((row <= np.array(cell)).all() for row in losses) for cell in cells)
    reference = [-4.0 if up else 4.0 for up in maximize]
    assert hypervolume(values, maximize, reference) == pytest.approx(expected)


def test_hypervolume_of_two_trade_offs():
    values = [[0.5, 10.0], [0.6, 20.0], [np.nan, 1.0], [0.9, 50.0]]
    assert hypervolume(values, [True, False], [0.0, 30.0]) == pytest.approx(0.5 * 20 + 0.1 * 10)


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume([], [True, False], [0.0, 30.0]) == 0.0


def test_hypervolume_refuses_a_reference_that_does_not_fit():
    with pytest.raises(ValueError, match="one number for each of 2 columns"):
        hypervolume([[0.5, 10.0]], [True, False], [0.0])
    with pytest.raises(ValueError, match="finite numbers"):
        hypervolume([[0.5, 10.0]], [True, False], [0.0, float("inf")])


def test_growth_counts_what_the_last_rows_added_and_no_unit() -> None:
    rows = [[0.2, 10.0], [0.4, 20.0], [0.3, 30.0]]
    assert hypervolume_growth(rows, [True, False], 1) == 0  # dominated
    assert hypervolume_growth([*rows, [0.5, 30.0]], [True, False], 1) > 0.01
    better = [*rows, [0.41, 19.0], [0.1, 50.0]]
    grown = hypervolume_growth(better, [True, False], 2)
    corner = (0.1 - 0.031, 50 + 4)  # the worst and a tenth of the range beyond
    area = hypervolume(better, [True, False], corner) / hypervolume(rows, [True, False], corner) - 1
    assert grown == pytest.approx(area)
    in_other_units = [[100 * miou, latency / 1000] for miou, latency in better]
    assert hypervolume_growth(in_other_units, [True, False], 2) == pytest.approx(grown)


def test_one_bad_trial_does_not_hide_growth() -> None:
    draw = np.random.default_rng(0)
    latency = draw.uniform(10, 40, 30)
    rows = np.column_stack([0.3 + 0.005 * latency + draw.uniform(-0.05, 0, 30), latency])
    better = np.vstack([rows, [0.36, 10.5], [0.47, 30.0]])
    growth = hypervolume_growth(better, [True, False], 2)
    assert growth > 0.005
    for outlier in ([0.01, 40_000.0], [0.01, 30.0], [0.6, 40_000.0]):
        beside = hypervolume_growth(np.vstack([outlier, better]), [True, False], 2)
        assert beside == pytest.approx(growth, rel=0.3), outlier


def test_growth_where_all_of_before_is_beyond_the_reference() -> None:
    rows = [[0.5, 900.0], *([[0.4, 10.0 + step] for step in range(9)])]
    assert hypervolume_growth(rows, [True, False], 9) == np.inf
    assert hypervolume_growth([*rows, [0.1, 900.0]], [True, False], 1) == 0


def test_growth_of_nothing_is_not_a_number() -> None:
    nothing = [[np.nan, np.nan]]
    assert np.isnan(hypervolume_growth([], [True, False], 2))
    assert np.isnan(hypervolume_growth([[0.1, 1.0]], [True, False], 2))
    assert np.isnan(hypervolume_growth([*nothing, [0.1, 1.0]], [True, False], 1))
    assert hypervolume_growth([[0.1, 1.0], *nothing], [True, False], 1) == 0
    assert hypervolume_growth([[0.1, 1.0]] * 3, [True, False], 2) == 0
    assert np.isnan(hypervolume_growth([[0.1, 1.0], [0.2, 1.0], [0.3, 1.0]], [True, False], 4))
