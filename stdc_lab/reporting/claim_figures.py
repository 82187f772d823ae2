"""The figures of a claim: its paired differences, the interval over the looks, and the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stdc_lab.analysis.claim_verdict import differences
from stdc_lab.analysis.networks import estimate
from stdc_lab.analysis.sequential import FIRST_LOOK, repeated_intervals
from stdc_lab.analysis.trainings_table import TrainingRow, table_of, whole_pairs
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.figures import CLASS_IOU, figure_of
from stdc_lab.reporting.canvas import BLUE, GREY, INK, VERMILLION, dress, legend_above, new_figure, say_nothing

NO_PAIRS = "no pair yet"


@dataclass(frozen=True)
class Looks:
    """A contrast seed by seed, and its interval at every look."""

    seeds: tuple[int, ...]
    apart: tuple[float, ...]
    """Of each seed, signed so that more is better."""
    pairs: tuple[int, ...]
    """How many of them each look saw."""
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True)
class ClassDifference:
    """By how much the IoU of a class differs, over the pairs."""

    name: str
    mean: float
    low: float
    high: float
    """Its 95 % interval by Student's t, of this class alone and not adjusted for the others."""
    level: float
    """Mean IoU over the arms and seeds."""


def looks_of(claim: TrainedClaim, protocol: str, rows: Sequence[TrainingRow]) -> Looks:
    """The claim's contrast over its pairs, looked at from the fourth on, up to the greatest number of seeds."""
    kept, _ = whole_pairs(rows, list(claim.arms))
    if not kept:
        return Looks((), (), (), (), (), ())
    frame = table_of(kept, list(claim.arms))
    of_contrast = frame[frame["arm"].isin(list(claim.weights))]
    complete = of_contrast.groupby("seed")[claim.metric].apply(lambda values: bool(values.notna().all()))
    frame = frame[frame["seed"].map(complete)]
    limit = claim.seeds_of(protocol)
    apart = differences(frame, claim.weights, claim.metric, claim.direction)[:limit]
    seeds = tuple(int(seed) for seed in sorted(frame["seed"].unique()))[:limit]
    if len(apart) < FIRST_LOOK:
        return Looks(seeds, tuple(apart.tolist()), (), (), (), ())
    lows, highs = repeated_intervals(apart[None], limit)
    pairs = tuple(range(FIRST_LOOK, len(apart) + 1))
    means = tuple(float(apart[:count].mean()) for count in pairs)
    return Looks(seeds, tuple(apart.tolist()), pairs, means, tuple(lows[0].tolist()), tuple(highs[0].tolist()))


def class_differences(claim: TrainedClaim, rows: Sequence[TrainingRow]) -> list[ClassDifference]:
    """The contrast on each class's IoU, in the order of the classes."""
    kept, _ = whole_pairs(rows, list(claim.arms))
    if not kept:
        return []
    frame = table_of(kept, list(claim.arms))
    found = []
    for column in (str(name) for name in frame.columns if str(name).startswith(CLASS_IOU)):
        apart = differences(frame, claim.weights, column, "maximize")
        one = estimate(apart)
        level = float(frame[column].mean())
        found.append(ClassDifference(column[len(CLASS_IOU) :], one.mean, one.low, one.high, level))
    return found


def looks_figure(claim: TrainedClaim, protocol: str, rows: Sequence[TrainingRow], caption: str = "") -> Figure:
    """Left: the difference of each pair. Right: mean and repeated 95 % interval at every look, against the margin."""
    looks = looks_of(claim, protocol, rows)
    figure = new_figure(8.6, 3.2, caption)
    left, right = figure.subplots(1, 2, sharey=True)
    unit = f"{figure_of(claim.metric).title}, treatment − control"
    dress(left, "Seed", unit)
    dress(right, "Pairs seen", "")
    if not looks.seeds:
        right.set_visible(False)
        return say_nothing(figure, left, NO_PAIRS)
    for axes in (left, right):
        _margin(axes, claim.margin)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.scatter(looks.seeds, looks.apart, s=30, facecolor=BLUE, edgecolor="white", linewidth=0.8, zorder=4)
    left.axhline(float(np.mean(looks.apart)), color=BLUE, linewidth=1.2, zorder=3)
    if looks.pairs:
        reach = np.array([np.subtract(looks.means, looks.lows), np.subtract(looks.highs, looks.means)])
        right.errorbar(
            looks.pairs, looks.means, yerr=reach, fmt="o", color=BLUE, markersize=5, elinewidth=1.3, capsize=3,
            markeredgecolor="white", zorder=4,
        )  # fmt: skip
    room = max(2.5 * claim.margin, 1.15 * float(np.abs(looks.apart).max()))
    left.set_ylim(-room, room)
    right.set_xlim(FIRST_LOOK - 1, claim.seeds_of(protocol) + 1)
    entries = [("a pair; line: mean", BLUE, "o"), ("repeated 95 % interval", BLUE, "_"), ("margin", GREY, "s")]
    legend_above(figure, entries, columns=3)
    return figure


def classes_figure(claim: TrainedClaim, rows: Sequence[TrainingRow], caption: str = "") -> Figure:
    """The difference in IoU of every class, with its plain 95 % interval; rare classes say less."""
    found = class_differences(claim, rows)
    figure = new_figure(6.6, 1.1 + 0.27 * max(3, len(found)), caption)
    axes = figure.subplots()
    dress(axes, "IoU, treatment − control", "")
    if not found:
        return say_nothing(figure, axes, NO_PAIRS)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for row, one in enumerate(found):
        known = not np.isnan(one.low)
        reach = np.array([[one.mean - one.low], [one.high - one.mean]]) if known else None
        axes.errorbar(
            one.mean, row, xerr=reach, fmt="o", color=BLUE, markersize=5.5, elinewidth=1.3, capsize=3,
            markeredgecolor="white", zorder=4,
        )  # fmt: skip
    axes.set_yticks(range(len(found)), [f"{one.name} ({one.level:.2f})" for one in found])
    axes.set_ylim(len(found) - 0.5, -0.5)
    legend_above(figure, [("mean over the pairs", BLUE, "o"), ("its 95 % interval", BLUE, "_")], columns=2)
    return figure


def _margin(axes: Axes, margin: float) -> None:
    axes.axhspan(-margin, margin, color=GREY, alpha=0.16, linewidth=0, zorder=1)
    axes.axhline(0, color=INK, linewidth=0.9, zorder=2)
    for edge in (-margin, margin):
        axes.axhline(edge, color=VERMILLION, linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
