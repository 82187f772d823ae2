"""What the figure of a study's front shows: which two figures it plots, and every network's point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stdc_lab.config.figures import FIGURES, Figure, figure_of
from stdc_lab.config.objectives import parse_objective
from stdc_lab.reporting.figure_data import aims, finished_networks, latency_title

POINT = ("x", "y")


@dataclass(frozen=True)
class ParetoAxes:
    """The two figures that a front is drawn by: what a network costs, over which stands what it reaches."""

    cost: Figure
    cost_title: str
    score: Figure
    stepped: bool
    """Whether these are the study's objectives, each in its usual direction, so that a line through the front means
    something."""

    @property
    def in_words(self) -> str:
        """`mIoU against latency`."""
        return f"{self.score.title} against {self.cost.in_words}"


def pareto_axes(frame: pd.DataFrame) -> ParetoAxes:
    """The first score among a study's objectives and the first other figure; mIoU and latency for what is not there."""
    objectives = [figure_of(parse_objective(text).figure) for text in aims(frame)]
    score = next((one for one in objectives if one.by_seed), FIGURES["miou"])
    cost = next((one for one in objectives if not one.by_seed), FIGURES["latency_ms"])
    title = latency_title(frame) if cost.name == "latency_ms" else cost.axis_title
    return ParetoAxes(cost, title, score, sorted(aims(frame)) == sorted((cost.name, score.name)))


def pareto_points(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished networks with their points, those of least cost first; one whose point is not known is left out.

    Added columns, in the units of the axes: `x` its cost; `y` its score, the mean over its seeds, with `y_low` and
    `y_high`; `fresh`, `fresh_low`, `fresh_high` of fresh seeds. Intervals are known of mIoU only, else NaN.
    """
    axes, finished = pareto_axes(frame), finished_networks(frame)
    name, columns = axes.score.name, {}
    for of, drawn in (("network", "y"), ("confirmed", "fresh")):
        for end in ("low", "high"):
            known = finished[f"{of}_{end}"] if name == "miou" else np.nan
            columns[f"{drawn}_{end}"] = known / axes.score.divisor
    points = finished.assign(
        x=finished[axes.cost.name] / axes.cost.divisor,
        y=finished[name] / axes.score.divisor,
        fresh=finished[f"confirmed_{name}"] / axes.score.divisor,
        **columns,
    )
    return points.dropna(subset=list(POINT)).sort_values(["x", "y", "number"])


def front_steps(front: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the front's stepped line, from its points in the order of cost: the best that is known up to one."""
    x, y = (front[name].to_numpy(dtype=np.float64) for name in POINT)
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
