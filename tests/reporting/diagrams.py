"""Architectures that are drawn, and what a diagram says."""

from __future__ import annotations

from stdc_lab.arch import DecoderSpec, StdcSpec, analyse, presets
from stdc_lab.arch.families.regseg import RegSegSpec
from stdc_lab.reporting.drawing_modules import module_diagram, shown_modules
from stdc_lab.reporting.drawing_network import network_diagram
from tests.families.drawn import SMALL

EIGHT = StdcSpec(
    num_blocks=8,
    fusion="add",
    downsample="strided",
    stem_depths=(2, 2),
    conv_last=True,
    decoder=DecoderSpec(spatial_path=True, interpolation="bilinear"),
)
TWO = StdcSpec(num_blocks=2, channel_ratio=1.0, decoder=DecoderSpec(attention=False, global_context=False))
HUGE = StdcSpec(widths=(8192,) * 5, depths=(64, 1, 64), fusion="add", num_blocks=8, channel_ratio=1, kernels=(31,) * 8)
TINY = StdcSpec(widths=(1, 1, 5, 5, 5), depths=(1, 1, 1), num_blocks=5, decoder=DecoderSpec(4, 4, 4))
STRIDED3 = StdcSpec(num_blocks=3, downsample="strided", conv_last=True)
BINS = presets["pp_liteseg_t"].replace(
    conv_last=True, stem_depths=(2, 1), decoder={"bins": list(range(1, 65, 4)), "attention": "channel"}
)
PLAIN = RegSegSpec(dilations=(1,), depths=(1, 1))
HUGE_REGSEG = RegSegSpec(
    stem_width=8192,
    widths=(8192,) * 3,
    last_width=8192,
    depths=(64, 64),
    dilations=(256,) * 63,
    group_width=8,
    skip_width=8192,
    lateral_width=8192,
    decoder_width=8192,
)
SPECS = {
    "stdc1": presets["stdc1"],
    "stdc2_add": presets["stdc2_add"],
    "stdc1_spatial_path": presets["stdc1_spatial_path"],
    "pp_liteseg_b": presets["pp_liteseg_b"],
    "regseg_large": presets["regseg_large"],
    **{f"small {name}": spec for name, spec in SMALL.items()},
    "eight": EIGHT,
    "two": TWO,
    "huge": HUGE,
    "tiny": TINY,
    "strided3": STRIDED3,
    "bins": BINS,
    "plain": PLAIN,
    "huge regseg": HUGE_REGSEG,
}


def network(spec, size=(512, 1024)):
    return network_diagram(analyse(spec, size))


def module(spec, stride):
    """Boxes by what they say first, beside the numbers that tell equals apart, and arrows between those."""
    cost = analyse(spec)
    (one,) = [shown for shown in shown_modules(cost) if shown.stride == stride]
    diagram = module_diagram(one, cost)
    names = {}
    for node in diagram.nodes:
        name = " ".join((*node.title, *node.lines[: not node.title])).lower()
        names[node.key] = f"{name} again" if name in names.values() else name
    nodes = {names[node.key]: node for node in diagram.nodes}
    return nodes, {(names[edge.tail], names[edge.head]) for edge in diagram.edges}, diagram.notes


def arrows(diagram):
    return {(edge.tail, edge.head) for edge in diagram.edges}


def behind(diagram, key):
    """The parts that a box reads from, through sums and interpolations."""
    found = set()
    for tail, head in arrows(diagram):
        if head == key:
            glyph = diagram.node(tail).share is None and tail != "image"
            found |= behind(diagram, tail) if glyph else {tail.removeprefix("decoder/")}
    return found
