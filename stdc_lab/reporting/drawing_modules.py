"""What a drawing of STDC modules shows: blocks in a row, the concatenation under them, the residual at their left.

`nn/families/stdc.py` builds what this draws (section 3.1, figure 3). Lengths are inches, as in `drawing_data.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import NetworkCost, Part
from stdc_lab.arch.graph import Size
from stdc_lab.reporting.drawing_data import (
    MARGIN,
    SUM_SIDE,
    WIDTH,
    Diagram,
    Kind,
    Node,
    Note,
    Way,
    connect,
    percent,
    shape_text,
    short_count,
)

GAP = 0.4
HALF = (WIDTH - 2 * MARGIN - GAP) / 2
STAGE = 3
INPUT_WIDTH, DEPTHWISE_WIDTH, WIDEST_BLOCK = 0.78, 0.64, 0.96
BLOCKS_Y, POOL_Y, BAR_Y, SUM_Y = 0.98, 1.83, 2.49, 2.98
BLOCK_HEIGHT, POOL_HEIGHT, BAR_HEIGHT, DATA_HEIGHT = 0.78, 0.5, 0.44, 0.42


def modules_diagram(cost: NetworkCost) -> Diagram:
    """The modules of stage 3 at stride 1 and at stride 2, side by side."""
    one, two = module_diagram(cost, 1), module_diagram(cost, 2).moved(HALF + GAP, 0)
    return Diagram(
        WIDTH - 2 * MARGIN,
        max(one.height, two.height),
        one.nodes + two.nodes,
        one.edges + two.edges,
        one.notes + two.notes,
    )


def module_diagram(cost: NetworkCost, stride: int) -> Diagram:
    """A module of stage 3: its first one (stride 2) or any other (stride 1). Keys of boxes begin with the stride."""
    spec = cost.spec
    boxes = list(_module_boxes(cost, stride))
    slots = _slots(spec, stride)
    nodes: dict[str, Node] = {}
    for box in boxes:
        first, last = slots[box.slots[0]], slots[box.slots[-1]]
        x, width = (first[0] + last[1]) / 2, last[1] - first[0]
        if box.width is not None:
            width = box.width
        key = f"stride {stride}: {box.key}"
        nodes[box.key] = Node(key, box.kind, x, box.y, width, box.height, box.title, box.lines)
    edges = tuple(connect(nodes[tail], nodes[head], leave, enter) for tail, head, leave, enter in _flows(spec, stride))
    bottom = max(node.bottom for node in nodes.values())
    notes = tuple(_notes(cost, stride, bottom + 0.22))
    return Diagram(HALF, bottom + 0.35, tuple(nodes.values()), edges, notes)


def fraction_text(width: int, whole: int) -> str:
    """A block's channels as a part of the module's, `N/4`; empty where it is no whole part."""
    return "" if whole % width else f"N/{whole // width}"


class _Box(NamedTuple):
    key: str
    kind: Kind
    slots: tuple[str, ...]
    y: float
    height: float
    title: str
    lines: tuple[str, ...]
    width: float | None = None


def _slots(spec: ArchSpec, stride: int) -> dict[str, tuple[float, float]]:
    """Left and right end of what stands in the row: input, blocks, and perhaps a depthwise convolution."""
    gap = 0.24 if spec.num_blocks <= 5 else 0.13
    between = DEPTHWISE_WIDTH + gap if spec.downsample == "depthwise" else 0.0
    # Both modules get blocks of one size, that of the longer row.
    block = min(WIDEST_BLOCK, (HALF - INPUT_WIDTH - between) / spec.num_blocks - gap)
    row = {"input": INPUT_WIDTH, **{f"block {number}": block for number in range(1, spec.num_blocks + 1)}}
    if stride == 2 and between:
        row = {"input": INPUT_WIDTH, "block 1": block, "downsample": DEPTHWISE_WIDTH, **row}
    at = (HALF - sum(row.values()) - gap * (len(row) - 1)) / 2
    slots = {}
    for key, width in row.items():
        slots[key] = (at, at + width)
        at += width + gap
    return slots


def _module_boxes(cost: NetworkCost, stride: int) -> Iterator[_Box]:
    spec = cost.spec
    widths, sizes = spec.block_widths[STAGE - 3], [part.output_size for part in cost.parts]
    whole, before = spec.widths[STAGE - 1], _input_channels(spec, stride)
    size, input_size = sizes[STAGE - 1], sizes[STAGE - stride]
    halves = stride == 2
    depthwise = halves and spec.downsample == "depthwise"
    symbol = "M" if halves else "N"
    lines = (f"{symbol} = {before} ch", f"{input_size[0]}×{input_size[1]}")
    yield _Box("input", "data", ("input",), BLOCKS_Y, 0.56, "Input", lines)
    for block, (width, kernel) in enumerate(zip(widths, spec.kernels, strict=True), start=1):
        strided = ("stride 2",) if halves and not depthwise and block == 2 else ()
        fraction = fraction_text(width, whole)
        what = f"{kernel}×{kernel}" if spec.num_blocks > 5 else f"ConvX {kernel}×{kernel}"
        texts = (what, *strided, f"{width} ch", *((fraction,) if fraction else ()))
        yield _Box(f"block {block}", "backbone", (f"block {block}",), BLOCKS_Y, BLOCK_HEIGHT, f"Block {block}", texts)
    if depthwise:
        texts = ("3×3", "depthwise", "stride 2", f"{widths[0]} ch")
        yield _Box("downsample", "resampling", ("downsample",), BLOCKS_Y, BLOCK_HEIGHT, "", texts)
    if _pools(spec, stride):
        yield _Box("pool", "resampling", ("block 1",), POOL_Y, POOL_HEIGHT, "", ("3×3", "avg pool", "stride 2"))
    yield from _end_boxes(spec, stride, size)
    if spec.fusion == "add":
        yield from _residual_boxes(spec, stride)


def _end_boxes(spec: ArchSpec, stride: int, size: Size) -> Iterator[_Box]:
    widths, whole = spec.block_widths[STAGE - 3], spec.widths[STAGE - 1]
    all_blocks = ("block 1", f"block {spec.num_blocks}")
    total = f"{' + '.join(map(str, widths))} = {whole} ch"
    yield _Box("concatenation", "concatenation", all_blocks, BAR_Y, BAR_HEIGHT, "Concatenation", (total,))
    adds = spec.fusion == "add"
    if adds:
        yield _Box("sum", "sum", all_blocks, SUM_Y, SUM_SIDE, "+", (), SUM_SIDE)
    y = (SUM_Y + SUM_SIDE / 2 if adds else BAR_Y + BAR_HEIGHT / 2) + 0.2 + DATA_HEIGHT / 2
    lines = (f"N = {shape_text(whole, size)}",)
    yield _Box("output", "data", all_blocks, y, DATA_HEIGHT, "Output", lines, 1.8)


def _residual_boxes(spec: ArchSpec, stride: int) -> Iterator[_Box]:
    """What the input passes on its way to the sum."""
    if stride == 1:
        yield _Box("identity", "resampling", ("input",), POOL_Y, 0.28, "", ("identity",))
        return
    how = ("3×3", "depthwise", "stride 2") if spec.downsample == "depthwise" else ("3×3", "avg pool", "stride 2")
    yield _Box("residual downsample", "resampling", ("input",), POOL_Y, POOL_HEIGHT, "", how)
    lines = ("conv 1×1", f"{spec.widths[STAGE - 1]} ch")
    yield _Box("residual projection", "resampling", ("input",), BAR_Y, BAR_HEIGHT, "", lines)


def _flows(spec: ArchSpec, stride: int) -> Iterator[tuple[str, str, Way, Way]]:
    """Tail, head and the directions in which an arrow leaves the one and enters the other."""
    blocks = [f"block {number}" for number in range(1, spec.num_blocks + 1)]
    chain = ["input", *blocks]
    depthwise = stride == 2 and spec.downsample == "depthwise"
    if depthwise:
        chain.insert(2, "downsample")
    for tail, head in pairwise(chain):
        yield tail, head, "right", "right"
    if _pools(spec, stride):
        yield "block 1", "pool", "down", "down"
        yield "pool", "concatenation", "down", "down"
    else:
        yield "downsample" if depthwise else "block 1", "concatenation", "down", "down"
    for block in blocks[1:]:
        yield block, "concatenation", "down", "down"
    if spec.fusion != "add":
        yield "concatenation", "output", "down", "down"
        return
    yield "concatenation", "sum", "down", "down"
    yield "sum", "output", "down", "down"
    residual = ["identity"] if stride == 1 else ["residual downsample", "residual projection"]
    for tail, head in pairwise(["input", *residual]):
        yield tail, head, "down", "down"
    yield residual[-1], "sum", "down", "right"


def _notes(cost: NetworkCost, stride: int, y: float) -> Iterator[Note]:
    spec = cost.spec
    part = module_part(cost, stride)
    yield Note(0, 0.1, f"Stride {stride}: {_which(spec, stride)}", 9, True)
    if part is not None:
        share = percent(part.cost.macs / cost.cost.macs)
        each = "each " if stride == 1 and spec.depths[STAGE - 3] > 2 else ""
        yield Note(0, 0.31, f"{each}{share} of MACs, {short_count(part.cost.num_params)} parameters")
    if stride == 2 and spec.downsample == "depthwise" and spec.fusion == "add":
        text = "Block 1 enters the concatenation as the depthwise convolution leaves it, without pooling."
        yield Note(0, y, text)


def module_part(cost: NetworkCost, stride: int) -> Part | None:
    """The module of stage 3 with that stride in the network's cost; None where the stage has none."""
    modules = next(part for part in cost.parts if part.name == f"stage {STAGE}").parts
    if stride == 2:
        return modules[0]
    return modules[1] if len(modules) > 1 else None


def _which(spec: ArchSpec, stride: int) -> str:
    depth = spec.depths[STAGE - 3]
    if stride == 2:
        return f"the first module of stage {STAGE}"
    if depth == 1:
        return f"no module of stage {STAGE} here, which has one"
    return f"module 2 of stage {STAGE}" if depth == 2 else f"modules 2 to {depth} of stage {STAGE}"


def _input_channels(spec: ArchSpec, stride: int) -> int:
    return spec.widths[STAGE - 2] if stride == 2 else spec.widths[STAGE - 1]


def _pools(spec: ArchSpec, stride: int) -> bool:
    return stride == 2 and not (spec.downsample == "depthwise" and spec.fusion == "add")
