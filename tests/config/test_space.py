import optuna
import pytest

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.errors import ConfigError

VARY = {
    "base_width": {"type": "choice", "values": [16, 64]},
    "depths.stage4": {"type": "int", "low": 1, "high": 5},
    "num_blocks": {"type": "int", "low": 2, "high": 6, "step": 2},
    "kernels": {"type": "choice", "values": [[1, 3], [1, 5, 3], [3]]},
    "channel_ratio": {"type": "float", "low": 0.25, "high": 2.0, "log": True},
    "heads.detail_strides": {"type": "choice", "values": [[], [8], [4, 8]]},
    "decoder.head_width": {"type": "choice", "values": [64, 256]},
    "decoder.spatial_path": {"type": "choice", "values": [False, True]},
    "fusion": {"type": "choice", "values": ["cat", "add"]},
    "stem_depths": {"type": "choice", "values": [[1, 1], [1, 2]]},
    "conv_last": {"type": "choice", "values": [True, False]},
    "train.learning_rate": {"type": "float", "low": 0.001, "high": 0.1},
}


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.model_validate({"name": "s", "vary": VARY})


def test_a_point_becomes_an_architecture_and_a_training(space: SearchSpace) -> None:
    point = {
        "base_width": 16,
        "depths.stage4": 5,
        "num_blocks": 4,
        "kernels": "1-5-3",
        "channel_ratio": 1.0,
        "heads.detail_strides": "4-8",
        "decoder.head_width": 64,
        "decoder.spatial_path": True,
        "fusion": "add",
        "stem_depths": "1-2",
        "conv_last": False,
        "train.learning_rate": 0.05,
    }
    chosen = space.choose(optuna.trial.FixedTrial(point))
    spec, train = space.spec_of(chosen), space.training_of(chosen, TrainConfig())
    assert spec == StdcSpec(
        base_width=16,
        depths=(2, 5, 2),
        kernels=(1, 5, 3, 3),
        channel_ratio=1.0,
        fusion="add",
        stem_depths=(1, 2),
        decoder=DecoderSpec(head_width=64, spatial_path=True),
    )
    assert train == TrainConfig(learning_rate=0.05, heads=TrainingHeads(detail_strides=(4, 8)))


def test_every_point_that_the_sampler_can_draw_is_possible_and_found_again(space: SearchSpace) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        trial = study.ask()
        chosen = space.choose(trial)
        spec, train = space.spec_of(chosen), space.training_of(chosen, TrainConfig())
        point = space.parameters_of(spec, train)
        assert point is not None
        again = space.choose(optuna.trial.FixedTrial(point))
        assert space.spec_of(again).arch_id == spec.arch_id
        assert space.training_of(again, TrainConfig()) == train


def test_a_network_outside_the_space_has_no_point(space: SearchSpace) -> None:
    assert space.parameters_of(presets["stdc1"], TrainConfig()) is not None
    assert space.parameters_of(presets["stdc2"], TrainConfig()) is None
    assert space.parameters_of(presets["stdc1"].replace(base_width=32), TrainConfig()) is None
    assert space.parameters_of(presets["stdc1"], TrainConfig(learning_rate=0.5)) is None


def test_a_training_that_cannot_be_is_refused() -> None:
    vary = {"train.momentum": {"type": "float", "low": 0.5, "high": 1.5}}
    space = SearchSpace.model_validate({"name": "s", "vary": vary})
    with pytest.raises(ConfigError, match="search space s"):
        space.training_of({"train.momentum": 1.5}, TrainConfig())
