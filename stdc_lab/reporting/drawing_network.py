"""What a drawing of a network shows: its parts in columns by resolution, and what feeds what, from its operations.

The backbone runs to the right along the top. The decoder comes back to the left: what only looks at the backbone
stands under it, and of what is merged in one column, what comes from a coarser one stands below.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from stdc_lab.arch.costs import NetworkCost, Part
from stdc_lab.arch.graph import GLOBAL, IMAGE_CHANNELS, UPSAMPLINGS, Operation, names_of
from stdc_lab.reporting.drawing_data import (
    BODY_POINTS,
    MARGIN,
    SIDE_ROOM,
    TITLE_POINTS,
    WIDTH,
    Band,
    Diagram,
    Kind,
    Node,
    shape_text,
    wrapped,
)
from stdc_lab.reporting.drawing_routes import routed
from stdc_lab.reporting.drawing_steps import Step, lines_of, steps_of, traits_of, words_of

GLOBAL_STRIDE = 1 << 30
BAND_TOP = 0.42
"""Room for a column's heading above its boxes."""
COLUMN_GAP, ROW_GAP = 0.42, 0.4
WIDEST_BOX, SUM_SIDE = 1.8, 0.26
GLYPHS = (*UPSAMPLINGS, "sum")


class _Box(NamedTuple):
    """Steps that are drawn as one, in their order. stride: which column it belongs to."""

    key: str
    steps: list[Step]
    stride: int
    kind: Kind


def network_diagram(cost: NetworkCost) -> Diagram:
    """The segmentation network: backbone, decoder, head, and what feeds what. Keys of boxes are paths of parts."""
    boxes, arrows = network_graph(cost)
    strides = sorted({box.stride for box in boxes.values()})
    columns = {key: strides.index(box.stride) for key, box in boxes.items()}
    cells = _Placement(boxes, arrows, columns).cells()
    pitch = (WIDTH - 2 * MARGIN) / len(strides)
    nodes = {key: _node(box, cost, min(WIDEST_BOX, pitch - COLUMN_GAP)) for key, box in boxes.items()}
    top = BAND_TOP
    for _, keys in groupby(sorted(cells, key=lambda key: cells[key][1]), key=lambda key: cells[key][1]):
        row = list(keys)
        height = max(nodes[key].height for key in row)
        for key in row:
            node = nodes[key]
            tall = height if node.share is not None else node.height
            x = MARGIN + pitch * (cells[key][0] + 0.5)
            nodes[key] = dataclasses.replace(node, x=x, y=top + height / 2, height=tall)
        top += height + ROW_GAP
    for key, (column, _) in cells.items():
        if column % 1:  # between a box at one side and a sum at the other
            (tail,), (head,) = ([a for a, b in arrows if b == key], [b for a, b in arrows if a == key])
            right = min(nodes[tail].left, MARGIN + pitch * (column + 1) - SUM_SIDE / 2)
            nodes[key] = nodes[key].at((right + nodes[head].right) / 2, nodes[key].y)
    bands = []
    for index, stride in enumerate(strides):
        mine = [nodes[key].bottom for key in boxes if columns[key] == cells[key][0] == index]
        label = {1: "full size", GLOBAL_STRIDE: "global"}.get(stride, f"1/{stride}")
        left = MARGIN + pitch * index
        bands.append(Band(label, left, 0, left + pitch, max(mine, default=BAND_TOP) + 0.14))
    return Diagram(WIDTH, top - ROW_GAP + 0.14, tuple(nodes.values()), routed(nodes, arrows), (), tuple(bands))


def network_graph(cost: NetworkCost) -> tuple[dict[str, _Box], list[tuple[str, str]]]:
    """What is a box, in the order in which they run, and which one reads from which."""
    steps = steps_of(cost.operations)
    strides = _strides(cost.operations)
    opened = {part.name for part in cost.parts if _reads_much(part, steps)}
    image = cost.operations[0].inputs[0].number
    home = {image: "image"}
    members: dict[str, list[Step]] = {}
    for step in steps:
        names = names_of(step.part)
        key = "/".join(names[: 1 + (names[0] in opened)])
        # What comes first in a part, or last in the network, stands beside its box.
        edge = step is steps[-1] or all(home[number] != key for number in step.inputs)
        if key in opened or (step.kind in GLYPHS and step.part == key and edge):
            key = f"{step.kind} {step.output.number}"
        members.setdefault(key, []).append(step)
        home |= {operation.output.number: key for operation in step.operations}
    order = sorted(members, key=lambda key: steps.index(members[key][-1]))
    boxes = {"image": _Box("image", [], 1, "data")}
    kind: Kind = "backbone"
    for key in order:
        mine = members[key]
        if names_of(mine[0].part)[0] in opened:
            kind = "decoder"
        from_image = kind == "decoder" and any(image in step.inputs for step in mine)
        look: Kind = "path from the image" if from_image else kind
        part = _part(cost, key)
        if part is None:
            look = "sum" if mine[0].kind == "sum" else "resampling"
        no_path = part is not None and part.receptive_field is None
        stride = GLOBAL_STRIDE if no_path else strides[mine[-1].output.number]
        boxes[key] = _Box(key, mine, stride, look)
    boxes["logits"] = _Box("logits", members[order[-1]][-1:], 1, "data")
    arrows = [(home[number], key) for key in order for step in members[key] for number in step.inputs]
    arrows = [pair for pair in dict.fromkeys(arrows) if pair[0] != pair[1]]
    return boxes, [*arrows, (order[-1], "logits")]


def _reads_much(part: Part, steps: list[Step]) -> bool:
    """Whether parts of a part read several feature maps from outside: then each is a box of its own."""
    mine = [step for step in steps if names_of(step.part)[0] == part.name]
    written = {operation.output.number for step in mine for operation in step.operations}
    inner = [step for step in mine if len(names_of(step.part)) > 1]
    return len({number for step in inner for number in step.inputs if number not in written}) > 1


def _strides(done: tuple[Operation, ...]) -> dict[int, int]:
    """By how much each feature map is smaller than the image, by its number."""
    image = done[0].inputs[0]
    strides, sizes = {image.number: 1}, {1: image.size}
    for one in done:
        read = min(strides[tensor.number] for tensor in one.inputs)
        stride = GLOBAL_STRIDE if one.kind in GLOBAL else read if read == GLOBAL_STRIDE else read * one.stride
        if one.kind in UPSAMPLINGS:
            stride = max(
                (known for known, size in sizes.items() if size == one.output.size and known < read), default=1
            )
        strides[one.output.number] = stride
        sizes.setdefault(stride, one.output.size)
    return strides


def _part(cost: NetworkCost, key: str) -> Part | None:
    parts, found = cost.parts, None
    for name in names_of(key):
        found = next((part for part in parts if part.name == name), None)
        parts = found.parts if found is not None else ()
    return found


class _Placement:
    """Gives each box its column and its row, from the logits backwards."""

    def __init__(self, boxes: Mapping[str, _Box], arrows: list[tuple[str, str]], columns: Mapping[str, int]) -> None:
        self._boxes, self._columns = boxes, columns
        self._inputs = {key: [tail for tail, head in arrows if head == key] for key in boxes}
        self._cells: dict[str, tuple[float, int]] = {}
        self._raised: set[str] = set()
        self._lateral: list[str] = []
        for key, box in boxes.items():
            tails = self._inputs[key]
            known = [tail for tail in tails if not self._is_backbone(tail)]
            if self._is_upsampling(key) or any(tail in self._raised for tail in tails):
                self._raised.add(key)
            elif box.kind != "backbone" and len(tails) == 1 and all(tail in self._lateral for tail in known):
                self._lateral.append(key)

    def cells(self) -> dict[str, tuple[float, int]]:
        backbone = [key for key in self._boxes if self._is_backbone(key)]
        chain = ["logits"]
        while len(tails := self._inputs[chain[-1]]) == 1 and not self._is_backbone(tails[0]):
            chain += tails
        merge = self._columns[chain[-1]]
        for behind, key in reversed(list(enumerate(reversed(chain)))):
            self._put(key, 0 if key == "logits" else max(0, merge - behind), 0)
        self._follow(chain[-1])
        self._place_laterals()
        decoder = self._cells
        self._cells = {}
        for key in backbone:
            self._put(key, self._columns[key], 0)
        down = 1 + max(row for _, row in self._cells.values()) - min(row for _, row in decoder.values())
        return self._cells | {key: (column, row + down) for key, (column, row) in decoder.items()}

    def _put(self, key: str, column: float, row: int, way: int = 1) -> None:
        while (column, row) in self._cells.values():
            row += way
        self._cells[key] = column, row

    def _follow(self, key: str) -> None:
        """Place what a box reads, and what that reads."""
        column, row = self._cells[key]
        tails = self._inputs[key]
        for tail in tails:
            if tail in self._cells or tail in self._lateral or self._is_backbone(tail):
                continue
            own = self._columns[tail]
            if self._is_upsampling(tail):
                sums = any(self._boxes[one].kind == "sum" for one in (key, *self._inputs[tail]))
                self._put(tail, *((own + 0.5, row) if sums else (own, row + 1)))
            elif own > column:
                self._put(tail, own, row - (self._is_upsampling(key) and column % 1 == 0))
            else:
                self._put(tail, own, row + 1 if len(tails) > 1 else row - 1, 1 if len(tails) > 1 else -1)
            self._follow(tail)

    def _place_laterals(self) -> None:
        taken = set(self._cells.values())
        heads = {key: [head for head in self._cells if key in self._inputs[head]] for key in self._lateral}
        row = 0
        while any(
            (self._columns[key], row) in taken
            or any(self._cells[head][0] == self._columns[key] and self._cells[head][1] <= row for head in heads[key])
            for key in self._lateral
        ):
            row -= 1
        for key in reversed(self._lateral):
            self._put(key, self._columns[key], row, -1)

    def _is_backbone(self, key: str) -> bool:
        return key == "image" or self._boxes[key].kind == "backbone"

    def _is_upsampling(self, key: str) -> bool:
        return self._boxes[key].kind == "resampling"


def _node(box: _Box, cost: NetworkCost, width: float) -> Node:
    if box.key == "image":
        return Node("image", "data", ("Image",), (shape_text(IMAGE_CHANNELS, cost.size),)).fitted(width - 0.2)
    output = box.steps[-1].output
    if box.key == "logits":
        return Node("logits", "data", ("Logits",), (shape_text(output.channels, output.size),)).fitted(width - 0.2)
    if box.kind == "sum":
        return Node(box.key, "sum", ("+",), width=SUM_SIDE, height=SUM_SIDE)
    if box.kind == "resampling":
        return Node(box.key, "resampling", (), lines_of(box.steps[0])).fitted()
    part = _part(cost, box.key)
    assert part is not None  # every other box is named after a part
    room = width - 2 * SIDE_ROOM
    lines = [line for words in _says(part, box) for line in wrapped(words, room, BODY_POINTS)]
    lines += [shape_text(output.channels, output.size)]
    share = part.cost.macs / cost.cost.macs
    title = wrapped(_title(part, box).split(), room, TITLE_POINTS, " ", bold=True)
    return Node(box.key, box.kind, tuple(title), tuple(lines), share, part.cost.num_params).fitted(width)


def _title(part: Part, box: _Box) -> str:
    """Its name, and the stride of a part of the backbone."""
    given, output = box.steps[0].layer.inputs[0], box.steps[-1].output
    stride = round(given.size[0] / output.size[0])
    name = part.name[0].upper() + part.name[1:]
    return f"{name}, stride {stride}" if box.kind == "backbone" and stride > 1 else name


def _says(part: Part, box: _Box) -> Iterator[tuple[str, ...]]:
    """Lines of words: of modules that repeat how many and what they are made of, else what is done in turn."""
    repeated = repeated_name(part)
    if repeated:
        yield (f"{len(part.parts)} × {repeated}",)
        yield traits_of(box.steps)
    else:
        yield words_of(box.steps)


def repeated_name(part: Part) -> str:
    """What a part is made of, `module`, where it is made of such alone and each has parts; else empty."""
    names = {re.sub(r" \d+$", "", inner.name) for inner in part.parts if inner.parts}
    return names.pop() if len(names) == 1 and all(inner.parts for inner in part.parts) else ""
