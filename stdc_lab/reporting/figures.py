"""The figures of a report. Each takes data, draws, and gives a `Figure`; nothing touches pyplot's global state."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.records import CurvePoint
from stdc_lab.reporting.figure_data import (
    FloatArray,
    along_line,
    finished_trials,
    front_members,
    front_steps,
    latency_warning,
    level_medians,
    parameter_axis,
    rank_correlation,
    reference_trials,
    trades_miou_for_latency,
    training_curve,
)
from stdc_lab.reporting.label_placement import Box, place_labels

# Of Okabe and Ito's palette, which the colour-blind tell apart; marks differ in shape as well.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GREY, FAINT = "#222222", "#8a8a8a", "#e4e4e4"
DPI = 150
NOTHING = "no finished trial yet"
FRONT: dict[str, Any] = {"marker": "o", "s": 46, "facecolor": BLUE, "edgecolor": "white", "linewidth": 0.8, "zorder": 5}
REFERENCE: dict[str, Any] = {
    "marker": "D",
    "s": 52,
    "facecolor": VERMILLION,
    "edgecolor": "white",
    "linewidth": 0.8,
    "zorder": 6,
}
TRIAL: dict[str, Any] = {"marker": "o", "s": 26, "edgecolor": "#6b6b6b", "linewidth": 0.5, "zorder": 3}


def pareto_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """mIoU over latency (ms) of a study's finished trials, with front and references; darker grey is more MACs.

    frame: as `load_study` gives it. caption: the protocol, put below. A warning stands above where latencies
    are not comparable. The line is drawn only where mIoU and latency are the study's objectives.
    """
    figure = _figure(7.2, 4.7, caption, latency_warning(frame))
    axes = figure.subplots()
    finished, front, references = finished_trials(frame), front_members(frame), reference_trials(frame)
    _dress(axes, "Latency at batch 1 (ms, median)", "mIoU (validation, 0–1)")
    if finished.empty:
        return _say_nothing(figure, axes)
    plain = finished[~finished["on_front"] & finished["reference"].isna()]
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
    axes.plot(*steps, color=BLUE, linewidth=1.4, zorder=4)
    members = front[front["reference"].isna()]
    axes.scatter(members["latency_ms"], members["miou"], **FRONT)
    axes.scatter(references["latency_ms"], references["miou"], **REFERENCE)
    _log_if_wide(axes, finished["latency_ms"])
    axes.margins(0.07, 0.1)
    _legend(
        figure,
        [("trial", GREY, "o"), ("front", BLUE, "o-" if stepped else "o"), ("reference network", VERMILLION, "D")],
    )
    labelled = pd.concat([references, members])
    visible = np.vstack([plain[["latency_ms", "miou"]].to_numpy(), along_line(*steps)])
    _label(figure, axes, labelled, visible)
    return figure


def macs_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """mIoU over MACs and latency (ms) over MACs, in 10⁹, side by side, with the rank correlation of each pair."""
    figure = _figure(9.0, 3.7, caption, latency_warning(frame))
    panels = figure.subplots(1, 2)
    finished = finished_trials(frame)
    labels = {"miou": "mIoU (validation, 0–1)", "latency_ms": "Latency at batch 1 (ms, median)"}
    for axes, (column, label) in zip(panels, labels.items(), strict=True):
        _dress(axes, "MACs (10⁹)", label)
        if finished["macs"].notna().any():
            _scatter(axes, finished, finished["macs"] / 1e9, column)
            correlation, count = rank_correlation(frame, "macs", column), int(finished["macs"].count())
            if not math.isnan(correlation):
                axes.set_title(f"Spearman’s ρ = {correlation:.2f}, n = {count}", fontsize=8.5, loc="right", color=INK)
            if column == "latency_ms":
                axes.set_ylim(bottom=0)
        else:
            _say_nothing(figure, axes)
    if not finished.empty:
        _legend(figure, [("trial", GREY, "o"), ("on the front", BLUE, "o"), ("reference network", VERMILLION, "D")])
    return figure


def parameters_figure(frame: pd.DataFrame, caption: str = "") -> Figure:
    """Each varied parameter against mIoU (upper panel) and latency in ms (lower), with the median of each value.

    References count in no median: they were not drawn from the space.
    """
    names = varied_parameters(frame)
    finished = finished_trials(frame)
    across = min(3, max(1, len(names)))
    down = max(1, math.ceil(len(names) / across))
    figure = _figure(3.1 * across + 0.4, 3.3 * down + 0.3, caption, latency_warning(frame))
    panels = figure.subplots(2 * down, across, squeeze=False, sharey=False)
    if not names or finished.empty:
        for axes in panels.flat:
            axes.set_visible(False)
        panels.flat[0].set_visible(True)
        return _say_nothing(figure, panels.flat[0])
    for place in range(down * across):
        row, column = divmod(place, across)
        pair = (panels[2 * row, column], panels[2 * row + 1, column])
        if place < len(names):
            _parameter_pair(pair, frame, names[place], first=column == 0)
        else:
            for axes in pair:
                axes.set_visible(False)
    _legend(
        figure,
        [
            ("trial", GREY, "o"),
            ("on the front", BLUE, "o"),
            ("reference network", VERMILLION, "D"),
            ("median of the searched trials", INK, "_"),
        ],
    )
    return figure


def curve_figure(points: Sequence[CurvePoint], iterations: int, caption: str = "") -> Figure:
    """Training loss and validation score over the iterations of one training; caption: its protocol, put below."""
    curve = training_curve(points)
    figure = _figure(7.2, 2.6, caption, legend=0.05)
    left, right = figure.subplots(1, 2)
    _dress(left, "Iteration", "Training loss")
    classifier = any(point.top1 is not None for point in points)
    _dress(right, "Iteration", "Top-1 accuracy (validation, 0–1)" if classifier else "mIoU (validation, 0–1)")
    if len(curve.iterations):
        left.plot(curve.iterations, curve.loss, color=INK, linewidth=1.1)
        left.set_ylim(bottom=0)
    else:
        _say_nothing(figure, left, "no curve was kept")
    if len(curve.evaluated_at):
        right.plot(curve.evaluated_at, curve.score, color=BLUE, linewidth=1.2, marker="o", markersize=4.5)
        right.set_ylim(0, max(0.05, float(curve.score.max()) * 1.12))
    else:
        _say_nothing(figure, right, "not evaluated on the way")
    for axes in (left, right):
        axes.set_xlim(0, iterations * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def save_png(figure: Figure, path: Path) -> bytes:
    """Write a figure as PNG, whole or not at all, and give its bytes. Raises OSError if it cannot be written."""
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
    partial.replace(path)
    return path.read_bytes()


def _figure(width: float, height: float, caption: str = "", warning: str | None = None, legend: float = 0.3) -> Figure:
    """An empty figure (inches) with the caption below, a warning above, and room for both and for a legend."""
    lines = textwrap.wrap(caption, int(width * 16.5))
    alarm = textwrap.wrap(f"⚠ {warning}", int(width * 11)) if warning else []
    below, above = 0.17 * len(lines) + 0.05, 0.19 * len(alarm) + legend
    total = height + below + above
    figure = Figure(figsize=(width, total), layout="constrained", facecolor="white")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, below / total, 1, height / total), w_pad=0.06, h_pad=0.06)  # type: ignore[call-arg]
    if lines:
        figure.text(0.012, 0.06 / total, "\n".join(lines), fontsize=7.5, color="#555555", va="bottom", linespacing=1.25)
    if alarm:
        figure.text(
            0.012, 1 - 0.06 / total, "\n".join(alarm), fontsize=9, color=VERMILLION, fontweight="bold", va="top"
        )
    figure.stdc_legend_y = 1 - (0.19 * len(alarm) + 0.02) / total  # type: ignore[attr-defined]
    return figure


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=9.5, color=INK)
    axes.set_ylabel(y_label, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def _say_nothing(figure: Figure, axes: Axes, words: str = NOTHING) -> Figure:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=11)
    return figure


def _scatter(axes: Axes, finished: pd.DataFrame, x: Any, column: str, size: float = 1.0) -> None:
    """All finished trials; those on the front and the references in their own colour and shape."""
    x = pd.Series(x, index=finished.index)
    is_reference = finished["reference"].notna()
    groups = (
        (~finished["on_front"] & ~is_reference, {**TRIAL, "facecolor": "#c9c9c9"}),
        (finished["on_front"] & ~is_reference, FRONT),
        (is_reference, REFERENCE),
    )
    for chosen, style in groups:
        axes.scatter(x[chosen], finished.loc[chosen, column], **{**style, "s": style["s"] * size})


def _parameter_pair(pair: tuple[Axes, Axes], frame: pd.DataFrame, name: str, *, first: bool) -> None:
    finished, axis = finished_trials(frame), parameter_axis(frame, name)
    # Marks of one value are set apart sideways, always in the same way, so that none hides the others.
    aside = 0.4 * ((np.arange(len(finished)) * 0.618) % 1 - 0.5) if axis.ticks else 0.0
    searched = finished["reference"].isna()
    for axes, column, label in zip(pair, ("miou", "latency_ms"), ("mIoU", "Latency (ms)"), strict=True):
        _dress(axes, name if column == "latency_ms" else "", label if first else "")
        _scatter(axes, finished, axis.positions + aside, column, size=0.6)
        for tick, median in level_medians(axis, finished[column].where(searched)):
            axes.plot([tick - 0.28, tick + 0.28], [median, median], color=INK, linewidth=1.6, zorder=7)
        if axis.ticks:
            axes.set_xticks(axis.ticks, [textwrap.shorten(text, 12, placeholder="…") for text in axis.labels])
            axes.set_xlim(-0.6, len(axis.ticks) - 0.4)
            if max(map(len, axis.labels)) * len(axis.labels) > 30:
                axes.tick_params(axis="x", rotation=35)
        if column == "miou":
            axes.tick_params(labelbottom=False)
        low, high = finished[column].min(), finished[column].max()
        pad = 0.07 * (high - low) or 0.05 * abs(high) or 0.01
        axes.set_ylim(low - pad, high + pad)
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _log_if_wide(axes: Axes, values: Any) -> None:
    low, high = float(np.min(values)), float(np.max(values))
    if low > 0 and high / low > 12:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))


def _legend(figure: Figure, entries: Sequence[tuple[str, str, str]]) -> None:
    """A line of marks with their meaning above the panels. entries: text, colour, mark (`o-` with a line)."""
    handles = [
        mpl.lines.Line2D(
            [],
            [],
            color=colour,
            marker=mark[0],
            linestyle="-" if mark.endswith("-") else "none",
            markersize=10 if mark == "_" else 6,
            markeredgewidth=1.8 if mark == "_" else 0.6,
            markeredgecolor=colour if mark == "_" else "white",
            label=text,
        )
        for text, colour, mark in entries
    ]
    top = figure.stdc_legend_y  # type: ignore[attr-defined]
    figure.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, top), ncols=4, frameon=False, fontsize=8.5
    ).set_in_layout(False)


def _label_texts(labelled: pd.DataFrame) -> list[str]:
    """`stdc1` for a reference, `#12` for another trial."""
    pairs = zip(labelled["number"], labelled["reference"], strict=True)
    return [f"#{number}" if pd.isna(name) else str(name) for number, name in pairs]


def _label(figure: Figure, axes: Axes, labelled: pd.DataFrame, visible: FloatArray) -> None:
    """Write names beside marks, clear of each other and of the `visible` points (K×2), with a line where it is far."""
    texts = _label_texts(labelled)
    figure.draw_without_rendering()  # only now is it settled where data lie on the page
    scale = figure.dpi / 72
    to_pixels = axes.transData.transform
    anchors = [tuple(to_pixels(xy)) for xy in zip(labelled["latency_ms"], labelled["miou"], strict=True)]
    sizes = [(5.6 * len(text) * scale, 9.0 * scale) for text in texts]
    frame = axes.get_window_extent()
    bounds = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    obstacles = [tuple(xy) for xy in to_pixels(visible)]
    centres = place_labels(anchors, sizes, bounds, obstacles, gap=6 * scale)
    places = zip(labelled["latency_ms"], labelled["miou"], strict=True)
    for text, place, anchor, centre, name in zip(texts, places, anchors, centres, labelled["reference"], strict=True):
        offset = ((centre[0] - anchor[0]) / scale, (centre[1] - anchor[1]) / scale)
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 4, "shrinkB": 4}
        axes.annotate(
            text,
            place,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8.5,
            color=BLUE if pd.isna(name) else VERMILLION,
            fontweight="normal" if pd.isna(name) else "bold",
            zorder=8,
            arrowprops=line if math.hypot(*offset) > 20 else None,
        ).set_in_layout(False)
