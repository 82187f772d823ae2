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
    confirmed_networks,
    finished_networks,
    front_members,
    front_steps,
    further_figures,
    is_plan,
    latency_title,
    latency_warning,
    level_medians,
    parameter_axis,
    rank_correlation,
    trades_miou_for_latency,
    training_curve,
)

BESIDE: dict[str, Any] = {**FRONT, "facecolor": GREY, "marker": "s", "s": 34}
"""Trained again, though not on the front."""
MARKS = [("trial", GREY, "o"), ("on the front", BLUE, "o"), ("reference network", VERMILLION, "D")]


def pareto_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """mIoU over latency (ms) of a study's finished networks, with front and references; darker grey is more MACs.

    frame: as `load_study` gives it. caption: the protocol, put below. A warning stands above where latencies
    are not comparable. The line is drawn only where mIoU and latency are the study's objectives. A network that was
    trained with several seeds is one point, at their mean with its interval. Fresh seeds are means with intervals
    beside the hollow marks of the trainings by which networks were chosen; the line stays that of the choice.
    """
    confirmed = confirmed_networks(frame)
    figure = new_figure(7.2, 4.7, caption, latency_warning(frame), legend=0.3 if confirmed.empty else 0.46)
    axes = figure.subplots()
    finished, front = finished_networks(frame), front_members(frame)
    references = finished[finished["reference"].notna()]
    dress(axes, latency_title(frame), FIGURES["miou"].axis_title)
    if finished.empty:
        return say_nothing(figure, axes)
    is_plain = ~finished["on_front"] & finished["reference"].isna() & (finished["confirmed_seeds"] == 0)
    plain = finished[is_plain]
    giga = plain["macs"] / 1e9
    if giga.nunique() > 1:
        shade = mpl.colors.LinearSegmentedColormap.from_list("greys", ["#f4f4f4", "#3a3a3a"])
        norm = mpl.colors.Normalize(giga.min(), giga.max())
        axes.scatter(plain["latency_ms"], plain["miou"], c=giga, cmap=shade, norm=norm, **TRIAL)
        bar = figure.colorbar(mpl.cm.ScalarMappable(norm, shade), ax=axes, fraction=0.035, pad=0.015, aspect=32)
        bar.set_label("MACs of the other trials (10⁹)", fontsize=8, color=INK)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_linewidth(0.4)
    else:
        axes.scatter(plain["latency_ms"], plain["miou"], facecolor=GREY, **TRIAL)
    stepped = trades_miou_for_latency(frame)
    steps = front_steps(front if stepped else front.head(0))
    axes.plot(*steps, color=BLUE, linewidth=1.4, linestyle="-" if confirmed.empty else "--", zorder=3)
    entries = [
        ("arm" if is_plan(frame) else "trial", GREY, "o"),
        ("front", BLUE, "o-" if stepped else "o"),
        ("reference network", VERMILLION, "D"),
    ]
    members = front[front["reference"].isna()]
    if confirmed.empty:
        axes.scatter(members["latency_ms"], members["miou"], **FRONT)
        axes.scatter(references["latency_ms"], references["miou"], **REFERENCE)
    else:
        entries = _with_fresh_seeds(axes, finished)
        members = members.assign(miou=members["confirmed_miou"].fillna(members["miou"]))
        references = references.assign(miou=references["confirmed_miou"].fillna(references["miou"]))
    several = finished[(finished["network_seeds"] > 1) & (finished["confirmed_seeds"] == 0)]
    _intervals(axes, several, "network")
    if len(several) and confirmed.empty:
        entries.append(("95 % interval over seeds", INK, "|"))
    log_if_wide(axes, finished["latency_ms"])
    axes.margins(0.07, 0.1)
    _keep_points_apart(axes, np.concatenate([finished["miou"], finished["confirmed_miou"].dropna()]))
    legend_above(figure, entries, columns=3 if len(entries) != 4 else 4)
    arms = finished[finished["arm"].notna() & ~finished["on_front"] & finished["reference"].isna()]
    labelled = pd.concat([references, members, arms])
    along = np.linspace(0, 1, 33)
    bars = [confirmed["confirmed_low"] * (1 - at) + confirmed["confirmed_high"] * at for at in along]
    marks = [
        plain,
        *(confirmed.assign(miou=values) for values in (confirmed["miou"], confirmed["confirmed_miou"], *bars)),
        *(several.assign(miou=several["network_low"] * (1 - at) + several["network_high"] * at) for at in along),
    ]
    visible = np.vstack([*(rows[["latency_ms", "miou"]].dropna().to_numpy() for rows in marks), along_line(*steps)])
    label_marks(figure, axes, labelled, visible)
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, of: str) -> None:
    """The 95 % intervals of means over seeds, upright. of: `network` or `confirmed`, whose columns they are."""
    mean = rows[f"{of}_miou"]
    half = (rows[f"{of}_high"] - mean).fillna(0.0)
    axes.errorbar(rows["latency_ms"], mean, half, fmt="none", ecolor=INK, elinewidth=0.9, capsize=2.5, zorder=4)


def _keep_points_apart(axes: Axes, points: Any) -> None:
    """Let intervals leave the frame rather than press the points together: with two seeds they are very long."""
    low, high = float(np.min(points)), float(np.max(points))
    room = 1.2 * (high - low) or 0.05
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _with_fresh_seeds(axes: Axes, finished: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Means of fresh seeds with their intervals beside the hollow marks of the trainings that chose; gives the
    legend."""
    is_reference, again = finished["reference"].notna(), finished["confirmed_seeds"] > 0
    hollow: dict[str, Any] = {"facecolor": "white", "zorder": 4, "s": 34, "linewidth": 1.1}
    chosen = finished["on_front"] | again
    for mark, colour, rows in (("o", BLUE, chosen & ~is_reference), ("D", VERMILLION, is_reference & again)):
        shown = finished[rows]
        axes.scatter(shown["latency_ms"], shown["miou"], marker=mark, edgecolor=colour, **hollow)
    confirmed = finished[again]
    axes.vlines(
        confirmed["latency_ms"], confirmed["miou"], confirmed["confirmed_miou"],
        color=GREY, linewidth=0.8, linestyle=":", zorder=3,
    )  # fmt: skip
    _intervals(axes, confirmed, "confirmed")
    groups = (
        (again & finished["on_front"] & ~is_reference, "confirmed_miou", FRONT),
        (again & ~finished["on_front"] & ~is_reference, "confirmed_miou", BESIDE),
        (again & is_reference, "confirmed_miou", REFERENCE),
        (~again & is_reference, "miou", REFERENCE),
    )
    for rows, column, style in groups:
        axes.scatter(finished.loc[rows, "latency_ms"], finished.loc[rows, column], **style)
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
