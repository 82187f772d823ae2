"""What a drawing of an architecture shows and where: boxes, arrows and notes, computed from its spec and cost.

Lengths are inches from the upper left corner, y growing downwards. The network lies in columns, one for each
resolution: the backbone runs to the right along the top, the decoder comes back, a row higher at each step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import NetworkCost, Part
from stdc_lab.arch.decoders.bisenet import SPATIAL_PATH
from stdc_lab.arch.graph import IMAGE_CHANNELS, Size

Kind = Literal["data", "backbone", "decoder", "spatial path", "resampling", "sum", "concatenation"]
Way = Literal["right", "left", "down", "up"]
Point = tuple[float, float]

WIDTH = 14.0
MARGIN = 0.3
BOX = (1.5, 1.02)
PILL = (0.72, 0.38)
SUM_SIDE = 0.26
ROW_PITCH = 1.3
BAND_TOP = 0.32
"""Room for a column's heading above its boxes."""
COLUMNS = ("full size", "1/2", "1/4", "1/8", "1/16", "1/32", "global")


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
    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...] = ()
    share: float | None = None
    num_params: int | None = None

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
            nodes=tuple(dataclasses.replace(node, x=node.x + right, y=node.y + down) for node in self.nodes),
            edges=tuple(
                edge._replace(points=tuple((x + right, y + down) for x, y in edge.points)) for edge in self.edges
            ),
            notes=tuple(note._replace(x=note.x + right, y=note.y + down) for note in self.notes),
            bands=tuple(
                Band(band.label, band.left + right, band.top + down, band.right + right, band.bottom + down)
                for band in self.bands
            ),
        )


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
    return f"{channels} ch · {size[0]}×{size[1]}"


def connect(tail: Node, head: Node, leave: Way, enter: Way) -> Edge:
    """An arrow that leaves a box in one direction and enters another in the same one, or with one bend."""
    upright = leave in ("down", "up")
    if leave == enter:
        # A straight arrow lies where the narrower of the two has its middle.
        extent = "width" if upright else "height"
        narrow = tail if getattr(tail, extent) <= getattr(head, extent) else head
        if upright:
            return Edge(tail.key, head.key, ((narrow.x, _side(tail, leave)), (narrow.x, _back(head, enter))))
        return Edge(tail.key, head.key, ((_side(tail, leave), narrow.y), (_back(head, enter), narrow.y)))
    if upright:
        points = ((tail.x, _side(tail, leave)), (tail.x, head.y), (_back(head, enter), head.y))
    else:
        points = ((_side(tail, leave), tail.y), (head.x, tail.y), (head.x, _back(head, enter)))
    return Edge(tail.key, head.key, points)


def network_diagram(cost: NetworkCost) -> Diagram:
    """The segmentation network: backbone, decoder, head, and what feeds what (section 3.2, figure 4)."""
    decoder = cost.spec.decoder
    count = 7 if decoder.global_context else 6
    pitch = (WIDTH - 2 * MARGIN) / count
    # Only these two stand in the second row; without them it is left out.
    skipped = 0 if cost.spec.conv_last or decoder.spatial_path else 1
    parts = _parts_by_name(cost)
    nodes: dict[str, Node] = {}
    for box in (*_backbone_boxes(cost), *_decoder_boxes(cost)):
        x = MARGIN + pitch * (box.column + 0.5) + box.aside
        y = BAND_TOP + BOX[1] / 2 + ROW_PITCH * (box.row - skipped * (box.row > 0))
        width, height = box.size
        if box.key == "spatial path":
            width += 2 * pitch
        part = parts.get(box.key)
        share, params = (None, None) if part is None else (part.cost.macs / cost.cost.macs, part.cost.num_params)
        nodes[box.key] = Node(box.key, box.kind, x, y, width, height, box.title, box.lines, share, params)
    edges = tuple(connect(nodes[tail], nodes[head], leave, enter) for tail, head, leave, enter in _flows(cost.spec))
    bottom = max(node.bottom for node in nodes.values()) + 0.12
    # The head works at 1/8, left of that column: those that it lies under end above it.
    above_head, below_head = nodes["head"].top - 0.13, nodes["head"].bottom + 0.12
    ends = (below_head, above_head, above_head, bottom, bottom, bottom, bottom)
    bands = tuple(
        Band(label, MARGIN + pitch * column, 0, MARGIN + pitch * (column + 1), end)
        for column, (label, end) in enumerate(zip(COLUMNS[:count], ends, strict=False))
    )
    return Diagram(WIDTH, bottom, tuple(nodes.values()), edges, bands=bands)


class _Box(NamedTuple):
    """A box of the network and its place: column 0 is the full size, 5 is 1/32, 6 the globally pooled."""

    key: str
    kind: Kind
    column: float
    row: int
    title: str
    lines: tuple[str, ...] = ()
    size: tuple[float, float] = BOX
    aside: float = 0.0


def _backbone_boxes(cost: NetworkCost) -> Iterator[_Box]:
    spec, parts = cost.spec, _parts_by_name(cost)
    yield _Box("image", "data", 0, 0, "Image", (shape_text(IMAGE_CHANNELS, cost.size),), (1.3, 0.5))
    depths = (*spec.stem_depths, *spec.depths)
    for stage, depth in enumerate(depths, start=1):
        key = f"stage {stage}"
        what = "ConvX 3×3" if stage < 3 else "STDC module"
        shape = shape_text(parts[key].output_channels, parts[key].output_size)
        yield _Box(key, "backbone", stage, 0, f"Stage {stage}, stride 2", (f"{depth} × {what}", shape))
    if spec.conv_last:
        shape = shape_text(spec.conv_last_width, parts["conv_last"].output_size)
        yield _Box("conv_last", "backbone", 5, 1, "conv_last", ("ConvX 1×1", shape))


def _decoder_boxes(cost: NetworkCost) -> Iterator[_Box]:
    decoder, parts = cost.spec.decoder, _parts_by_name(cost)

    def box(key: str, column: int, row: int, title: str, *lines: str, kind: Kind = "decoder") -> _Box:
        shape = shape_text(parts[key].output_channels, parts[key].output_size)
        return _Box(key, kind, column, row, title, (*lines, shape))

    def resampling(key: str, column: float, row: int, mode: str, size: Size) -> _Box:
        # Half-way between a box at its left and a sum at its right.
        aside = (BOX[0] - SUM_SIDE) / 4 if column % 1 else 0.0
        return _Box(key, "resampling", column, row, "", (f"↑ {mode}", f"{size[0]}×{size[1]}"), PILL, aside)

    weighing = "ConvX 3×3 + attention" if decoder.attention else "ConvX 3×3, no attention"
    if decoder.global_context:
        yield box("global context", 6, 2, "Global context", "mean, ConvX 1×1")
        yield _Box("sum at 1/32", "sum", 5, 4, "+", size=(SUM_SIDE, SUM_SIDE))
    yield box("refinement at 1/32", 5, 2, "Refinement at 1/32", weighing)
    yield resampling("upsampling to 1/16", 4.5, 4, decoder.interpolation, parts["smoothing at 1/16"].output_size)
    yield box("smoothing at 1/16", 4, 4, "Smoothing at 1/16", "ConvX 3×3")
    yield box("refinement at 1/16", 4, 2, "Refinement at 1/16", weighing)
    yield _Box("sum at 1/16", "sum", 4, 3, "+", size=(SUM_SIDE, SUM_SIDE))
    yield resampling("upsampling to 1/8", 3.5, 3, decoder.interpolation, parts["smoothing at 1/8"].output_size)
    yield box("smoothing at 1/8", 3, 3, "Smoothing at 1/8", "ConvX 3×3")
    if decoder.spatial_path:
        layers = " → ".join(
            f"{layer.kernel}×{layer.kernel}{f' stride {layer.stride}' if layer.stride > 1 else ''}, {layer.width} ch"
            for layer in SPATIAL_PATH
        )
        title = "Spatial path (in place of stage 3)"
        yield box("spatial path", 2, 1, title, f"ConvX {layers}", kind="spatial path")
    yield box("fusion", 3, 2, "Feature fusion", "concat, ConvX 1×1,", "channel attention")
    yield box("head", 2, 2, "Head", f"ConvX 3×3, {decoder.head_width} ch,", "conv 1×1 to classes")
    yield resampling("upsampling of logits", 1, 2, "bilinear", cost.size)
    yield _Box("logits", "data", 0, 2, "Logits", (shape_text(cost.num_classes, cost.size),), (1.3, 0.5))


def _flows(spec: ArchSpec) -> Iterator[tuple[str, str, Way, Way]]:
    """Tail, head and the directions in which an arrow leaves the one and enters the other."""
    decoder = spec.decoder
    yield "image", "stage 1", "right", "right"
    for stage in range(1, 5):
        yield f"stage {stage}", f"stage {stage + 1}", "right", "right"
    deepest = "conv_last" if spec.conv_last else "stage 5"
    if spec.conv_last:
        yield "stage 5", "conv_last", "down", "down"
    yield deepest, "refinement at 1/32", "down", "down"
    if decoder.global_context:
        yield deepest, "global context", "right", "down"
        yield "global context", "sum at 1/32", "down", "left"
        yield "refinement at 1/32", "sum at 1/32", "down", "down"
        yield "sum at 1/32", "upsampling to 1/16", "left", "left"
    else:
        yield "refinement at 1/32", "upsampling to 1/16", "down", "left"
    yield "upsampling to 1/16", "smoothing at 1/16", "left", "left"
    yield "smoothing at 1/16", "sum at 1/16", "up", "up"
    yield "stage 4", "refinement at 1/16", "down", "down"
    yield "refinement at 1/16", "sum at 1/16", "down", "down"
    yield "sum at 1/16", "upsampling to 1/8", "left", "left"
    yield "upsampling to 1/8", "smoothing at 1/8", "left", "left"
    yield "smoothing at 1/8", "fusion", "up", "up"
    if decoder.spatial_path:
        yield "image", "spatial path", "down", "right"
        yield "spatial path", "fusion", "down", "down"
    else:
        yield "stage 3", "fusion", "down", "down"
    yield "fusion", "head", "left", "left"
    yield "head", "upsampling of logits", "left", "left"
    yield "upsampling of logits", "logits", "left", "left"


def _parts_by_name(cost: NetworkCost) -> dict[str, Part]:
    """What is drawn as a box with a cost: the parts of the network, and those of the decoder in its place."""
    return {inner.name: inner for part in cost.parts for inner in (part.parts if part.name == "decoder" else (part,))}


def _side(node: Node, way: Way) -> float:
    """Where an arrow in that direction leaves a box: its x or its y."""
    return {"right": node.right, "left": node.left, "down": node.bottom, "up": node.top}[way]


def _back(node: Node, way: Way) -> float:
    """Where an arrow in that direction enters a box."""
    return {"right": node.left, "left": node.right, "down": node.top, "up": node.bottom}[way]
