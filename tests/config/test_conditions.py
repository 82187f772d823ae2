"""Spaces with conditions, ties, fixed values and what is written shorter."""

from typing import Any

import optuna
import pytest
from pydantic import ValidationError

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.config.choosers import RandomChooser
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import ConfigError

CONDITIONAL = {
    # Given before what it depends on: the order is for the space to find.
    "decoder.interpolation": {
        "type": "choice",
        "values": ["nearest", "bilinear"],
        "when": {"decoder.spatial_path": True},
    },
    "decoder.spatial_path": {"type": "choice", "values": [False, True], "when": {"heads.detail_strides": [[]]}},
    "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
    "num_blocks": {"type": "int", "low": 2, "high": 5},
    "channel_ratio": {"type": "float", "low": 0.5, "high": 1.0, "when": {"num_blocks": {"low": 4}}},
}


def make(vary: dict[str, Any], **more: Any) -> SearchSpace:
    return SearchSpace.model_validate({"name": "s", "vary": vary, **more})


def drawn(space: SearchSpace, count: int = 200) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Points as Optuna stores them, and what the space made of them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    pairs = []
    for _ in range(count):
        trial = study.ask()
        chosen = space.choose(trial)
        pairs.append((trial.params, chosen))
    return pairs


def test_a_key_varies_only_where_its_conditions_hold_and_is_absent_elsewhere():
    space = make(CONDITIONAL)
    shapes = set()
    for params, chosen in drawn(space):
        assert params.keys() == chosen.keys()
        assert ("decoder.spatial_path" in params) == (params["heads.detail_strides"] == "none")
        assert ("decoder.interpolation" in params) == (params.get("decoder.spatial_path") is True)
        assert ("channel_ratio" in params) == (params["num_blocks"] >= 4)
        spec, train = space.spec_of(chosen), space.training_of(chosen, TrainConfig())
        if "decoder.spatial_path" not in params:
            assert not spec.decoder.spatial_path
        if "channel_ratio" not in params:
            assert spec.channel_ratio == 0.5
        point = space.parameters_of(spec, train)
        assert point == params
        shapes.add(frozenset(params))
    assert len(shapes) == 6


def test_a_network_that_departs_where_a_condition_forbids_it_is_outside():
    space = make(CONDITIONAL)
    spec = presets["stdc1"].replace(decoder={"spatial_path": True})
    guided, plain = TrainConfig(), TrainConfig.model_validate({"heads": {"detail_strides": []}})
    assert space.parameters_of(spec, guided) is None
    assert space.parameters_of(spec, plain) == {
        "heads.detail_strides": "none",
        "decoder.spatial_path": True,
        "decoder.interpolation": "nearest",
        "num_blocks": 4,
        "channel_ratio": 0.5,
    }


def test_fixed_values_and_ties_hold_at_every_point():
    space = make(
        {
            "decoder.head_width": {"type": "choice", "values": [32, 64]},
            "depths.stage3": {"type": "int", "low": 1, "high": 2},
        },
        base="stdc2",
        fixed={"num_blocks": 3, "kernels": [1, 5], "train.learning_rate": 0.05, "heads.detail_strides": []},
        ties={"decoder.fusion_width": "decoder.head_width", "depths.stage5": "depths.stage3"},
    )
    for _, chosen in drawn(space, 20):
        spec, train = space.spec_of(chosen), space.training_of(chosen, TrainConfig())
        assert spec.depths == (chosen["depths.stage3"], 5, chosen["depths.stage3"])
        assert spec.decoder.fusion_width == spec.decoder.head_width == chosen["decoder.head_width"]
        assert (spec.num_blocks, spec.kernels) == (3, (1, 5, 5))
        assert (train.learning_rate, train.heads.detail_strides) == (0.05, ())
        assert space.parameters_of(spec, train) is not None
        assert space.parameters_of(spec, TrainConfig()) is None
        assert space.parameters_of(spec.replace(decoder={"fusion_width": 128}), train) is None


def test_a_tie_to_what_does_not_vary_here_leaves_the_base():
    space = make(
        {
            "decoder.attention": {"type": "choice", "values": [True, False]},
            "decoder.head_width": {"type": "choice", "values": [32], "when": {"decoder.attention": True}},
        },
        ties={"decoder.fusion_width": "decoder.head_width"},
    )
    widths = {
        (spec.decoder.attention, spec.decoder.fusion_width)
        for spec in (space.spec_of(chosen) for _, chosen in drawn(space, 20))
    }
    assert widths == {(True, 32), (False, 256)}


def test_stages_and_schedules_are_short_for_what_they_say():
    space = make(
        {
            "depths": {"type": "stages", "of": [{"type": "int", "low": 1, "high": high} for high in (2, 3, 4)]},
            "widths": {"type": "stages", "of": {"type": "choice", "values": [32, 64]}, "when": {"num_blocks": [2]}},
            "num_blocks": {"type": "int", "low": 2, "high": 3},
            "kernels": {"type": "schedules", "sides": [1, 3], "blocks": 2},
        }
    )
    assert {key: varied.count() for key, varied in space.parameters.items()} == {
        "depths.stage3": 2,
        "depths.stage4": 3,
        "depths.stage5": 4,
        "num_blocks": 2,
        **{f"widths.stage{stage}": 2 for stage in range(1, 6)},
        "kernels": 4,
    }
    point = {"depths.stage3": 2, "depths.stage4": 1, "depths.stage5": 4, "num_blocks": 2, "kernels": "3-1"}
    widths = {f"widths.stage{stage}": 64 for stage in range(1, 6)}
    spec = space.spec_of(space.choose(optuna.trial.FixedTrial({**point, **widths})))
    assert spec == StdcSpec(widths=(64,) * 5, depths=(2, 1, 4), num_blocks=2, kernels=(3, 1))
    assert spec.decoder == DecoderSpec()
    assert SearchSpace.model_validate(space.model_dump(mode="json")) == space


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"step": 2, "high": 41}, r"step \(2\) and log exclude each other"),
        ({"low": 0}, "a logarithmic range needs low above 0, got 0"),
    ],
)
def test_a_logarithm_asks_for_something(more, message):
    with pytest.raises(ValidationError, match=message):
        make({"train.warmup_iterations": {"type": "int", "low": 1, "high": 40, "log": True, **more}})


LOGARITHMIC = {"train.warmup_iterations": {"type": "int", "low": 1, "high": 40, "log": True}}


def test_our_own_random_points_have_the_shares_of_optunas():
    space = make({**LOGARITHMIC, "num_blocks": {"type": "int", "low": 2, "high": 6, "step": 2}})
    chooser = RandomChooser(0)
    ours = [space.choose(chooser) for _ in range(2000)]
    theirs = [chosen for _, chosen in drawn(space, 2000)]
    for key, value in (("train.warmup_iterations", 1), ("train.warmup_iterations", 2), ("num_blocks", 4)):
        shares = [sum(point[key] == value for point in points) / 2000 for points in (ours, theirs)]
        assert shares[0] == pytest.approx(shares[1], abs=0.04)
    assert min(p["train.warmup_iterations"] for p in ours) == 1
    assert max(p["train.warmup_iterations"] for p in ours) == 40


BLOCKS = {"num_blocks": {"type": "int", "low": 2, "high": 5}}


@pytest.mark.parametrize(
    ("vary", "more", "message"),
    [
        (
            {
                "fusion": {"type": "choice", "values": ["cat", "add"], "when": {"downsample": "strided"}},
                "downsample": {"type": "choice", "values": ["strided"], "when": {"conv_last": True}},
                "conv_last": {"type": "choice", "values": [True, False], "when": {"fusion": "cat"}},
            },
            {},
            "conditions in a circle: fusion → downsample → conv_last → fusion",
        ),
        (
            {"fusion": {"type": "choice", "values": ["cat"], "when": {"fusion": "cat"}}},
            {},
            "conditions in a circle: fusion → fusion",
        ),
        (
            {**BLOCKS, "fusion": {"type": "choice", "values": ["cat"], "when": {"num_block": 3}}},
            {},
            r"when.num_block: no such varied key \(did you mean num_blocks\?\); allowed: num_blocks, fusion",
        ),
        (
            {**BLOCKS, "fusion": {"type": "choice", "values": ["cat"], "when": {"num_blocks": [3, 7]}}},
            {},
            "vary.fusion.when.num_blocks: num_blocks is never 7; allowed: 2, 3, 4, 5",
        ),
        (
            {**BLOCKS, "fusion": {"type": "choice", "values": ["cat"], "when": {"num_blocks": {"low": 6}}}},
            {},
            "num_blocks is never anything in that range; allowed: 2, 3, 4, 5",
        ),
        (
            {**BLOCKS, "fusion": {"type": "choice", "values": ["cat"], "when": {"num_blocks": {}}}},
            {},
            "low or high is needed",
        ),
        (
            {
                "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
                "fusion": {"type": "choice", "values": ["cat"], "when": {"heads.detail_strides": [8]}},
            },
            {},
            r"heads.detail_strides is never 8; allowed: \[\], \[8\]",
        ),
        (
            {
                "conv_last": {"type": "choice", "values": [True, False]},
                "fusion": {"type": "choice", "values": ["cat"], "when": {"conv_last": 1}},
            },
            {},
            "conv_last is never 1; allowed: true, false",
        ),
        (
            {
                "channel_ratio": {"type": "float", "low": 0.5, "high": 1.0},
                "fusion": {"type": "choice", "values": ["cat"], "when": {"channel_ratio": 0.5}},
            },
            {},
            "channel_ratio is a continuum; allowed: keys of type int or choice",
        ),
        (
            {
                "downsample": {"type": "choice", "values": ["strided", "depthwise"]},
                "fusion": {"type": "choice", "values": ["cat"], "when": {"downsample": {"low": 1}}},
            },
            {},
            "a range, but downsample is no number",
        ),
        (
            {
                **BLOCKS,
                "fusion": {"type": "choice", "values": ["cat", "add"], "when": {"num_blocks": 2}},
                "conv_last": {"type": "choice", "values": [True], "when": {"num_blocks": 3, "fusion": "add"}},
            },
            {},
            "vary.conv_last.when: never holds: what is asked of num_blocks contradicts itself",
        ),
        (BLOCKS, {"ties": {"depths.stage3": "num_bloks"}}, r"num_bloks does not vary \(did you mean num_blocks\?\)"),
        (BLOCKS, {"ties": {"depth": "num_blocks"}}, r"ties.depth: no such parameter \(did you mean depths\?\)"),
        (BLOCKS, {"fixed": {"num_blocks": 3}}, "num_blocks: allowed: in one of vary, fixed and ties only"),
        (BLOCKS, {"fixed": {"fusions": "cat"}}, r"fixed.fusions: no such parameter \(did you mean fusion\?\)"),
        (BLOCKS, {"fixed": {"fusion": "mean"}}, "fusion: got 'mean'; allowed: cat, add"),
        (BLOCKS, {"fixed": {"base_width": 64, "widths.stage3": 128}}, "either base_width, which gives all widths"),
        (BLOCKS, {"fixed": {"depths": [1, 1, 1], "depths.stage3": 1}}, "either depths as a whole or depths.stage3"),
        (BLOCKS, {"limits": ["macs <= 8e9"]}, "allowed: with a size, such as macs <= 8e9 at 512x1024"),
        (
            {"depths": {"type": "stages", "of": [{"type": "int", "low": 1, "high": 2}]}},
            {},
            "vary.depths: got 1 ranges; allowed: one, or one for each of 3",
        ),
        (
            {"num_blocks": {"type": "stages", "of": {"type": "int", "low": 2, "high": 3}}},
            {},
            "vary.num_blocks: type stages is for widths, stem_depths, depths",
        ),
        (
            {
                "depths": {"type": "stages", "of": {"type": "int", "low": 1, "high": 2}},
                "depths.stage4": {"type": "int", "low": 1, "high": 2},
            },
            {},
            "vary.depths.stage4: varied twice",
        ),
        (
            {"fusion": {"type": "schedules", "sides": [1, 3], "blocks": 2}},
            {},
            "vary.fusion: type schedules is for kernels",
        ),
        ({"kernels": {"type": "schedules", "sides": [1, 2], "blocks": 2}}, {}, "kernels, block 2: got 2; allowed: odd"),
    ],
)
def test_what_contradicts_itself_or_does_not_exist_is_refused(vary, more, message):
    with pytest.raises(ValueError, match=message):
        make(vary, **more)


def test_an_impossible_fixed_training_is_refused_with_its_reason():
    space = make(BLOCKS, fixed={"train.momentum": 1.5})
    with pytest.raises(ConfigError, match="search space s: momentum: Input should be less than 1"):
        space.training_of({}, TrainConfig())
    with pytest.raises(ValueError, match=r"fixed.loss.mian: no such training setting \(did you mean main\?\)"):
        make(BLOCKS, fixed={"loss.mian": 1.5})
