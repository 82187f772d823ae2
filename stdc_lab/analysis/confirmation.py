"""A front of single trainings is too good to be true: what fresh seeds make of it.

The best of many noisy values is in part the luckiest (winner's curse). Trainings with seeds that had no part in
choosing a network are free of that, and their means decide the confirmed front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from stdc_lab.analysis.pareto import BoolArray, pareto_front
from stdc_lab.config.objectives import Objective

SCORES = ("miou", "boundary_f")
"""Figures that depend on a training's seed, and of which more is better."""
CONFIDENCE = 0.95


def comparable_values(frame: pd.DataFrame, objectives: Sequence[Objective]) -> np.ndarray:
    """The objectives of the rows that may be on a front (complete, feasible, no fresh seed of another), N×M; NaN in
    the others."""
    values = frame[[objective.figure for objective in objectives]].to_numpy(dtype=np.float64, copy=True)
    counts = (frame["state"] == "COMPLETE") & frame["feasible"] & frame["confirms"].isna()
    values[~counts.to_numpy(dtype=bool)] = np.nan
    return values


def worth_confirming(frame: pd.DataFrame, objectives: Sequence[Objective], tie: float) -> BoolArray:
    """For each row of a study's frame: is it on the front, or would it be if its scores were higher by `tie`?"""
    values, maximize = comparable_values(frame, objectives), [one.maximize for one in objectives]
    raised = values + [tie if one.figure in SCORES and one.maximize else 0.0 for one in objectives]
    front = pareto_front(values, maximize)
    members = values[front]
    # A row of its own beside the front, for near ties must not hide one another.
    ties = [bool(pareto_front(np.vstack([row, members]), maximize)[0]) for row in raised]
    return np.asarray(front | np.array(ties, dtype=np.bool_))


def with_confirmations(frame: pd.DataFrame, objectives: Sequence[Objective]) -> pd.DataFrame:
    """The frame with what the fresh trainings of each row reached, and the confirmed front.

    `confirmed_seeds`: how many there are. `confirmed_miou`: their mean; `confirmed_low`, `confirmed_high`: its 95 %
    interval (Student's t; one standard deviation of seeds for all networks, pooled; none where no network has two).
    `confirmed_boundary_f`: the mean. `on_confirmed_front`: over the rows with fresh trainings, by their means.
    """
    fresh = frame[(frame["state"] == "COMPLETE") & frame["confirms"].notna()]
    groups = fresh.groupby(fresh["confirms"].astype("int64"))
    frame["confirmed_seeds"] = frame["number"].map(groups.size()).fillna(0).astype("int64")
    for score in SCORES:
        frame[f"confirmed_{score}"] = frame["number"].map(groups[score].mean()).astype("float64")
    deviation, freedom = seed_deviation(frame)
    reach = math.nan if not freedom else float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * deviation
    half = reach / np.sqrt(frame["confirmed_seeds"].where(frame["confirmed_seeds"] > 0))
    frame["confirmed_low"] = frame["confirmed_miou"] - half
    frame["confirmed_high"] = frame["confirmed_miou"] + half
    values = comparable_values(frame, objectives)
    for column, one in enumerate(objectives):
        if one.figure in SCORES:
            values[:, column] = frame[f"confirmed_{one.figure}"]
    values[(frame["confirmed_seeds"] == 0).to_numpy()] = np.nan
    frame["on_confirmed_front"] = pareto_front(values, [one.maximize for one in objectives])
    return frame


def seed_deviation(frame: pd.DataFrame) -> tuple[float, int]:
    """Standard deviation of mIoU over fresh seeds, pooled over the networks, and its degrees of freedom (0: none)."""
    fresh = frame[(frame["state"] == "COMPLETE") & frame["confirms"].notna()]
    groups = [values.to_numpy() for _, values in fresh.groupby("confirms")["miou"]]
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in groups)
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom


@dataclass(frozen=True)
class Curse:
    """By how much the trainings that put networks on the front were better than fresh ones of the same networks."""

    networks: int
    lead: float
    """Mean over the networks of first mIoU minus mean of the fresh ones."""
    low: float
    high: float
    """Its 95 % interval over the networks (Student's t); NaN with a single one."""


def winners_curse(frame: pd.DataFrame) -> Curse | None:
    """The lead of first trainings over fresh ones, over the members of the first front; None if none is confirmed."""
    members = frame[frame["on_front"] & (frame["confirmed_seeds"] > 0)]
    leads = (members["miou"] - members["confirmed_miou"]).to_numpy(dtype=np.float64)
    if not len(leads):
        return None
    half = math.nan
    if len(leads) > 1:
        reach = float(special.stdtrit(len(leads) - 1, (1 + CONFIDENCE) / 2))
        half = reach * float(np.std(leads, ddof=1)) / math.sqrt(len(leads))
    mean = float(leads.mean())
    return Curse(len(leads), mean, mean - half, mean + half)
