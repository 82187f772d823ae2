"""What the figures show, computed apart from drawing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stdc_lab.analysis.networks import scores_of
from stdc_lab.config import objectives
from stdc_lab.config.figures import FIGURES, Figure, figure_of
from stdc_lab.records import CurvePoint

QUIET_SPREAD = objectives.QUIET_SPREAD
FloatArray = NDArray[np.float64]


def finished_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """Complete trials with mIoU and latency; repetitions of a known training and fresh seeds of another left out."""
    measured = frame["miou"].notna() & frame["latency_ms"].notna()
    return frame[(frame["state"] == "COMPLETE") & measured & frame["duplicate_of"].isna() & frame["confirms"].isna()]


def finished_networks(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished trials, one row a network, in the order of their numbers: scores are means over its seeds.

    A row has its network's first number, and the name and arm of whichever of its trials has one. `network_seeds` says
    of how many trainings its scores are the mean, `network_low` and `network_high` give the interval of its mIoU.
    """
    finished = finished_trials(frame).sort_values("number")
    first = finished.groupby("network", as_index=False, sort=False).first()[list(finished.columns)]
    return first.assign(**{name: first[f"network_{name}"] for name in scores_of(first)})


def trial_name(trial: pd.Series) -> str:
    """`stdc1` for a reference, `guided` for an arm of a plan, `guided (stdc1)` for both, `#12` for another trial."""
    names = [str(trial[name]) for name in ("arm", "reference") if pd.notna(trial[name])]
    if not names:
        return f"#{int(trial['number'])}"
    return names[0] if len(names) == 1 else f"{names[0]} ({names[1]})"


def is_plan(frame: pd.DataFrame) -> bool:
    """Whether the study is a plan of arms and seeds, in which nothing is chosen by its score."""
    return bool(frame.attrs.get("arms"))


def aims(frame: pd.DataFrame) -> list[str]:
    """The study's objectives, as they are written; mIoU and latency for a frame that does not say."""
    return list(frame.attrs.get("objectives", ["miou", "latency_ms"]))


def further_figures(frame: pd.DataFrame) -> list[Figure]:
    """The study's objectives that are not in every report."""
    figures = [figure_of(objectives.parse_objective(text).figure) for text in aims(frame)]
    return [one for one in figures if not one.usual]


def shown_figures(frame: pd.DataFrame) -> list[Figure]:
    """What the tables of a report show: the usual figures, then the study's further objectives."""
    return [*(one for one in FIGURES.values() if one.usual), *further_figures(frame)]


def latency_title(frame: pd.DataFrame) -> str:
    """What an axis or a heading calls the latency of a study's networks."""
    within = frame.attrs.get("latency_in")
    return FIGURES["latency_ms"].axis_title if within is None else f"Latency in {within} (ms a call, median)"


def trades_miou_for_latency(frame: pd.DataFrame) -> bool:
    """Whether the front is that of mIoU and latency, so that a line through it means something."""
    return sorted(aims(frame)) == ["latency_ms", "miou"]


def front_members(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished networks on the front, fastest first."""
    finished = finished_networks(frame)
    return finished[finished["on_front"]].sort_values(["latency_ms", "miou", "number"])


def confirmed_networks(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished networks with fresh seeds, fastest first; `miou` is that of the trainings that chose them."""
    finished = finished_networks(frame)
    return finished[finished["confirmed_seeds"] > 0].sort_values(["latency_ms", "confirmed_miou", "number"])


def reference_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """The first finished trial of each reference network, in the order of the trials; scores are means over the seeds
    of its network."""
    finished = finished_trials(frame).sort_values("number")
    named = finished[finished["reference"].notna()].drop_duplicates("reference")
    return named.assign(**{name: named[f"network_{name}"] for name in scores_of(named)})


def along_line(x: FloatArray, y: FloatArray, pieces: int = 24) -> FloatArray:
    """Points (K×2) close together on the line through the given corners."""
    at = np.linspace(0, max(0, len(x) - 1), max(0, len(x) - 1) * pieces + 1)
    corners = np.arange(len(x))
    return np.column_stack([np.interp(at, corners, x), np.interp(at, corners, y)]) if len(x) else np.empty((0, 2))


def noisy_latencies(frame: pd.DataFrame) -> int:
    """How many finished trials have a latency whose spread says that the machine was not quiet."""
    return int((finished_trials(frame)["latency_spread"] > QUIET_SPREAD).sum())


def latency_warning(frame: pd.DataFrame) -> str | None:
    """What makes the latencies of finished trials incomparable, in a sentence; None if nothing does."""
    finished = finished_trials(frame)
    anew = int(finished["retimed"].sum())
    if anew == len(finished):
        return None
    if anew:
        return (
            f"Latencies are not comparable: {anew} of {len(finished)} were timed anew together, the others while "
            "searching. Time all of them: stdc-lab study retime DIR"
        )
    machines = finished["fingerprint"].dropna().unique()
    if len(machines) > 1:
        return (
            f"Latencies are not comparable: they come from {len(machines)} unlike machines or software versions "
            f"(fingerprints {', '.join(sorted(machines))})."
        )
    return None


def rank_correlation(frame: pd.DataFrame, one: str, other: str) -> float:
    """Spearman's rank correlation of two columns over finished networks; NaN with fewer than three of them."""
    pairs = finished_networks(frame)[[one, other]].dropna()
    if len(pairs) < 3 or pairs.nunique().min() < 2:
        return float("nan")
    ranks = pairs.rank()
    return float(np.corrcoef(ranks[one], ranks[other])[0, 1])


@dataclass(frozen=True)
class ParameterAxis:
    """Where the trials stand along one varied parameter."""

    name: str
    positions: FloatArray
    """One for each finished network: the value itself, or its place among the values; NaN where it is not known."""
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    """Of the ticks; none for a parameter with many values, which gets an ordinary axis."""


def parameter_axis(frame: pd.DataFrame, name: str, most_levels: int = 8) -> ParameterAxis:
    """A varied parameter of the finished networks as an axis: few values or text evenly spaced, else to scale."""
    column = finished_networks(frame)[name]
    present = column.dropna()
    try:
        values = sorted(present.unique())
    except TypeError:
        values = sorted(present.unique(), key=str)
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and len(values) > most_levels:
        return ParameterAxis(name, column.to_numpy(dtype=np.float64), (), ())
    places = {value: float(index) for index, value in enumerate(values)}
    positions = np.array([places.get(value, np.nan) for value in column], dtype=np.float64)
    return ParameterAxis(name, positions, tuple(places.values()), tuple(show_value(value) for value in values))


def level_medians(axis: ParameterAxis, values: Any) -> list[tuple[float, float]]:
    """(tick, median of the finite values there) for each tick of the axis that has at least two of them."""
    numbers = np.asarray(values, dtype=np.float64)
    medians = []
    for tick in axis.ticks:
        here = numbers[(axis.positions == tick) & np.isfinite(numbers)]
        if len(here) > 1:
            medians.append((tick, float(np.median(here))))
    return medians


@dataclass(frozen=True)
class Curve:
    """A training's course."""

    iterations: FloatArray
    loss: FloatArray
    evaluated_at: FloatArray
    score: FloatArray
    """mIoU, or a classifier's share of images that are right."""


def training_curve(points: Sequence[CurvePoint]) -> Curve:
    """Loss at every noted iteration, and the validation score at those where it was evaluated."""
    scores = [point.miou if point.top1 is None else point.top1 for point in points]
    evaluated = [(point.iteration, score) for point, score in zip(points, scores, strict=True) if score is not None]
    return Curve(
        np.array([point.iteration for point in points], dtype=np.float64),
        np.array([point.loss for point in points], dtype=np.float64),
        np.array([iteration for iteration, _ in evaluated], dtype=np.float64),
        np.array([score for _, score in evaluated], dtype=np.float64),
    )


def show_value(value: Any) -> str:
    """A parameter's value in as few characters as it needs: 48, 0.35, `1-3`, yes."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.number):
        return "" if np.isnan(value) else f"{float(value):.4g}"
    return str(value)
