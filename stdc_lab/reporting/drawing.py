"""`draw_architecture`: an architecture as a picture, the network above and its modules below."""

from __future__ import annotations

import dataclasses
import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Outline

from stdc_lab.arch import ArchSpec, analyse
from stdc_lab.arch.costs import NetworkCost
from stdc_lab.errors import ConfigError
from stdc_lab.files import write_bytes
from stdc_lab.reporting.canvas import BLUE, DPI, GREEN, GREY, INK, VERMILLION
from stdc_lab.reporting.drawing_data import LINE, MARGIN, Band, Diagram, Edge, Kind, Node, Note
from stdc_lab.reporting.drawing_modules import modules_diagram
from stdc_lab.reporting.drawing_network import network_diagram

TITLE_Y, FACTS_Y, NETWORK_TOP, PANEL_GAP, FOOT = 0.34, 0.66, 1.3, 0.72, 0.12
LONGEST_NAME = 56
"""Letters of the title, which fit even where every one is as wide as it is high."""
NAME_POINTS, FACTS_POINTS, PANEL_POINTS, HEADING_POINTS = 15.0, 10.0, 10.5, 8.5
LEGEND_WIDTH = 4.6
"""What the legend takes at the left, with some free space at its right."""
WORDS = (
    "ConvX: convolution, batch norm, ReLU. ch: channels, beside height×width.",
    "Attention: features are weighed by what convolutions make of their means (and maxima).",
    "The bar in a box is its share of the MACs (multiply-accumulates).",
    "Heads that only training needs are not drawn.",
)
LEGEND: dict[Kind, str] = {
    "backbone": "backbone, and what has a ReLU in a module",
    "decoder": "decoder",
    "path from the image": "a second path from the image",
    "resampling": "interpolation, and in a module what has no ReLU",
}
STYLES: dict[Kind, dict[str, Any]] = {
    "data": {"facecolor": "white", "edgecolor": INK, "linewidth": 1.3},
    "backbone": {"facecolor": "#e1eef7", "edgecolor": BLUE, "linewidth": 1.1},
    "decoder": {"facecolor": "#e0f2ec", "edgecolor": GREEN, "linewidth": 1.1, "linestyle": (0, (5, 1.5))},
    "path from the image": {
        "facecolor": "#fbe9de",
        "edgecolor": VERMILLION,
        "linewidth": 1.3,
        "linestyle": (0, (1.5, 1)),
    },
    "resampling": {"facecolor": "white", "edgecolor": "#6b6b6b", "linewidth": 0.9},
    "sum": {"facecolor": "white", "edgecolor": INK, "linewidth": 1.1},
    "concatenation": {"facecolor": "#efefef", "edgecolor": INK, "linewidth": 1.1},
}
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "stdc_lab",
    # An SVG names them all, for readers who lack the first; the others are no wider.
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "text.usetex": False,
    "path.simplify": False,
    "savefig.bbox": None,
}


def draw_architecture(
    spec: ArchSpec, path: Path, *, name: str = "", size: tuple[int, int] = (512, 1024), num_classes: int = 19
) -> None:
    """Draw a network and its modules, with what each part costs, into a file: SVG or PNG, by its suffix.

    name: put into the title. size: the image's height × width, of which the MACs are.
    Raises `ConfigError` for another suffix, and for a file that cannot be written.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("svg", "png"):
        raise ConfigError(f"--draw: got {path}; allowed: a file name ending in .svg or .png")
    cost = analyse(spec, size, num_classes)
    metadata = (
        {"Date": None, "Creator": "stdc_lab", "Title": title_lines(cost, name)[0]}
        if form == "svg"
        else {"Software": None}
    )
    picture = io.BytesIO()
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # A name may be in letters that the font lacks: a browser has others, a PNG shows boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure = architecture_figure(architecture_diagram(cost, name))
        figure.savefig(picture, format=form, dpi=DPI, metadata=metadata)
    write_bytes(path, picture.getvalue(), lambda message: ConfigError(f"--draw: {message}"))


def title_lines(cost: NetworkCost, name: str = "") -> tuple[str, str]:
    """What stands above: the name, and the facts. What cannot be printed in a name is left out, and too long an end."""
    printable = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    if len(printable) > LONGEST_NAME:
        printable = f"{printable[: LONGEST_NAME - 1].rstrip()}…"
    (height, width), giga = cost.size, cost.cost.macs / 1e9
    facts = (
        f"arch_id {cost.spec.arch_id}",
        f"input {height}×{width}",
        f"{cost.num_classes} classes",
        f"{cost.cost.num_params:,} parameters",
        f"{giga:.4g} GMACs" if giga < 1000 else f"{giga:,.0f} GMACs",
    )
    return printable or f"Segmentation network of the family {cost.spec.family}", "  ·  ".join(facts)


def architecture_diagram(cost: NetworkCost, name: str = "") -> Diagram:
    """The whole picture: title, network with legend, modules."""
    network = network_diagram(cost)
    kinds = tuple(kind for kind in LEGEND if any(node.kind == kind for node in network.nodes))
    key = legend(kinds)
    # It stands in the lower left corner where the decoder leaves it free, else below.
    left = [node.bottom for node in network.nodes if node.left < MARGIN + LEGEND_WIDTH]
    left += [y for edge in network.edges for x, y in edge.points if x < MARGIN + LEGEND_WIDTH]
    left += [band.bottom for band in network.bands if band.left < MARGIN + LEGEND_WIDTH]
    key = key.moved(MARGIN, max(max(left) + 0.2, 0))
    network = network.beside(dataclasses.replace(key, height=key.nodes[0].y + key.height))
    network = network.moved(0, NETWORK_TOP)
    title, facts = title_lines(cost, name)
    headings = [
        Note(MARGIN, TITLE_Y, title, NAME_POINTS, True),
        Note(MARGIN, FACTS_Y, facts, FACTS_POINTS),
        Note(MARGIN, NETWORK_TOP - 0.2, "The network, by resolution", PANEL_POINTS, True),
    ]
    bottom = NETWORK_TOP + network.height
    modules = modules_diagram(cost)
    if modules.nodes:
        modules = modules.moved(MARGIN, bottom + PANEL_GAP)
        headings.append(Note(MARGIN, bottom + PANEL_GAP - 0.24, "Inside its modules", PANEL_POINTS, True))
        bottom += PANEL_GAP + modules.height
    whole = network.beside(modules)
    return dataclasses.replace(whole, height=bottom + FOOT, notes=(*headings, *whole.notes))


def legend(kinds: tuple[Kind, ...]) -> Diagram:
    """Samples of boxes with their meaning, and what else a reader has to know."""
    nodes, notes = [], []
    for row, kind in enumerate(kinds):
        y = 0.1 + 0.24 * row
        nodes.append(Node(f"legend: {kind}", kind, x=0.17, y=y, width=0.34, height=0.16))
        notes.append(Note(0.46, y, LEGEND[kind]))
    below = 0.1 + 0.24 * len(kinds) + 0.08
    notes += [Note(0, below + 0.2 * row, text) for row, text in enumerate(WORDS)]
    return Diagram(LEGEND_WIDTH, below + 0.2 * len(WORDS), tuple(nodes), (), tuple(notes))


def architecture_figure(diagram: Diagram) -> Figure:
    """A diagram, drawn."""
    figure = Figure(figsize=(diagram.width, diagram.height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, diagram.width), ylim=(diagram.height, 0))
    axes.set_axis_off()
    for index, band in enumerate(diagram.bands):
        _draw_band(axes, band, shaded=index % 2 == 0)
    for edge in diagram.edges:
        _draw_edge(axes, edge)
    for node in diagram.nodes:
        _draw_node(axes, node)
    for note in diagram.notes:
        _write(axes, note.x, note.y, note.text, note.points, bold=note.bold, align="left")
    return figure


def _draw_band(axes: Axes, band: Band, *, shaded: bool) -> None:
    if shaded:
        size = (band.right - band.left, band.bottom - band.top)
        axes.add_patch(Rectangle((band.left, band.top), *size, facecolor="#f6f6f6", edgecolor="none", zorder=0))
    _write(axes, (band.left + band.right) / 2, band.top + 0.15, band.label, HEADING_POINTS, colour="#555555")


def _draw_edge(axes: Axes, edge: Edge) -> None:
    arrow = FancyArrowPatch(
        path=Outline(edge.points),
        arrowstyle="-|>,head_length=4.2,head_width=2.1",
        mutation_scale=1,
        color=INK,
        linewidth=0.9,
        joinstyle="miter",
        zorder=2,
    )
    axes.add_patch(arrow)


def _draw_node(axes: Axes, node: Node) -> None:
    style = {**STYLES[node.kind], "zorder": 3}
    if node.kind == "sum":
        axes.add_patch(Circle((node.x, node.y), node.width / 2, **style))
    else:
        rounding = min(0.12, node.height / 2) if node.kind == "resampling" else 0.03
        shape = f"round,pad=0,rounding_size={rounding}"
        axes.add_patch(FancyBboxPatch((node.left, node.top), node.width, node.height, boxstyle=shape, **style))
    middle = node.y
    if node.share is not None:
        _draw_share(axes, node, node.share)
        middle -= 0.06
    texts = list(node.texts)
    y = middle - sum(points for _, points, _ in texts) * LINE / 72 / 2
    for text, points, bold in texts:
        _write(axes, node.x, y + points * LINE / 72 / 2, text, points, bold=bold)
        y += points * LINE / 72


def _draw_share(axes: Axes, node: Node, share: float) -> None:
    left, width, top = node.left + 0.08, node.width - 0.16, node.bottom - 0.1
    axes.add_patch(Rectangle((left, top), width, 0.05, facecolor="white", edgecolor=GREY, linewidth=0.4, zorder=4))
    axes.add_patch(Rectangle((left, top), width * share, 0.05, facecolor=INK, edgecolor="none", zorder=5))


def _write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    points: float,
    *,
    bold: bool = False,
    colour: str = INK,
    align: str = "center",
) -> None:
    """Text with its middle at y. No part of it is read as a formula."""
    axes.text(
        x,
        y + 0.36 * points / 72,
        text,
        fontsize=points,
        fontweight="bold" if bold else "normal",
        color=colour,
        ha=align,
        va="baseline",
        parse_math=False,
        zorder=6,
    )
