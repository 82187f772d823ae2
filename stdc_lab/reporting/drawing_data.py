"""Boxes, arrows and notes, which a drawing of an architecture is made of, and what they say in numbers.

Lengths are inches from the upper left corner, y growing downwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from stdc_lab.arch.graph import Size
from stdc_lab.reporting.drawing_steps import size_text

Kind = Literal["data", "backbone", "decoder", "path from the image", "resampling", "sum", "concatenation"]
Point = tuple[float, float]

WIDTH = 14.0
MARGIN = 0.3
TITLE_POINTS, BODY_POINTS, COST_POINTS = 8.5, 7.5, 7.0
LINE = 1.28
"""Distance of lines over their size."""
SIDE_ROOM, SHARE_ROOM = 0.08, 0.16
"""Free space left and right of a box's text; what the bar of its share takes below."""


class Note(NamedTuple):
    """A line of text that starts at (x, y), its middle."""

    x: float
    y: float
    text: str
    points: float = 7.5
    bold: bool = False


class Band(NamedTuple):
    """The column of a resolution, behind the boxes, with its heading."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Node:
    """A box: its centre and size, what it says (heading, lines) and, where it computes, what that costs.

    share: its MACs over those of the whole network; None where no cost is shown.
    """

    key: str
    kind: Kind
    title: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    share: float | None = None
    num_params: int | None = None
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2

    @property
    def cost_lines(self) -> tuple[str, ...]:
        if self.share is None or self.num_params is None:
            return ()
        return (f"{percent(self.share)} of MACs", f"{short_count(self.num_params)} parameters")

    @property
    def texts(self) -> Iterator[tuple[str, float, bool]]:
        """All lines from above, each with its size in points and whether it is bold."""
        yield from ((line, TITLE_POINTS, True) for line in self.title)
        yield from ((line, BODY_POINTS, False) for line in self.lines)
        yield from ((line, COST_POINTS, False) for line in self.cost_lines)

    def fitted(self, width: float = 0.0, room: float = 0.16) -> Node:
        """The same as wide and high as its text needs, or so wide."""
        widest = max(text_width(*text) for text in self.texts)
        height = sum(points for _, points, _ in self.texts) * LINE / 72 + room
        height += 0.0 if self.share is None else SHARE_ROOM - 0.04
        return dataclasses.replace(self, width=width or widest + 2 * SIDE_ROOM, height=height)

    def at(self, x: float, y: float) -> Node:
        return dataclasses.replace(self, x=x, y=y)


class Edge(NamedTuple):
    """An arrow from one box to another, by their keys, along `points`."""

    tail: str
    head: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Diagram:
    """Boxes, arrows and notes in a frame of width × height inches."""

    width: float
    height: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    notes: tuple[Note, ...] = ()
    bands: tuple[Band, ...] = ()

    def node(self, key: str) -> Node:
        return next(node for node in self.nodes if node.key == key)

    def moved(self, right: float, down: float) -> Diagram:
        """The same, elsewhere: for putting diagrams side by side."""
        return dataclasses.replace(
            self,
            nodes=tuple(node.at(node.x + right, node.y + down) for node in self.nodes),
            edges=tuple(
                edge._replace(points=tuple((x + right, y + down) for x, y in edge.points)) for edge in self.edges
            ),
            notes=tuple(note._replace(x=note.x + right, y=note.y + down) for note in self.notes),
            bands=tuple(
                Band(band.label, band.left + right, band.top + down, band.right + right, band.bottom + down)
                for band in self.bands
            ),
        )

    def beside(self, other: Diagram) -> Diagram:
        """Both in one frame, as they lie."""
        return Diagram(
            max(self.width, other.width),
            max(self.height, other.height),
            self.nodes + other.nodes,
            self.edges + other.edges,
            self.notes + other.notes,
            self.bands + other.bands,
        )


@cache
def text_width(text: str, points: float, bold: bool = False) -> float:
    """Inches that a line of text takes."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=points)
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrapped(words: Iterable[str], width: float, points: float, separator: str = ", ", bold: bool = False) -> list[str]:
    """Words in lines that are no wider than `width` inches, unless a single word is."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}{separator}{word}" if lines else ""
        if lines and text_width(longer, points, bold) <= width:
            lines[-1] = longer
        else:
            lines[-1:] = [lines[-1] + separator.rstrip(), word] if lines else [word]
    return lines


def short_count(count: int) -> str:
    """Three digits and a unit: `928`, `18.6 k`, `1.2 M`."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * limit:
            return f"{count / limit:.3g}{unit}"
    return str(count)


def percent(share: float) -> str:
    """A share as a percentage with one decimal, and no zero for what is not nothing."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def shape_text(channels: int, size: Size) -> str:
    """Channels and height × width of a feature map."""
    return f"{channels} ch · {size_text(size)}"
