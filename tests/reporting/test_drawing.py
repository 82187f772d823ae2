"""What the drawing of an architecture shows is tested here; that it can be read was looked at."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.colors import to_hex

from stdc_lab.arch import DecoderSpec, StdcSpec, analyse, presets
from stdc_lab.arch.families.regseg import RegSegSpec
from stdc_lab.errors import ConfigError
from stdc_lab.reporting.drawing import (
    LONGEST_NAME,
    architecture_diagram,
    architecture_figure,
    draw_architecture,
    title_lines,
)
from stdc_lab.reporting.drawing_data import Diagram, Node, percent, short_count, text_width, wrapped
from stdc_lab.reporting.drawing_modules import module_diagram, modules_diagram, shown_modules
from stdc_lab.reporting.drawing_network import network_diagram
from stdc_lab.reporting.drawing_routes import routed
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


@pytest.fixture(params=SPECS, scope="module")
def whole(request):
    size = (8192, 8192) if "huge" in request.param else (512, 1024)
    return architecture_diagram(analyse(SPECS[request.param], size), request.param)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_shares_and_parameters_add_up_to_the_network(spec):
    cost = analyse(spec)
    nodes = network_diagram(cost).nodes
    assert sum(node.share for node in nodes if node.share is not None) == pytest.approx(1)
    assert sum(node.num_params for node in nodes if node.num_params is not None) == cost.cost.num_params


def test_stdc1_is_the_network_of_the_paper():
    diagram = network(presets["stdc1"])
    assert diagram.node("stage 3").title == ("Stage 3, stride 2",)
    assert diagram.node("stage 3").lines == ("2 × module", "conv 1×1, 3×3,", "depthwise", "256 ch · 64×128")
    assert diagram.node("stage 3").cost_lines == ("13.1 % of MACs", "246 k parameters")
    assert diagram.node("stage 1").lines == ("ConvX 3×3", "32 ch · 256×512")
    assert diagram.node("decoder/refinement at 1/32").lines[:2] == ("ConvX 3×3,", "channel attention")
    assert diagram.node("decoder/fusion").lines[:2] == ("concat, ConvX 1×1,", "channel attention")
    assert diagram.node("head").lines == ("ConvX 3×3, conv 1×1", "19 ch · 64×128")
    assert diagram.node("logits").lines == ("19 ch · 512×1024",)
    ups = {node.lines for node in diagram.nodes if node.kind == "resampling"}
    assert ups == {("↑ nearest", "32×64"), ("↑ nearest", "64×128"), ("↑ bilinear", "512×1024")}
    assert behind(diagram, "decoder/fusion") == {"stage 3", "smoothing of 1/16"}
    assert behind(diagram, "decoder/smoothing of 1/16") == {"smoothing of 1/32", "refinement at 1/16"}
    assert behind(diagram, "decoder/smoothing of 1/32") == {"refinement at 1/32", "global context"}
    assert behind(diagram, "decoder/refinement at 1/16") == {"stage 4"}
    assert behind(diagram, "decoder/refinement at 1/32") == behind(diagram, "decoder/global context") == {"stage 5"}
    assert behind(diagram, "head") == {"fusion"}
    assert behind(diagram, "logits") == {"head"}
    assert sum(node.kind == "sum" for node in diagram.nodes) == 2
    labels = ["full size", "1/2", "1/4", "1/8", "1/16", "1/32", "global"]
    assert [band.label for band in diagram.bands] == labels


def test_pp_liteseg_is_the_network_of_its_paper():
    diagram = network(presets["pp_liteseg_t"])
    assert behind(diagram, "decoder/pyramid pooling") == {"stage 5"}
    assert behind(diagram, "decoder/fusion at 1/32") == {"stage 5", "pyramid pooling"}
    assert behind(diagram, "decoder/fusion at 1/16") == {"stage 4", "fusion at 1/32"}
    assert behind(diagram, "decoder/fusion at 1/8") == {"stage 3", "fusion at 1/16"}
    assert behind(diagram, "head") == {"fusion at 1/8"}
    assert " ".join(diagram.node("decoder/pyramid pooling").lines).startswith("pool to 1×1, 2×2, 4×4, ConvX 1×1,")
    assert "spatial attention" in " ".join(diagram.node("decoder/fusion at 1/8").lines)
    channel = network(SMALL["pp_liteseg, channel attention"])
    assert "channel attention" in " ".join(channel.node("decoder/fusion at 1/8").lines)


def test_regseg_is_the_network_of_its_paper():
    diagram = network(presets["regseg"])
    assert behind(diagram, "decoder/fusion at 1/8") == {"lateral at 1/8", "lateral at 1/16"}
    assert behind(diagram, "head") == {"lateral at 1/4", "fusion at 1/8"}
    assert behind(diagram, "decoder/lateral at 1/4") == {"stage 2"}
    said = " ".join(diagram.node("stage 4").lines)
    assert said == "14 × block conv 1×1, 3×3, groups of 16 ch, dilation 1 to 14, channel attention 320 ch · 32×64"
    assert [band.label for band in diagram.bands] == ["full size", "1/2", "1/4", "1/8", "1/16"]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_parts_stand_in_the_column_of_their_resolution(spec):
    """But for what leads from the last merge to the logits: that is drawn on the way."""
    cost = analyse(spec)
    diagram = network_diagram(cost)
    for part in cost.parts:
        if part.name.startswith("stage"):
            stride = round(cost.size[0] / part.output_size[0])
            (band,) = [band for band in diagram.bands if band.label == f"1/{stride}"]
            node = diagram.node(part.name)
            assert band.left < node.left < node.right < band.right
            assert node.bottom < band.bottom


def test_what_comes_from_a_coarser_column_stands_below_what_looks_at_the_backbone():
    diagram = network(presets["stdc1"])
    rows = [diagram.node(f"decoder/{name}").y for name in ("fusion", "smoothing of 1/16", "smoothing of 1/32")]
    assert rows == sorted(rows)
    assert diagram.node("decoder/refinement at 1/32").y == diagram.node("decoder/refinement at 1/16").y == rows[0]
    assert diagram.node("stage 4").bottom < diagram.node("decoder/refinement at 1/16").top


def test_a_spatial_path_feeds_the_fusion_in_place_of_stage_3():
    diagram = network(presets["stdc1_spatial_path"])
    assert behind(diagram, "decoder/fusion") == {"spatial path", "smoothing of 1/16"}
    assert behind(diagram, "decoder/spatial path") == {"image"}
    assert behind(diagram, "stage 4") == {"stage 3"}
    assert diagram.node("decoder/spatial path").kind == "path from the image"


def test_conv_last_stands_between_stage_5_and_the_decoder():
    diagram = network(presets["stdc1_conv_last"])
    assert behind(diagram, "conv_last") == {"stage 5"}
    for reader in ("refinement at 1/32", "global context"):
        assert behind(diagram, f"decoder/{reader}") == {"conv_last"}


def test_without_global_context_nothing_is_added_at_32():
    diagram = network(TWO)
    assert "decoder/global context" not in {node.key for node in diagram.nodes}
    assert sum(node.kind == "sum" for node in diagram.nodes) == 1
    assert behind(diagram, "decoder/smoothing of 1/32") == {"refinement at 1/32"}
    assert "global" not in {band.label for band in diagram.bands}


def test_the_decoders_choices_are_said():
    assert network(TWO).node("decoder/refinement at 1/16").lines[:1] == ("ConvX 3×3",)
    assert ("↑ bilinear", "64×128") in {node.lines for node in network(EIGHT).nodes}
    assert network(EIGHT).node("stage 2").lines[0] == "2 × ConvX 3×3"


def test_odd_sizes_are_rounded_up_as_the_network_does():
    assert network(presets["stdc1"], (101, 67)).node("stage 5").lines[-1] == "1024 ch · 4×3"


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (33, 65), (32, 64), (512, 32)])
@pytest.mark.parametrize("name", ["stdc1", "pp_liteseg_t", "regseg"])
def test_small_images_leave_all_columns_apart(name, size):
    labels = [band.label for band in network(presets[name], size).bands]
    assert labels == [band.label for band in network(presets[name]).bands]


@pytest.mark.parametrize("name", ["stdc1", "stdc2_add", "eight", "two", "huge", "strided3"])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_stdc_module_shows_the_blocks_of_stage_3(name, stride):
    spec = SPECS[name]
    nodes, found, _ = module(spec, stride)
    for number, width in enumerate(spec.block_widths[0], start=1):
        assert f"{width} ch" in nodes[f"block {number}"].lines
    assert f"block {spec.num_blocks + 1}" not in nodes
    assert nodes["concatenation"].lines[0].endswith(f"= {spec.widths[2]} ch")
    given = spec.widths[1] if stride == 2 else spec.widths[2]
    assert nodes["input"].lines[0] == f"{given} ch"
    fed = {tail for tail, head in found if head == "concatenation"}
    assert {f"block {number}" for number in range(2, spec.num_blocks + 1)} < fed
    assert len(fed) == spec.num_blocks


def test_stride_1_concatenates_all_blocks_as_they_are():
    nodes, found, _ = module(presets["stdc1"], 1)
    assert set(nodes) == {"input", "block 1", "block 2", "block 3", "block 4", "concatenation", "output"}
    assert {("block 1", "concatenation"), ("block 1", "block 2"), ("concatenation", "output")} <= found


def test_stride_2_depthwise():
    nodes, found, _ = module(presets["stdc1"], 2)
    assert nodes["downsample"].lines == ("conv 3×3", "depthwise", "stride 2", "128 ch")
    assert {("block 1", "downsample"), ("downsample", "block 2")} <= found
    assert {("block 1", "avg pool 3×3"), ("avg pool 3×3", "concatenation")} <= found
    assert ("block 1", "concatenation") not in found
    assert "stride 2" not in nodes["block 2"].lines


def test_stride_2_strided():
    nodes, found, _ = module(presets["stdc1_strided"], 2)
    assert "stride 2" in nodes["block 2"].lines
    assert "downsample" not in nodes
    assert {("block 1", "block 2"), ("block 1", "avg pool 3×3"), ("avg pool 3×3", "concatenation")} <= found


def test_add_at_stride_1_adds_the_input_itself():
    _, found, _ = module(presets["stdc1_add"], 1)
    assert {("input", "+"), ("concatenation", "+"), ("+", "output")} <= found


def test_add_with_depthwise_takes_block_1_from_the_depthwise_convolution():
    nodes, found, _ = module(presets["stdc1_add"], 2)
    assert "avg pool 3×3" not in nodes
    assert ("downsample", "concatenation") in found
    assert {("input", "residual downsample"), ("residual downsample", "residual projection")} <= found
    assert ("residual projection", "+") in found
    assert "depthwise" in nodes["residual downsample"].lines


def test_add_with_strided_pools_block_1_and_the_input():
    nodes, found, _ = module(EIGHT, 2)
    assert {("block 1", "avg pool 3×3"), ("avg pool 3×3", "concatenation")} <= found
    assert {("input", "avg pool 3×3 again"), ("avg pool 3×3 again", "residual projection")} <= found
    assert nodes["residual projection"].lines == ("conv 1×1", "256 ch")


def test_a_d_block_has_two_dilated_halves_attention_and_a_shortcut():
    nodes, found, notes = module(presets["regseg"], 1)
    assert nodes["conv 2"].lines == ("conv 3×3", "8 groups", "128 ch")
    assert nodes["conv 2 again"].lines == ("conv 3×3", "8 groups", "dilation 2", "128 ch")
    assert nodes["concatenation"].lines == ("128 + 128 = 256 ch", "batch norm, ReLU")
    assert nodes["concatenation"].top == pytest.approx(nodes["conv 2"].top)
    assert nodes["concatenation"].bottom == pytest.approx(nodes["conv 2 again"].bottom)
    assert found == {
        ("input", "conv 1"),
        ("conv 1", "conv 2"),
        ("conv 1", "conv 2 again"),
        ("conv 2", "concatenation"),
        ("conv 2 again", "concatenation"),
        ("concatenation", "channel"),
        ("concatenation", "×"),
        ("channel", "×"),
        ("×", "conv 3"),
        ("conv 3", "+"),
        ("input", "+"),
        ("+", "output"),
    }
    assert nodes["channel"].lines == ("channel", "attention", "conv 1×1, 1×1")
    assert nodes["+"].lines == ("ReLU",)
    assert notes[0].text == "Stride 1: blocks 3 to 13 of stage 4"
    assert notes[1].text.startswith("block 3: ")
    assert notes[1].text.endswith("; dilations here: 2, 4, 14")
    nodes, found, _ = module(presets["regseg"], 2)
    assert {("input", "avg pool 2×2"), ("avg pool 2×2", "shortcut"), ("shortcut", "+")} <= found
    assert nodes["conv 2"].lines == ("ConvX 3×3", "16 groups", "stride 2", "256 ch")


def test_stages_of_one_module_have_none_at_stride_1():
    assert [shown.stride for shown in shown_modules(analyse(TINY))] == [2]
    _, _, notes = module(presets["stdc2"], 1)
    assert notes[0].text == "Stride 1: modules 2 to 4 of stage 3"
    assert notes[1].text.startswith("module 2: ")
    _, _, notes = module(presets["stdc1"], 1)
    assert notes[0].text == "Stride 1: module 2 of stage 3"
    # The first stage that has both.
    assert {one.stage for one in shown_modules(analyse(presets["stdc1"].replace(depths=[1, 2, 2])))} == {"stage 4"}


def test_a_network_without_modules_is_drawn_without_them():
    cost = analyse(presets["stdc1"])
    plain = dataclasses.replace(cost, parts=tuple(dataclasses.replace(part, parts=()) for part in cost.parts))
    assert modules_diagram(plain) == Diagram(13.4, 0, (), ())


def test_an_arrow_goes_round_rather_than_along_another():
    """Both sides of the head are built up, and the way in from above is taken."""
    at = {"head": (2, 3), "near": (2, 2), "far": (0.5, 2), "left": (1.4, 3), "right": (2.6, 3)}
    nodes = {key: Node(key, "data", x=x, y=y, width=0.4, height=0.4) for key, (x, y) in at.items()}
    near, far = routed(nodes, [("far", "head"), ("near", "head")])
    assert near.points == ((2, 2.2), (2, 2.8))
    assert far.points[-1] != near.points[-1]
    (alone,) = routed(nodes, [("far", "head")])
    assert alone.points[-1] == near.points[-1]


def test_numbers_in_few_letters():
    assert [short_count(n) for n in (928, 18_560, 999_600, 8_275_104, 1_208_000_000)] == [
        "928",
        "18.6 k",
        "1 M",
        "8.28 M",
        "1.21 G",
    ]
    assert [percent(share) for share in (0, 0.0001, 0.131)] == ["0.0 %", "< 0.1 %", "13.1 %"]


def test_words_go_on_in_the_next_line():
    width = text_width("one, two,", 8)
    assert wrapped(["one", "two", "three"], width, 8) == ["one, two,", "three"]
    assert wrapped([], width, 8) == []
    assert text_width("W", 8, True) > text_width("W", 8) > text_width("i", 8)


def test_the_title_says_name_identity_size_and_cost():
    cost = analyse(presets["stdc1"])
    name, facts = title_lines(cost, "my net")
    assert name == "my net"
    for fact in (presets["stdc1"].arch_id, "input 512×1024", "19 classes", "8,275,104 parameters", "16.86 GMACs"):
        assert fact in facts
    assert title_lines(cost)[0] == "Segmentation network of the family stdc"


def test_a_name_is_one_line_of_printable_letters():
    cost = analyse(presets["stdc1"])
    assert title_lines(cost, "a\n\tb\x00c\ud800")[0] == "a b c"
    long = title_lines(cost, "W" * 500)[0]
    assert len(long) == LONGEST_NAME
    assert long.endswith("…")


def test_boxes_lie_apart_and_inside(whole):
    for node in whole.nodes:
        assert 0.1 < node.left < node.right < whole.width - 0.1, node.key
        assert 0.1 < node.top < node.bottom < whole.height - 0.1, node.key
    for one, other in itertools.combinations(whole.nodes, 2):
        apart = one.right < other.left or other.right < one.left or one.bottom < other.top or other.bottom < one.top
        assert apart, (one.key, other.key)


def test_arrows_touch_no_box_but_their_own(whole):
    for edge in whole.edges:
        for (x0, y0), (x1, y1) in itertools.pairwise(edge.points):
            assert x0 == pytest.approx(x1) or y0 == pytest.approx(y1), edge
            for node in whole.nodes:
                if node.key not in (edge.tail, edge.head):
                    beside = max(x0, x1) < node.left or min(x0, x1) > node.right
                    assert beside or max(y0, y1) < node.top or min(y0, y1) > node.bottom, (edge, node.key)
        tail, head = whole.node(edge.tail), whole.node(edge.head)
        for node, (x, y) in ((tail, edge.points[0]), (head, edge.points[-1])):
            assert max(abs(x - node.x) / node.width, abs(y - node.y) / node.height) == pytest.approx(0.5), edge
        lengths = [abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in itertools.pairwise(edge.points)]
        assert lengths[-1] > 0.1, edge


def test_arrows_of_different_boxes_run_apart(whole):
    """Side by side, at some distance; they may cross."""
    pieces = [(edge.tail, *piece) for edge in whole.edges for piece in itertools.pairwise(edge.points)]
    for (tail, (x0, y0), (x1, y1)), (other, (u0, v0), (u1, v1)) in itertools.combinations(pieces, 2):
        if tail == other:
            continue
        beside = (
            y0 == y1
            and v0 == v1
            and abs(y0 - v0) < 0.05
            and max(min(x0, x1), min(u0, u1)) < min(max(x0, x1), max(u0, u1))
        )
        below = (
            x0 == x1
            and u0 == u1
            and abs(x0 - u0) < 0.05
            and max(min(y0, y1), min(v0, v1)) < min(max(y0, y1), max(v0, v1))
        )
        assert not beside and not below, (tail, other)


def test_texts_lie_apart_and_cross_no_border_or_arrow(whole):
    figure = architecture_figure(whole)
    figure.draw_without_rendering()
    to_inches = figure.axes[0].transData.inverted()
    texts = {}
    for text in figure.axes[0].texts:
        assert text.get_fontsize() >= 7
        (left, bottom), (right, top) = to_inches.transform(text.get_window_extent().get_points())
        # What counts is where the letters are, without the room that a line of text keeps above and below.
        middle, half = (top + bottom) / 2, 0.36 * text.get_fontsize() / 72
        texts[text] = (left, middle - half, right, middle + half)
    for (one, a), (other, b) in itertools.combinations(texts.items(), 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], (one, other)
    for text, (left, top, right, bottom) in texts.items():
        assert 0.1 < left < right < whole.width - 0.1, text
        for node in whole.nodes:
            inside = node.left + 0.02 < left and right < node.right - 0.02 and node.top < top and bottom < node.bottom
            outside = right < node.left or left > node.right or bottom < node.top or top > node.bottom
            assert inside or outside, (text, node.key)
        for edge in whole.edges:
            for (x0, y0), (x1, y1) in itertools.pairwise(edge.points):
                beside = max(x0, x1) < left or min(x0, x1) > right
                assert beside or max(y0, y1) < top or min(y0, y1) > bottom, (text, edge)


def test_kinds_differ_by_more_than_colour(whole):
    """Backbone, decoder and spatial path: by the dashes of their borders."""
    patches = [patch for patch in architecture_figure(whole).axes[0].patches if hasattr(patch, "get_boxstyle")]
    looks = {to_hex(patch.get_edgecolor()): str(patch.get_linestyle()) for patch in patches}
    coloured = [style for colour, style in looks.items() if colour in ("#0072b2", "#009e73", "#d55e00")]
    assert len(set(coloured)) == len(coloured) >= 2


def test_svg_keeps_its_text_and_escapes_a_name(tmp_path):
    path = tmp_path / "net.SVG"
    draw_architecture(presets["stdc1"], path, name="<b>$x_1$ & 街\x07</b>")
    root = ElementTree.fromstring(path.read_bytes())
    said = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>$x_1$ & 街 </b>" in said
    assert {"Stage 5, stride 2", "Concatenation", "128 + 64 + 32 + 32 = 256 ch"} <= set(said)
    assert not any("FLOP" in text for text in said)


def test_png(tmp_path):
    path = tmp_path / "net.png"
    draw_architecture(TWO, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_two_drawings_are_equal_to_the_byte(tmp_path, suffix):
    paths = [tmp_path / f"{number}.{suffix}" for number in range(2)]
    for path in paths:
        draw_architecture(presets["stdc1_add"], path, name="twice")
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("name", ["net.pdf", "net"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"^--draw: got .*net.*; allowed: a file name ending in \.svg or \.png$"):
        draw_architecture(presets["stdc1"], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    with pytest.raises(ConfigError, match=r"^--draw: .*net\.svg: cannot be written: No such file or directory$"):
        draw_architecture(TWO, tmp_path / "nowhere" / "net.svg")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"cannot be written: Is a directory"):
        draw_architecture(TWO, tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_drawing_needs_neither_torch_nor_pyplot():
    code = (
        "import sys, stdc_lab.reporting.drawing; "
        "sys.exit(' '.join({'torch', 'matplotlib.pyplot'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
