"""What the figures of a report have in common: colours, marks, frame, legend, labels beside marks."""

from __future__ import annotations

import io
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

from stdc_lab.errors import StudyError
from stdc_lab.files import Raises, write_bytes
from stdc_lab.reporting.figure_data import FloatArray, trial_name
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


def save_png(figure: Figure, path: Path, raises: Raises = StudyError) -> bytes:
    """Write a figure as PNG, whole or not at all, and give its bytes. Raises `StudyError` if it cannot be written."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": None})
    write_bytes(path, picture.getvalue(), raises)
    return picture.getvalue()


def new_figure(
    width: float, height: float, caption: str = "", warning: str | None = None, legend: float = 0.3
) -> Figure:
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


UPRIGHT_LETTERS = 44
"""So many letters of an upright label lie beside the shortest axes; a longer one is broken."""


def dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label, fontsize=9.5, color=INK)
    axes.set_ylabel(textwrap.fill(y_label, UPRIGHT_LETTERS), fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def say_nothing(figure: Figure, axes: Axes, words: str = NOTHING) -> Figure:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=11)
    return figure


def log_if_wide(axes: Axes, values: Any) -> None:
    """A logarithmic x axis for values that span more than a factor of 12, with plain numbers at 1, 2, 5, 10 …"""
    low, high = float(np.min(values)), float(np.max(values))
    if low > 0 and high / low > 12:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())


def legend_above(figure: Figure, entries: Sequence[tuple[str, str, str]], columns: int = 4) -> None:
    """A few lines of marks with their meaning above the panels. entries: text, colour, mark.

    `o-` is a mark with a line, `o ` a hollow one.
    """
    handles = [
        mpl.lines.Line2D(
            [],
            [],
            color=colour,
            marker=mark[0],
            markerfacecolor="white" if mark.endswith(" ") else colour,
            linestyle="-" if mark.endswith("-") else "none",
            markersize=10 if mark in "_|" else 6,
            markeredgewidth=1.8 if mark in "_|" else 0.6,
            markeredgecolor=colour if mark[-1] in "_| " else "white",
            label=text,
        )
        for text, colour, mark in entries
    ]
    top = figure.stdc_legend_y  # type: ignore[attr-defined]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
    ).set_in_layout(False)


def label_marks(figure: Figure, axes: Axes, labelled: pd.DataFrame, visible: FloatArray) -> None:
    """Write names beside marks, clear of each other and of the `visible` points (K×2), with a line where it is far.

    labelled: trials, a row each, with the place of their mark in `x` and `y`.
    """
    texts = [trial_name(trial) for _, trial in labelled.iterrows()]
    figure.draw_without_rendering()  # only now is it settled where data lie on the page
    scale = figure.dpi / 72
    to_pixels = axes.transData.transform
    anchors = [tuple(to_pixels(xy)) for xy in zip(labelled["x"], labelled["y"], strict=True)]
    sizes = [(5.6 * len(text) * scale, 9.0 * scale) for text in texts]
    frame = axes.get_window_extent()
    bounds = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    obstacles = [tuple(xy) for xy in to_pixels(visible)]
    centres = place_labels(anchors, sizes, bounds, obstacles, gap=6 * scale)
    places = zip(labelled["x"], labelled["y"], strict=True)
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
