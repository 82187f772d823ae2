"""Verdicts on claims of figures: what is stated, against what was computed or measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from stdc_lab.config.claim import ExactClaim, MeasuredClaim, Range
from stdc_lab.errors import StdcLabError

FigureVerdict = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class JudgedFigure:
    """A stated figure and what was found of it."""

    figure: str
    stated: str
    """As the claim has it: `8.44`, `yes`, `at most 1`."""
    tolerance: float | None
    """How far it may be from a stated number; None of a range."""
    bounds: tuple[float | None, float | None]
    """Within which it has to lie; None where that is open."""
    found: float
    low: float
    high: float
    """The interval of what was found, which is the value itself if it was computed."""
    verdict: FigureVerdict


@dataclass(frozen=True)
class StatedVerdict:
    """What a claim of figures comes to."""

    claim: str
    kind: Literal["exact", "measured"]
    verdict: FigureVerdict
    figures: tuple[JudgedFigure, ...]

    @property
    def against(self) -> tuple[str, ...]:
        """The figures that contradict the claim."""
        return tuple(one.figure for one in self.figures if one.verdict == "contradicted")

    @property
    def open(self) -> tuple[str, ...]:
        """The figures that are known too little to decide."""
        return tuple(one.figure for one in self.figures if one.verdict == "undecided")


def judge_stated(claim: ExactClaim | MeasuredClaim, figures: pd.DataFrame) -> StatedVerdict:
    """The verdict on a claim from its figures: columns `figure`, `value`, and `low`, `high` where they were measured.

    A figure is *supported* if its interval lies within its bounds, *contradicted* if wholly outside of them, else
    *undecided*. The claim is *supported* if all its figures are, *contradicted* if one is. Figures that the claim does
    not state are left alone. Raises `StdcLabError` for a figure that is missing, doubled or no number.
    """
    rows = _rows(claim, figures)
    judged = tuple(_judge(claim, name, rows[name]) for name in claim.stated)
    verdicts = {one.verdict for one in judged}
    verdict: FigureVerdict = "supported"
    if verdicts != {"supported"}:
        verdict = "contradicted" if "contradicted" in verdicts else "undecided"
    return StatedVerdict(claim.id, claim.kind, verdict, judged)


def frame_of(figures: Mapping[str, float]) -> pd.DataFrame:
    """Computed figures as `judge_stated` reads them."""
    return pd.DataFrame({"figure": list(figures), "value": list(figures.values())})


def _rows(claim: ExactClaim | MeasuredClaim, figures: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """(value, low, high) of each stated figure."""
    needed = ["figure", "value", *(["low", "high"] if claim.kind == "measured" else [])]
    lacking = [column for column in needed if column not in figures]
    if lacking:
        raise StdcLabError(f"{claim.id}: the table of figures lacks the column {lacking[0]}; needed: {_words(needed)}")
    stated = figures[figures["figure"].isin(list(claim.stated))]
    missing = [name for name in claim.stated if name not in set(stated["figure"])]
    if missing:
        raise StdcLabError(f"{claim.id}: no row of {_words(missing)} in the table of figures")
    doubled = stated.loc[stated["figure"].duplicated(), "figure"]
    if len(doubled):
        raise StdcLabError(f"{claim.id}: two rows of {doubled.iloc[0]} in the table of figures; allowed: one")
    columns = ["value", "low", "high"] if {"low", "high"} <= set(figures) else ["value"] * 3
    found = {}
    for name, *texts in stated[["figure", *columns]].itertuples(index=False):
        try:
            value, low, high = (float(text) for text in texts)
        except (TypeError, ValueError):
            raise StdcLabError(f"{claim.id}: {name}: got {_words(map(str, texts))}; allowed: numbers") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise StdcLabError(
                f"{claim.id}: {name}: got {value:g} in {low:g} to {high:g}; allowed: a value in its interval"
            )
        found[str(name)] = (value, low, high)
    return found


def _judge(claim: ExactClaim | MeasuredClaim, name: str, row: tuple[float, float, float]) -> JudgedFigure:
    value, low, high = row
    least, most = claim.bounds(name)
    verdict: FigureVerdict = "undecided"
    if least <= low and high <= most:
        verdict = "supported"
    elif high < least or low > most:
        verdict = "contradicted"
    stated = claim.stated[name]
    return JudgedFigure(
        figure=name,
        stated=_in_words(stated),
        tolerance=None if isinstance(stated, Range) else claim.tolerance_of(name),
        bounds=(_closed(least), _closed(most)),
        found=value,
        low=low,
        high=high,
        verdict=verdict,
    )


def _in_words(stated: bool | float | Range) -> str:
    if isinstance(stated, bool):
        return "yes" if stated else "no"
    return str(stated) if isinstance(stated, Range) else f"{stated:.12g}"


def _closed(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _words(names: Iterable[str]) -> str:
    return ", ".join(names)
