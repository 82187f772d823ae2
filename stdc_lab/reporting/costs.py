"""What networks cost, stage by stage: a stacked bar a network for MACs, parameters and latency."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stdc_lab.errors import ConfigError
from stdc_lab.files import write_bytes
from stdc_lab.records import ProfileResult
from stdc_lab.reporting.canvas import DPI, GREY, INK

# Stages from light to dark, so that their order is seen by everyone; what follows them in hues that differ in lightness
# as well (Okabe and Ito), and with hatching.
STAGES = {
    f"stage {number}": colour
    for number, colour in enumerate(("#deebf7", "#b3d0e8", "#7fb0d8", "#3f86bd", "#0b4f8a"), start=1)
}
OTHERS = ("#E69F00", "#D55E00", "#999999", "#F0E442", "#CC79A7")
HATCHES = ("", "///", "", "...", "xx")
BAR_INCHES, LABEL_LENGTH = 0.34, 26


@dataclass(frozen=True)
class Panel:
    """A measure: for each part a value a network, in the order of the networks; 0 where a network lacks the part."""

    title: str
    parts: dict[str, list[float]]
    totals: list[float | None]
    """None: not measured."""


def cost_panels(results: Sequence[ProfileResult]) -> list[Panel]:
    """MACs, parameters and, where any network has them, latencies of the parts."""
    giga = max(result.macs for result in results) >= 10**9
    panels = [
        _counted("GMACs" if giga else "MMACs", results, lambda part: part.macs / (1e9 if giga else 1e6)),
        _counted("parameters (millions)", results, lambda part: part.num_params / 1e6),
    ]
    if any(result.stage_latencies for result in results):
        panels.append(_latencies(results))
    return panels


def costs_figure(names: Sequence[str], results: Sequence[ProfileResult]) -> Figure:
    """The panels side by side, networks from top to bottom."""
    panels = cost_panels(results)
    parts = list(dict.fromkeys(name for panel in panels for name in panel.parts))
    looks = _looks(parts)
    height = 1.75 + BAR_INCHES * len(names)
    figure = Figure(figsize=(3.1 * len(panels) + 1.4, height), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for one, panel in zip(axes, panels, strict=True):
        _draw(one, panel, looks)
    axes[0].set_yticks(range(len(names)), [_shortened(name) for name in names], fontsize=9)
    axes[0].invert_yaxis()
    handles = [
        mpl.patches.Patch(
            facecolor=colour, hatch=hatch, edgecolor="white" if not hatch else INK, linewidth=0.4, label=part
        )
        for part, (colour, hatch) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(8, len(handles)), fontsize=8, frameon=False)
    figure.supxlabel(_caption(results), fontsize=7.5, color=GREY)
    return figure


def draw_costs(names: Sequence[str], results: Sequence[ProfileResult], path: Path) -> None:
    """Write the figure into a .png or .svg file. Raises `ConfigError` if it cannot be written."""
    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "stdc_lab", "hatch.linewidth": 0.5}):
        costs_figure(names, results).savefig(
            picture, format=path.suffix[1:], dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None
        )
    write_bytes(path, picture.getvalue(), lambda said: ConfigError(f"--picture: {said}"))


def _counted(title: str, results: Sequence[ProfileResult], value: Callable[..., float]) -> Panel:
    parts = {part.name: [0.0] * len(results) for result in results for part in result.stages}
    for index, result in enumerate(results):
        for part in result.stages:
            parts[part.name][index] = value(part)
    return Panel(title, _ordered(parts), [sum(values) for values in zip(*parts.values(), strict=True)])


def _latencies(results: Sequence[ProfileResult]) -> Panel:
    found = [result.stage_latencies for result in results]
    parts = {stage.name: [0.0] * len(results) for one in found if one is not None for stage in one.stages}
    for index, one in enumerate(found):
        for stage in () if one is None else one.stages:
            parts[stage.name][index] = stage.median_ms
    return Panel("latency (ms)", _ordered(parts), [None if one is None else one.sum_ms for one in found])


def _ordered(parts: dict[str, list[float]]) -> dict[str, list[float]]:
    first = [name for name in STAGES if name in parts]
    return {name: parts[name] for name in (*first, *(name for name in parts if name not in STAGES))}


def _looks(parts: Sequence[str]) -> dict[str, tuple[str, str]]:
    others = [name for name in parts if name not in STAGES]
    looks = {name: (STAGES[name], "") for name in parts if name in STAGES}
    return looks | {name: (OTHERS[i % len(OTHERS)], HATCHES[i % len(HATCHES)]) for i, name in enumerate(others)}


def _draw(axes: Axes, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    rows = range(len(panel.totals))
    left = [0.0] * len(panel.totals)
    for name, values in panel.parts.items():
        colour, hatch = looks[name]
        axes.barh(
            rows,
            values,
            left=left,
            height=0.68,
            color=colour,
            hatch=hatch,
            linewidth=0.4,
            edgecolor=INK if hatch else "white",
        )
        left = [before + value for before, value in zip(left, values, strict=True)]
    for row, total in zip(rows, panel.totals, strict=True):
        text = "not run" if total is None else f"{total:.3g}" if total < 1000 else f"{total:,.0f}"
        axes.annotate(text, (left[row], row), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xlim(0, 1.2 * max(left) or 1)
    axes.set_title(panel.title, fontsize=9.5, color=INK, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)


def _caption(results: Sequence[ProfileResult]) -> str:
    sizes = ", ".join(f"{height}×{width}" for height, width in dict.fromkeys(result.size for result in results))
    text = f"input {sizes}; one MAC is two FLOPs"
    stages = next((result.stage_latencies for result in results if result.stage_latencies), None)
    machine = next((result.environment for result in results if result.environment), None)
    if stages is None or machine is None:
        return text
    closures = [result.stage_latencies.closure for result in results if result.stage_latencies]
    low, high = (f"{value:.0%}" for value in (min(closures), max(closures)))
    closes = low if low == high else f"{low} to {high}"
    return (
        f"{text}; latency: batch 1, eager float32, {stages.threads} thread{'s' if stages.threads > 1 else ''}, "
        f"{machine.processor}; "
        f"parts add up to {closes} of the whole"
    )


def _shortened(name: str) -> str:
    return name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…"
