"""A plan's arms: their table and their figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from stdc_lab.analysis.arms import ARM_FIGURES, compare_arms
from stdc_lab.analysis.networks import scores_of
from stdc_lab.config.figures import FIGURES, Figure, figure_of
from stdc_lab.reporting.canvas import BLUE, GREY, INK, dress, legend_above, new_figure, say_nothing
from stdc_lab.reporting.figure_data import reference_trials
from stdc_lab.reporting.phrases import signed
from stdc_lab.reporting.tables import Cell, Row, Table, interval_cell, measure_cell

DOTS: dict[str, Any] = {"s": 16, "facecolor": "white", "edgecolor": GREY, "linewidth": 0.9, "zorder": 3}


@dataclass(frozen=True)
class ArmMarks:
    """What the figure shows of an arm."""

    name: str
    control: bool
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    """mIoU of each seed."""
    mean: float
    half: float
    """Of its 95 % interval; NaN with a single seed."""
    differences: tuple[float, ...]
    """To the control, of each seed that both have; none for the control."""
    difference: float
    difference_half: float


def arm_marks(frame: pd.DataFrame) -> list[ArmMarks]:
    """The arms with a finished training, in the plan's order, and every seed beside the means."""
    complete = frame[(frame["state"] == "COMPLETE") & frame["arm"].notna()].drop_duplicates(["arm", "seed"])
    by_seed = complete.pivot(index="seed", columns="arm", values="miou").sort_index()
    marks = []
    for arm in compare_arms(frame).to_dict("records"):
        if not arm["seeds"]:
            continue
        scores = by_seed[arm["arm"]].dropna()
        differences: tuple[float, ...] = ()
        control = str(frame.attrs["control"])
        if not arm["control"] and control in by_seed:
            differences = tuple((by_seed[arm["arm"]] - by_seed[control]).dropna())
        marks.append(
            ArmMarks(
                str(arm["arm"]),
                bool(arm["control"]),
                tuple(int(seed) for seed in scores.index),
                tuple(scores),
                float(arm["miou"]),
                float(arm["miou_high"] - arm["miou"]),
                differences,
                float(arm["miou_difference"]),
                float(arm["miou_difference_high"] - arm["miou_difference"]),
            )
        )
    return marks


def arms_figure(frame: pd.DataFrame, caption: str = "") -> Drawing:
    """A plan's arms, a line each: mIoU of every seed with mean and 95 % interval, and beside it the difference to the
    control arm, paired by seed. frame: as `load_study` gives it. caption: the protocol, put below."""
    marks = arm_marks(frame)
    figure = new_figure(8.6, 1.35 + 0.5 * max(1, len(marks)), caption)
    left, right = figure.subplots(1, 2, sharey=True)
    control = frame.attrs.get("control")
    dress(left, FIGURES["miou"].axis_title, "")
    dress(right, f"mIoU − {control}’s, paired by seed", "")
    if not marks:
        right.set_visible(False)
        return say_nothing(figure, left)
    right.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for row, arm in enumerate(marks):
        _line(left, row, arm.scores, arm.mean, arm.half)
        _line(right, row, arm.differences, arm.difference, arm.difference_half)
        if arm.control:
            right.annotate("control", (0, row), (6, 0), textcoords="offset points", va="center", color=GREY, fontsize=8)
    labels = [f"{arm.name} (n = {len(arm.seeds)})" for arm in marks]
    left.set_yticks(range(len(marks)), labels)
    left.set_ylim(len(marks) - 0.5, -0.5)
    _frame(left, [value for arm in marks for value in arm.scores])
    _frame(right, [0.0, *(value for arm in marks for value in arm.differences)])
    entries = [("one seed", GREY, "o "), ("mean over seeds", BLUE, "o"), ("its 95 % interval (Student’s t)", BLUE, "_")]
    legend_above(figure, entries, columns=3)
    return figure


def _line(axes: Axes, row: int, values: tuple[float, ...], mean: float, half: float) -> None:
    if not values:
        return
    # The seeds stand below the mean, so that neither hides the other.
    axes.scatter(values, np.full(len(values), row + 0.2), **DOTS)
    reach = None if math.isnan(half) else half
    axes.errorbar(
        mean, row, xerr=reach, fmt="o", color=BLUE, markersize=6.5, elinewidth=1.4, capsize=3.5,
        markeredgecolor="white", zorder=5,
    )  # fmt: skip


def _frame(axes: Axes, values: list[float]) -> None:
    """Let an interval leave the frame rather than press the seeds together: with two seeds it is very long."""
    low, high = min(values), max(values)
    room = 1.2 * (high - low) or 0.02
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, low - room), min(right, high + room))


def arms_table(frame: pd.DataFrame) -> Table:
    """The arms with mean, interval and paired difference to the control, then the references; a row each."""
    arms = compare_arms(frame)
    control = frame.attrs.get("control")
    scores = [figure_of(name) for name in scores_of(frame) if name == "miou" or arms[name].notna().any()]
    headings = [("Arm", "a reference by its name: trained once"), ("Seeds", "finished trainings")]
    for score in scores:
        title = score.heading
        headings += [
            (title, f"mean over the seeds, {score.unit.replace('–', ' to ')}"),
            (f"95 % of {title}", "interval of that mean, Student’s t over the seeds"),
            (f"{title} − {control}", "paired by seed: mean of the differences"),
            ("95 % of it", "interval of that difference, Student’s t over the pairs"),
        ]
    headings += [
        ("Pairs", f"seeds that the arm and {control} both have"),
        *((figure_of(name).heading, figure_of(name).meaning) for name in ARM_FIGURES),
    ]
    rows = [_arm_row(arm, scores) for arm in arms.to_dict("records")]
    for _, trial in reference_trials(frame).iterrows():
        arms_of_it = frame.loc[frame["network"] == trial["network"], "arm"].dropna()
        name = f"{trial['reference']} (the same as {arms_of_it.iloc[0]})" if len(arms_of_it) else trial["reference"]
        known = {"arm": name, "seeds": int(trial["network_seeds"]), "pairs": 0, "control": False}
        known |= {name: trial[name] for name in ARM_FIGURES}
        for name in (score.name for score in scores):
            known |= {name: trial[name], f"{name}_low": math.nan, f"{name}_high": math.nan}
            known |= {f"{name}_difference{end}": math.nan for end in ("", "_low", "_high")}
        known |= {"miou_low": trial["network_low"], "miou_high": trial["network_high"]}
        rows.append(Row(_arm_row(known, scores).cells, "reference"))
    return Table(tuple(headings), tuple(rows))


def _arm_row(arm: dict[Any, Any], scores: Sequence[Figure]) -> Row:
    cells = [
        Cell(f"{arm['arm']}{' (control)' if arm['control'] else ''}", str(arm["arm"]), number=False),
        Cell(str(arm["seeds"]), float(arm["seeds"])),
    ]
    for score in scores:
        name = score.name
        apart = float(arm[f"{name}_difference"])
        cells += [
            measure_cell(score, arm[name]),
            interval_cell(arm[f"{name}_low"], arm[f"{name}_high"]),
            Cell("–") if math.isnan(apart) else Cell(signed(apart), apart),
            interval_cell(arm[f"{name}_difference_low"], arm[f"{name}_difference_high"], signed),
        ]
    cells.append(Cell(str(arm["pairs"]), float(arm["pairs"])) if arm["pairs"] else Cell("–"))
    cells += [measure_cell(figure_of(name), arm[name]) for name in ARM_FIGURES]
    return Row(tuple(cells), "front" if arm["control"] else "")
