"""What the drawing of an architecture shows is tested here; that it can be read was looked at."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from stdc_lab.arch import analyse, presets
from stdc_lab.errors import ConfigError
from stdc_lab.reporting.drawing import (
    LONGEST_NAME,
    draw_architecture,
    title_lines,
)
from stdc_lab.reporting.drawing_data import percent, short_count, text_width, wrapped
from stdc_lab.reporting.drawing_network import network_diagram
from tests.families.drawn import SMALL
from tests.reporting.diagrams import EIGHT, SPECS, TWO, behind, network


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
