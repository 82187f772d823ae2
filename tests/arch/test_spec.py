import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stdc_lab.arch import ArchSpec, DecoderSpec, preset, presets
from stdc_lab.arch.channels import split_channels
from stdc_lab.errors import SpecError


def test_the_released_schedule() -> None:
    assert split_channels(256, 4, 0.5) == (128, 64, 32, 32)
    assert split_channels(1024, 2, 0.5) == (512, 512)
    assert split_channels(1024, 6, 0.5) == (512, 256, 128, 64, 32, 32)


def test_ratio_one_is_uniform_and_above_one_grows() -> None:
    assert split_channels(256, 4, 1.0) == (64, 64, 64, 64)
    widths = split_channels(240, 4, 2.0)
    assert list(widths) == sorted(widths) and widths[-1] == widths[-2]


@given(st.integers(2, 8), st.integers(0, 2000), st.floats(0.05, 8))
def test_block_widths_sum_exactly_and_none_is_empty(blocks: int, extra: int, ratio: float) -> None:
    widths = split_channels(blocks + extra, blocks, ratio)
    assert len(widths) == blocks and sum(widths) == blocks + extra and min(widths) >= 1


def test_base_width_is_shorthand() -> None:
    assert ArchSpec(base_width=32).widths == (16, 32, 128, 256, 512)
    assert ArchSpec(base_width=64).arch_id == ArchSpec().arch_id == ArchSpec(widths=(32, 64, 256, 512, 1024)).arch_id


def test_equal_networks_have_equal_ids_however_they_are_written() -> None:
    plain = ArchSpec()
    assert ArchSpec(kernels=(1, 3, 3, 3), decoder=DecoderSpec(128)).arch_id == plain.arch_id
    assert ArchSpec(num_blocks=2, channel_ratio=0.3).arch_id == ArchSpec(num_blocks=2, channel_ratio=3).arch_id
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
    ],
)
def test_another_network_has_another_id(change: dict[str, object]) -> None:
    assert presets["stdc1"].replace(**change).arch_id != presets["stdc1"].arch_id


def test_ids_stay() -> None:
    # Trials are kept under these: a change makes every stored study foreign.
    assert presets["stdc1"].arch_id == "9450acb87c7f"
    assert presets["stdc1"].arch_id != presets["stdc2"].arch_id


def test_replace_keeps_kernels_that_were_chosen_and_refits_those_that_were_not() -> None:
    assert ArchSpec().replace(num_blocks=6).kernels == (1, 3, 3, 3, 3, 3)
    with pytest.raises(SpecError, match=r"kernels: got 3, 3, 3, 3; allowed: num_blocks \(6\) numbers"):
        ArchSpec(kernels=(3, 3, 3, 3)).replace(num_blocks=6)


def test_a_spec_is_hashable_and_frozen() -> None:
    assert len({ArchSpec(), ArchSpec(base_width=64), presets["stdc2"]}) == 2
    with pytest.raises(AttributeError):
        ArchSpec().num_blocks = 3  # type: ignore[misc]


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
        ({"decoder": 7}, r"decoder: got 7; allowed: a DecoderSpec"),
        ({"num_block": 3}, r"num_block: no such field \(did you mean num_blocks\?\); allowed: base_width, widths"),
    ],
)
def test_impossible_networks_are_refused_with_field_got_and_allowed(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ArchSpec.from_dict(fields)


def test_an_unknown_preset() -> None:
    with pytest.raises(SpecError, match=r"got 'stdc3' \(did you mean stdc2\?\); allowed: stdc1, stdc2"):
        preset("stdc3")
