"""The figures of a report. Each takes data, draws, and gives a `Figure`; nothing touches pyplot's global state."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.config.figures import FIGURES
from stdc_lab.config.figures import Figure as Measured
from stdc_lab.records import Computing, CurvePoint, mixed_computing
from stdc_lab.reporting.canvas import (
    BLUE,
    FRONT,
    GREY,
    INK,
    REFERENCE,
    TRIAL,
    VERMILLION,
    dress,
    label_marks,
    legend_above,
    log_if_wide,
    new_figure,
    say_nothing,
)
from stdc_lab.reporting.figure_data import (
    along_line,
    finished_networks,
    further_figures,
    is_plan,
    latency_title,
    latency_warning,
    level_medians,
    parameter_axis,
    rank_correlation,
    training_curve,
)
from stdc_lab.reporting.pareto_data import POINT, front_steps, pareto_axes, pareto_points

BESIDE: dict[str, Any] = {**FRONT, "facecolor": GREY, "marker": "s", "s": 34}
"""Trained again, though not on the front."""
MARKS = [("trial", GREY, "o"), ("on the front", BLUE, "o"), ("reference network", VERMILLION, "D")]


def pareto_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """What a study's finished networks reach over what they cost, with front and references; darker grey is more MACs.

    frame: as `load_study` gives it. The axes are the study's objectives, see `pareto_axes`: mIoU over latency (ms)
    unless it has others. caption: the protocol, put below. A warning stands above where latencies are not comparable.
    The line is drawn only where both axes are all of the study's objectives. A network that was trained with several
    seeds is one point, at their mean with its interval. Fresh seeds are means with intervals beside the hollow marks
    of the trainings by which networks were chosen; the line stays that of the choice.
    """
    of, points = pareto_axes(frame), pareto_points(frame)
    confirmed, references = points[points["confirmed_seeds"] > 0], points[points["reference"].notna()]
    warning = latency_warning(frame) if of.cost.scatters else None
    figure = new_figure(7.2, 4.7, caption, warning, legend=0.3 if confirmed.empty else 0.46)
    axes = figure.subplots()
    dress(axes, of.cost_title, of.score.axis_title)
    if points.empty:
        return say_nothing(figure, axes)
    front = points[points["on_front"]]
    plain = points[~points["on_front"] & points["reference"].isna() & (points["confirmed_seeds"] == 0)]
    _shaded(figure, axes, plain, by_macs=of.cost.name != "macs")
    steps = front_steps(front if of.stepped else front.head(0))
    axes.plot(*steps, color=BLUE, linewidth=1.4, linestyle="-" if confirmed.empty else "--", zorder=3)
    entries = [
        ("arm" if is_plan(frame) else "trial", GREY, "o"),
        ("front", BLUE, "o-" if of.stepped else "o"),
        ("reference network", VERMILLION, "D"),
    ]
    members = front[front["reference"].isna()]
    if confirmed.empty:
        axes.scatter(members["x"], members["y"], **FRONT)
        axes.scatter(references["x"], references["y"], **REFERENCE)
    else:
        entries = _with_fresh_seeds(axes, points)
        members = members.assign(y=members["fresh"].fillna(members["y"]))
        references = references.assign(y=references["fresh"].fillna(references["y"]))
    several = points[(points["network_seeds"] > 1) & (points["confirmed_seeds"] == 0)]
    _intervals(axes, several, "y")
    if several["y_high"].notna().any() and confirmed.empty:
        entries.append(("95 % interval over seeds", INK, "|"))
    log_if_wide(axes, points["x"])
    axes.margins(0.07, 0.1)
    _keep_points_apart(axes, np.concatenate([points["y"], points["fresh"].dropna()]))
    legend_above(figure, entries, columns=3 if len(entries) != 4 else 4)
    arms = points[points["arm"].notna() & ~points["on_front"] & points["reference"].isna()]
    along = np.linspace(0, 1, 33)
    marks = [
        plain,
        *(confirmed.assign(y=values) for values in (confirmed["y"], confirmed["fresh"])),
        *(confirmed.assign(y=confirmed["fresh_low"] * (1 - at) + confirmed["fresh_high"] * at) for at in along),
        *(several.assign(y=several["y_low"] * (1 - at) + several["y_high"] * at) for at in along),
    ]
    visible = np.vstack([*(rows[[*POINT]].dropna().to_numpy() for rows in marks), along_line(*steps)])
    label_marks(figure, axes, pd.concat([references, members, arms]), visible)
    return figure


def _shaded(figure: Figure, axes: Axes, plain: pd.DataFrame, *, by_macs: bool) -> None:
    """What is neither on the front nor a reference; by_macs: the darker, the more MACs."""
    giga = plain["macs"] / 1e9
    if not by_macs or giga.nunique() < 2:
        axes.scatter(plain["x"], plain["y"], facecolor=GREY, **TRIAL)
        return
    shade = mpl.colors.LinearSegmentedColormap.from_list("greys", ["#f4f4f4", "#3a3a3a"])
    norm = mpl.colors.Normalize(giga.min(), giga.max())
    axes.scatter(plain["x"], plain["y"], c=giga, cmap=shade, norm=norm, **TRIAL)
    bar = figure.colorbar(mpl.cm.ScalarMappable(norm, shade), ax=axes, fraction=0.035, pad=0.015, aspect=32)
    bar.set_label("MACs of the other trials (10⁹)", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.4)


def _intervals(axes: Axes, rows: pd.DataFrame, of: str) -> None:
    """The 95 % intervals of means over seeds, upright. of: `y` or `fresh`, whose they are."""
    half = (rows[f"{of}_high"] - rows[of]).fillna(0.0)
    axes.errorbar(rows["x"], rows[of], half, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5, zorder=4)


def _keep_points_apart(axes: Axes, points: Any) -> None:
    """Let intervals leave the frame rather than press the points together: with two seeds they are very long."""
    low, high = float(np.min(points)), float(np.max(points))
    room = 1.2 * (high - low) or 0.05
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _with_fresh_seeds(axes: Axes, points: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Means of fresh seeds with their intervals beside the hollow marks of the trainings that chose; gives the
    legend."""
    is_reference, again = points["reference"].notna(), points["confirmed_seeds"] > 0
    hollow: dict[str, Any] = {"facecolor": "white", "zorder": 4, "s": 34, "linewidth": 1.1}
    chosen = points["on_front"] | again
    for mark, colour, rows in (("o", BLUE, chosen & ~is_reference), ("D", VERMILLION, is_reference & again)):
        shown = points[rows]
        axes.scatter(shown["x"], shown["y"], marker=mark, edgecolor=colour, **hollow)
    confirmed = points[again]
    between = confirmed["x"], confirmed["y"], confirmed["fresh"]
    axes.vlines(*between, color=GREY, linewidth=0.8, linestyle=":", zorder=3)
    _intervals(axes, confirmed, "fresh")
    groups = (
        (again & points["on_front"] & ~is_reference, "fresh", FRONT),
        (again & ~points["on_front"] & ~is_reference, "fresh", BESIDE),
        (again & is_reference, "fresh", REFERENCE),
        (~again & is_reference, "y", REFERENCE),
    )
    for rows, column, style in groups:
        axes.scatter(points.loc[rows, "x"], points.loc[rows, column], **style)
    return [
        ("trial", GREY, "o"),
        ("front as chosen, first trainings", BLUE, "o "),
        ("its members, fresh seeds", BLUE, "o"),
        ("near tie or control, fresh seeds", GREY, "s"),
        ("reference network", VERMILLION, "D"),
        ("95 % interval over fresh seeds", INK, "|"),
    ]


def macs_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """mIoU over MACs and latency (ms) over MACs, in 10⁹, side by side, with the rank correlation of each pair."""
    figure = new_figure(9.0, 3.7, caption, latency_warning(frame))
    panels = figure.subplots(1, 2)
    finished = finished_networks(frame)
    labels = {"miou": FIGURES["miou"].axis_title, "latency_ms": latency_title(frame)}
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        dress(axes, FIGURES["macs"].axis_title, label)
        if finished["macs"].notna().any():
            _scatter(axes, finished, finished["macs"] / 1e9, column)
            correlation, count = rank_correlation(frame, "macs", column), int(finished["macs"].count())
            if not math.isnan(correlation):
                axes.set_title(f"Spearman’s ρ = {correlation:.2f}, n = {count}", fontsize=8.5, loc="right", color=INK)
            if column == "latency_ms":
                axes.set_ylim(bottom=0)
        else:
            say_nothing(figure, axes)
    if not finished.empty:
        legend_above(
            figure, [("trial", GREY, "o"), ("on the front", BLUE, "o"), ("reference network", VERMILLION, "D")]
        )
    return figure


def parameters_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """Each varied parameter against mIoU, below it latency and the study's further objectives, with the median of each
    value.

    References count in no median: they were not drawn from the space.
    """
    names = varied_parameters(frame)
    finished = finished_networks(frame)
    across = min(3, max(1, len(names)))
    down = max(1, math.ceil(len(names) / across))
    shown = [FIGURES["miou"], FIGURES["latency_ms"], *further_figures(frame)]
    figure = new_figure(3.1 * across + 0.4, 1.65 * len(shown) * down + 0.3, caption, latency_warning(frame))
    panels = figure.subplots(len(shown) * down, across, squeeze=False, sharey=False)
    if not names or finished.empty:
        for axes in panels.flat:
            axes.set_visible(False)
        panels.flat[0].set_visible(True)
        return say_nothing(figure, panels.flat[0])
    for place in range(down * across):
        row, column = divmod(place, across)
        stack = list(panels[len(shown) * row : len(shown) * (row + 1), column])
        if place < len(names):
            _parameter_stack(stack, shown, frame, names[place], first=column == 0)
        else:
            for axes in stack:
                axes.set_visible(False)
    legend_above(
        figure,
        [
            *MARKS,
            ("median of the searched trials", INK, "_"),
        ],
    )
    return figure


def curve_figure(
    points: Sequence[CurvePoint], iterations: int, caption: str = "", computed: Sequence[Computing] = ()
) -> Figure:
    """Training loss and validation score over the iterations of one training; caption: its protocol, put below.

    computed: on and in what; where that changed on the way, a warning says so and a line stands there.
    """
    curve = training_curve(points)
    figure = new_figure(7.2, 2.6, caption, mixed_computing(computed), legend=0.05)
    left, right = figure.subplots(1, 2)
    dress(left, "Iteration", "Training loss")
    classifier = any(point.top1 is not None for point in points)
    dress(right, "Iteration", "Top-1 accuracy (validation, 0–1)" if classifier else FIGURES["miou"].axis_title)
    if len(curve.iterations):
        left.plot(curve.iterations, curve.loss, color=INK, linewidth=1.1)
        left.set_ylim(bottom=0)
    else:
        say_nothing(figure, left, "no curve was kept")
    if len(curve.evaluated_at):
        right.plot(curve.evaluated_at, curve.score, color=BLUE, linewidth=1.2, marker="o", markersize=4.5)
        right.set_ylim(0, max(0.05, float(curve.score.max()) * 1.12))
    else:
        say_nothing(figure, right, "not evaluated on the way")
    for axes in (left, right):
        axes.set_xlim(0, iterations * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        for stretch in computed[1:]:
            axes.axvline(stretch.after, color=VERMILLION, linewidth=1.0, linestyle="--")
    return figure


def _scatter(axes: Axes, finished: pd.DataFrame, x: Any, column: str, size: float = 1.0) -> None:
    """All finished networks; those on the front and the references in their own colour and shape."""
    x = pd.Series(x, index=finished.index)
    is_reference = finished["reference"].notna()
    groups = (
        (~finished["on_front"] & ~is_reference, {**TRIAL, "facecolor": "#c9c9c9"}),
        (finished["on_front"] & ~is_reference, FRONT),
        (is_reference, REFERENCE),
    )
    for chosen, style in groups:
        axes.scatter(x[chosen], finished.loc[chosen, column], **{**style, "s": style["s"] * size})


def _parameter_stack(
    stack: Sequence[Axes], shown: Sequence[Measured], frame: pd.DataFrame, name: str, *, first: bool
) -> None:
    finished, axis = finished_networks(frame), parameter_axis(frame, name)
    # Marks of one value are set apart sideways, always in the same way, so that none hides the others.
    aside = 0.4 * ((np.arange(len(finished)) * 0.618) % 1 - 0.5) if axis.ticks else 0.0
    searched = finished["reference"].isna()
    for axes, one in zip(stack, shown, strict=True):
        last, values = one is shown[-1], finished[one.name] / one.divisor
        dress(axes, name if last else "", one.short_axis_title if first else "")
        _scatter(axes, finished.assign(**{one.name: values}), axis.positions + aside, one.name, size=0.6)
        for tick, median in level_medians(axis, values.where(searched)):
            axes.plot([tick - 0.28, tick + 0.28], [median, median], color=INK, linewidth=1.6, zorder=7)
        if axis.ticks:
            axes.set_xticks(axis.ticks, [textwrap.shorten(text, 12, placeholder="…") for text in axis.labels])
            axes.set_xlim(-0.6, len(axis.ticks) - 0.4)
            if max(map(len, axis.labels)) * len(axis.labels) > 30:
                axes.tick_params(axis="x", rotation=35)
        if not last:
            axes.tick_params(labelbottom=False)
        if values.isna().all():
            continue
        low, high = values.min(), values.max()
        pad = 0.07 * (high - low) or 0.05 * abs(high) or 0.01
        axes.set_ylim(low - pad, high + pad)
        axes.yaxis.set_major_locator(MaxNLocator(5))
