import csv
import json
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec, preset, presets
from stdc_lab.arch.channels import split_channels
from stdc_lab.errors import SpecError
from tests.arch.strategies import specs


def test_the_released_schedule() -> None:
    assert split_channels(256, 4, 0.5) == (128, 64, 32, 32)
    assert split_channels(1024, 2, 0.5) == (512, 512)
    assert split_channels(1024, 6, 0.5) == (512, 256, 128, 64, 32, 32)


def test_ratio_one_is_uniform_and_above_one_grows() -> None:
    assert split_channels(256, 4, 1.0) == (64, 64, 64, 64)
    widths = split_channels(240, 4, 2.0)
    assert list(widths) == sorted(widths) and widths[-1] == widths[-2]


@given(st.integers(2, 8), st.integers(0, 2000), st.floats(0.05, 16), st.sampled_from([1, 2, 8]))
def test_block_widths_sum_exactly_and_none_is_empty(blocks: int, extra: int, ratio: float, multiple: int) -> None:
    widths = split_channels((blocks + extra) * multiple, blocks, ratio, multiple)
    assert len(widths) == blocks and sum(widths) == (blocks + extra) * multiple and min(widths) >= multiple
    assert all(width % multiple == 0 for width in widths)


@given(st.integers(2, 8), st.integers(0, 2000), st.floats(0.05, 16))
def test_no_block_is_further_than_rounding_from_its_share(blocks: int, extra: int, ratio: float) -> None:
    shares = [ratio ** min(i, blocks - 2) for i in range(blocks)]
    width = blocks + extra
    for given_width, share in zip(split_channels(width, blocks, ratio), shares, strict=True):
        exact = width * share / sum(shares)
        # A block that would be empty takes its one channel from the widest.
        assert -blocks < given_width - max(1, exact) < 1 + 1e-9


@given(st.integers(2, 8), st.integers(1, 40))
def test_a_ratio_of_a_half_gives_the_released_widths(blocks: int, times: int) -> None:
    width = times * 2 ** (blocks - 1)
    released = [width // 2**i for i in range(1, blocks)]
    assert list(split_channels(width, blocks, 0.5)) == [*released, released[-1]]


def test_multiples_of_eight() -> None:
    assert split_channels(96, 4, 0.35, 8) == (56, 24, 8, 8)
    assert StdcSpec(channel_multiple=8).arch_id == StdcSpec().arch_id  # the released widths are such


def test_base_width_is_shorthand() -> None:
    assert StdcSpec(base_width=32).widths == (16, 32, 128, 256, 512)
    assert StdcSpec(base_width=64).arch_id == StdcSpec().arch_id == StdcSpec(widths=(32, 64, 256, 512, 1024)).arch_id


def test_equal_networks_have_equal_ids_however_they_are_written() -> None:
    plain = StdcSpec()
    assert StdcSpec(kernels=(1, 3, 3, 3), decoder=DecoderSpec(128)).arch_id == plain.arch_id
    assert StdcSpec(num_blocks=2, channel_ratio=0.3).arch_id == StdcSpec(num_blocks=2, channel_ratio=3).arch_id
    assert ArchSpec.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain


@pytest.mark.parametrize(
    "change",
    [
        {"depths": (2, 2, 3)},
        {"num_blocks": 3},
        {"channel_ratio": 1.0},
        {"kernels": (3, 3, 3, 3)},
        {"base_width": 48},
        {"decoder": {"context_width": 64}},
        {"fusion": "add"},
        {"downsample": "strided"},
        {"stem_depths": (2, 1)},
        {"stem_depths": (1, 2)},
        {"conv_last": True},
        {"num_blocks": 6, "channel_multiple": 32},
        {"decoder": {"attention": False}},
        {"decoder": {"global_context": False}},
        {"decoder": {"spatial_path": True}},
        {"decoder": {"interpolation": "bilinear"}},
    ],
)
def test_another_network_has_another_id(change: dict[str, object]) -> None:
    assert presets["stdc1"].replace(**change).arch_id != presets["stdc1"].arch_id


def test_ids_stay() -> None:
    # Trials are kept under these: a change makes every stored study foreign.
    assert {name: spec.arch_id for name, spec in presets.items()} == {
        "stdc1": "9450acb87c7f",
        "stdc2": "f5f198386d42",
        "stdc1_spatial_path": "95abe7851c2e",
        "stdc2_spatial_path": "3237f741c1b7",
        "stdc1_blocks2": "fbaed6422240",
        "stdc1_blocks3": "9e0545aef962",
        "stdc1_blocks5": "f904f2149b7d",
        "stdc1_blocks6": "0b3482f5da87",
        "stdc2_blocks2": "e2d3360fa7ce",
        "stdc2_blocks3": "618e22d22c45",
        "stdc2_blocks5": "da129791dcb2",
        "stdc2_blocks6": "aa53daab2773",
        "stdc1_uniform": "f17bfc61ee42",
        "stdc1_growing": "3832a3d2e8ba",
        "stdc1_add": "8f2b28ade817",
        "stdc2_add": "9220715f1acc",
        "stdc1_strided": "2e4fe404d0a6",
        "stdc2_strided": "a04fb695faf3",
        "stdc1_stem2": "7c681136ae40",
        "stdc1_conv_last": "2e1a475f3a42",
        "pp_liteseg_t": "7b9b5db07c23",
        "pp_liteseg_b": "e9a76fe12e99",
        "regseg": "f705201ddaf9",
        "regseg_large": "afd2d3997398",
    }


def test_the_ids_of_the_committed_study_stay() -> None:
    with (Path(__file__).parents[2] / "reports" / "camvid_pareto" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert [ArchSpec.from_dict(json.loads(row["arch"])).arch_id for row in rows] == [row["arch_id"] for row in rows]


@given(specs(max_depth=8), st.randoms())
def test_a_spec_survives_yaml_and_json_in_any_order_of_keys(spec: ArchSpec, random: Random) -> None:
    def shuffled(mapping: dict) -> dict:
        keys = list(mapping)
        random.shuffle(keys)
        return {key: shuffled(mapping[key]) if isinstance(mapping[key], dict) else mapping[key] for key in keys}

    fields = shuffled(spec.to_dict())
    through_json = ArchSpec.from_dict(json.loads(json.dumps(fields)))
    text = StringIO()
    YAML(typ="safe").dump(fields, text)
    through_yaml = ArchSpec.from_dict(YAML(typ="safe", pure=True).load(text.getvalue()))
    assert through_json == through_yaml == spec
    assert through_json.arch_id == through_yaml.arch_id == spec.arch_id
    assert hash(through_json) == hash(spec)


@given(specs())
def test_an_id_does_not_depend_on_defaults_written_out(spec: ArchSpec) -> None:
    plain, decoder = StdcSpec(num_blocks=spec.num_blocks).to_dict(), DecoderSpec()
    fields = {name: value for name, value in spec.to_dict().items() if value != plain[name] or name == "num_blocks"}
    if "decoder" in fields:
        fields["decoder"] = {k: v for k, v in fields["decoder"].items() if v != getattr(decoder, k)}
    assert ArchSpec.from_dict(fields).arch_id == spec.arch_id


def test_a_mapping_changes_of_the_decoder_what_it_names() -> None:
    spec = presets["stdc1_spatial_path"].replace(decoder={"head_width": 64})
    assert spec.decoder == DecoderSpec(head_width=64, spatial_path=True)


def test_replace_keeps_kernels_that_were_chosen_and_refits_those_that_were_not() -> None:
    assert StdcSpec().replace(num_blocks=6).kernels == (1, 3, 3, 3, 3, 3)
    with pytest.raises(SpecError, match=r"kernels: got 3, 3, 3, 3; allowed: num_blocks \(6\) numbers"):
        StdcSpec(kernels=(3, 3, 3, 3)).replace(num_blocks=6)


def test_a_spec_is_hashable_and_frozen() -> None:
    assert len({StdcSpec(), StdcSpec(base_width=64), presets["stdc2"]}) == 2
    with pytest.raises(AttributeError):
        StdcSpec().num_blocks = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"widths": (32, 64, 256)}, r"widths: got 32, 64, 256; allowed: five numbers"),
        ({"widths": (32, 64, 3, 512, 1024)}, r"widths, stage 3: got 3; allowed: at least num_blocks \(4\)"),
        ({"widths": "wide"}, r"widths: got 'wide'; allowed: a list of whole numbers"),
        ({"base_width": 63}, r"base_width: got 63; allowed: an even number"),
        ({"base_width": 32, "widths": (32, 64, 256, 512, 1024)}, r"base_width: got 32.*allowed: one of the two"),
        ({"depths": (2, 0, 2)}, r"depths, stage 4: got 0; allowed: a whole number from 1"),
        ({"depths": (2, 2)}, r"depths: got 2, 2; allowed: three numbers"),
        ({"num_blocks": 1}, r"num_blocks: got 1; allowed: a whole number from 2 to 8"),
        ({"num_blocks": True}, r"num_blocks: got True"),
        ({"channel_ratio": 0}, r"channel_ratio: got 0; allowed: a number above 0"),
        ({"channel_ratio": float("nan")}, r"channel_ratio: got nan"),
        ({"kernels": (1, 3, 4, 3)}, r"kernels, block 3: got 4; allowed: odd numbers"),
        ({"kernels": (1, 3)}, r"kernels: got 1, 3; allowed: num_blocks \(4\) numbers"),
        ({"decoder": {"contextwidth": 3}}, r"decoder.contextwidth: no such field \(did you mean decoder.context_width"),
        ({"decoder": {"head_width": 0}}, r"decoder.head_width: got 0; allowed: a whole number from 4"),
        ({"decoder": 7}, r"decoder: got 7; allowed: a decoder, such as DecoderSpec"),
        ({"decoder": {"attention": 1}}, r"decoder.attention: got 1; allowed: true, false"),
        ({"decoder": {"spatial_path": "yes"}}, r"decoder.spatial_path: got 'yes'; allowed: true, false"),
        ({"decoder": {"interpolation": "cubic"}}, r"decoder.interpolation: got 'cubic'; allowed: nearest, bilinear"),
        ({"fusion": "sum"}, r"fusion: got 'sum'; allowed: cat, add"),
        ({"fusion": None}, r"fusion: got None; allowed: cat, add"),
        ({"downsample": "pool"}, r"downsample: got 'pool'; allowed: depthwise, strided"),
        ({"conv_last": 1}, r"conv_last: got 1; allowed: true, false"),
        ({"stem_depths": (1, 3)}, r"stem_depths, stage 2: got 3; allowed: a whole number from 1 to 2"),
        ({"stem_depths": (1,)}, r"stem_depths: got 1; allowed: two numbers, one for each of stages 1 and 2"),
        ({"channel_multiple": 0}, r"channel_multiple: got 0; allowed: a whole number from 1 to 64"),
        (
            {"channel_multiple": 8, "widths": (32, 64, 100, 512, 1024)},
            r"widths, stage 3: got 100; allowed: multiples of channel_multiple \(8\)",
        ),
        (
            {"channel_multiple": 64, "widths": (32, 64, 128, 512, 1024)},
            r"widths, stage 3: got 128; allowed: at least num_blocks \(4\) × channel_multiple \(64\), 64 channels",
        ),
        ({"num_block": 3}, r"num_block: no such field \(did you mean num_blocks\?\); allowed: base_width, widths"),
    ],
)
def test_impossible_networks_are_refused_with_field_got_and_allowed(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ArchSpec.from_dict(fields)


def test_an_unknown_preset() -> None:
    with pytest.raises(SpecError, match=r"got 'stdc3' \(did you mean stdc2\?\); allowed: stdc1, stdc2"):
        preset("stdc3")
