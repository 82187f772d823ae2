"""What is drawn of the inside of modules."""

from __future__ import annotations

import dataclasses

import pytest

from stdc_lab.arch import analyse, presets
from stdc_lab.reporting.drawing_data import Diagram
from stdc_lab.reporting.drawing_modules import modules_diagram, shown_modules
from tests.reporting.diagrams import EIGHT, SPECS, TINY, module


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
