"""Verdicts on claims of figures, from intervals that are made up."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from stdc_lab.analysis.stated import frame_of, judge_stated
from stdc_lab.config.claim import ExactClaim, MeasuredClaim
from stdc_lab.errors import StdcLabError

HEAD: dict[str, Any] = {
    "id": "claim", "title": "A title", "statement": "What is claimed", "source": "here", "computes": "something",
    "replication": {"recipe": "none"},
}  # fmt: skip


def measured(stated: dict[str, Any], tolerance: float | dict[str, float] = 0.0) -> MeasuredClaim:
    return MeasuredClaim(**HEAD, kind="measured", stated=stated, tolerance=tolerance)


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["figure", "value", "low", "high"])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (2.4, 2.6, "supported"),
        (2.0, 3.0, "supported"),
        (1.9, 3.0, "undecided"),
        (2.0, 3.1, "undecided"),
        (1.0, 4.0, "undecided"),
        (1.0, 2.0, "undecided"),
        (3.0, 3.5, "undecided"),
        (1.0, 1.9, "contradicted"),
        (3.1, 3.5, "contradicted"),
    ],
)
def test_an_interval_is_inside_or_outside_of_the_tolerance_or_neither(low: float, high: float, verdict: str) -> None:
    found = judge_stated(measured({"ratio": 2.5}, 0.5), table(("ratio", (low + high) / 2, low, high)))
    assert (found.verdict, found.figures[0].verdict) == (verdict, verdict)
    assert (found.figures[0].bounds, found.figures[0].tolerance, found.figures[0].stated) == ((2.0, 3.0), 0.5, "2.5")


@pytest.mark.parametrize(
    ("stated", "low", "high", "verdict"),
    [
        ({"at_least": 1}, 1.0, 9e9, "supported"),
        ({"at_least": 1}, 0.9, 9e9, "undecided"),
        ({"at_least": 1}, 0.1, 0.9, "contradicted"),
        ({"at_most": 1}, -9e9, 1.0, "supported"),
        ({"at_most": 1}, 0.9, 1.1, "undecided"),
        ({"at_most": 1}, 1.1, 1.2, "contradicted"),
    ],
)
def test_a_range_may_be_open(stated: dict[str, float], low: float, high: float, verdict: str) -> None:
    found = judge_stated(measured({"ratio": stated}, 5.0), table(("ratio", (low + high) / 2, low, high)))
    assert found.verdict == verdict
    assert None in found.figures[0].bounds
    assert found.figures[0].tolerance is None


SURE, OPEN, WRONG = (0.9, 1.1), (0.4, 1.1), (3.0, 4.0)


@pytest.mark.parametrize(
    ("intervals", "verdict", "against", "unsure"),
    [
        ((SURE, SURE), "supported", (), ()),
        ((SURE, OPEN), "undecided", (), ("b",)),
        ((OPEN, OPEN), "undecided", (), ("a", "b")),
        ((SURE, WRONG), "contradicted", ("b",), ()),
        ((WRONG, OPEN), "contradicted", ("a",), ("b",)),
    ],
)
def test_a_claim_stands_with_all_of_its_figures_and_falls_with_one(
    intervals: tuple[tuple[float, float], ...], verdict: str, against: tuple[str, ...], unsure: tuple[str, ...]
) -> None:
    claim = measured({"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.5})
    rows = [(name, sum(ends) / 2, *ends) for name, ends in zip("ab", intervals, strict=True)]
    found = judge_stated(claim, table(*rows, ("beside", 7.0, 7.0, 7.0)))
    assert (found.verdict, found.against, found.open) == (verdict, against, unsure)
    assert [one.figure for one in found.figures] == ["a", "b"]


def test_computed_figures_are_their_own_interval() -> None:
    claim = ExactClaim(**HEAD, kind="exact", stated={"same": True, "count": 3.0})
    found = judge_stated(claim, frame_of({"same": True, "count": 3, "beside": 9}))
    assert found.verdict == "supported"
    assert [(one.found, one.low, one.high, one.stated) for one in found.figures] == [(1, 1, 1, "yes"), (3, 3, 3, "3")]
    assert judge_stated(claim, frame_of({"same": False, "count": 3})).against == ("same",)
    assert judge_stated(claim, frame_of({"same": True, "count": 3.0001})).against == ("count",)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("other", 1.0, 1.0, 1.0)], "claim: no row of a in the table"),
        ([("a", 1.0, 1.0, 1.0), ("a", 1.0, 1.0, 1.0)], "claim: two rows of a"),
        ([("a", math.nan, 1.0, 1.0)], "claim: a: got nan"),
        ([("a", 1.0, math.nan, 2.0)], "claim: a: got 1 in nan to 2"),
        ([("a", 3.0, 1.0, 2.0)], "claim: a: got 3 in 1 to 2"),
        ([("a", "1,5", "1", "2")], "claim: a: got 1,5, 1, 2; allowed: numbers"),
    ],
)
def test_what_is_no_figure_is_refused(rows: list[tuple[object, ...]], said: str) -> None:
    with pytest.raises(StdcLabError, match=said):
        judge_stated(measured({"a": 1.0}), table(*rows))


def test_a_measured_figure_needs_its_interval() -> None:
    with pytest.raises(StdcLabError, match="lacks the column low; needed: figure, value, low, high"):
        judge_stated(measured({"a": 1.0}), frame_of({"a": 1.0}))
