"""What tells one training from another."""

import pytest
from pydantic import ValidationError

from stdc_lab import DataConfig, StdcSpec, TrainConfig
from stdc_lab.config import TrainingHeads
from stdc_lab.records import Circumstances, Environment, MacCounters, ProfileResult, keys, profile_key, trial_key

CPU = Circumstances(contents="aaaa", auto_precision="float32")


def test_the_keys_of_trainings_that_are_done_stay_as_they_are():
    """Folders of finished trials are named so: another digest, and no training would be found again."""
    assert trial_key(StdcSpec(), TrainConfig(), DataConfig(), 0, CPU) == "6b76ce39a3361772"
    train = TrainConfig(iterations=700, heads=TrainingHeads(detail_strides=(4, 8)))
    data = DataConfig(name="camvid", size=(180, 240), split="drive")
    assert trial_key(StdcSpec(base_width=32), train, data, 3, CPU) == "610fbdf60987da3b"


def test_whatever_changes_a_training_changes_its_key():
    spec, train, data = StdcSpec(), TrainConfig(), DataConfig()
    keys = [
        trial_key(spec, train, data, 0),
        trial_key(spec.replace(num_blocks=3), train, data, 0),
        trial_key(spec, TrainConfig(iterations=601), data, 0),
        trial_key(spec, TrainConfig(heads=TrainingHeads(auxiliary=False)), data, 0),
        trial_key(spec, TrainConfig(augmentation={"flip": False}), data, 0),
        trial_key(spec, train, DataConfig(size=(96, 160)), 0),
        trial_key(spec, train, data, 1),
        trial_key(spec, train, data, 0, CPU),
        trial_key(spec, train, data, 0, Circumstances("aaaa", "bfloat16")),
        trial_key(spec, train, data, 0, Circumstances("bbbb", "float32")),
    ]
    assert len(set(keys)) == len(keys)


def test_no_key_is_that_of_a_training_from_when_a_seed_drew_other_numbers(monkeypatch):
    now = trial_key(StdcSpec(), TrainConfig(), DataConfig(), 0, CPU)
    assert now != "73adfafd42158227"
    monkeypatch.setattr(keys, "DRAWS_VERSION", keys.DRAWS_VERSION + 1)
    assert trial_key(StdcSpec(), TrainConfig(), DataConfig(), 0, CPU) != now


def key_of(settings, here=CPU):
    return trial_key(StdcSpec(), TrainConfig.model_validate(settings), DataConfig(), 0, here)


OHEM, NO_DETAILS = {"cross_entropy": "ohem"}, {"detail_strides": ()}
DETAILS = [
    {"detail_bce": 0.5}, {"detail_dice": 0.5}, {"detail_target": "corrected"}, {"detail_target_strides": (1,)},
    {"detail_fusion": "decaying"}, {"detail_weighting": "balanced"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("idle", "otherwise"),
    [
        ({"data_workers": 4}, {}),
        ({"loss": {"ohem_threshold": 0.5}}, {}),
        ({"loss": {"ohem_min_kept": 0.5}}, {}),
        ({"loss": {"auxiliary": 0.5}, "heads": {"auxiliary": False}}, {"heads": {"auxiliary": False}}),
        *(({"loss": loss, "heads": NO_DETAILS}, {"heads": NO_DETAILS}) for loss in DETAILS),
    ],
)
def test_what_has_no_effect_changes_no_key(idle, otherwise):
    assert key_of(idle) == key_of(otherwise)


@pytest.mark.parametrize(
    ("settings", "otherwise"),
    [
        ({"loss": {**OHEM, "ohem_threshold": 0.5}}, {"loss": OHEM}),
        ({"loss": {**OHEM, "ohem_min_kept": 0.5}}, {"loss": OHEM}),
        ({"loss": {"auxiliary": 0.5}}, {}),
        *(({"loss": loss}, {}) for loss in DETAILS),
    ],
)
def test_the_same_settings_change_the_key_where_they_have_an_effect(settings, otherwise):
    assert key_of(settings) != key_of(otherwise)


def test_the_precision_in_a_key_is_the_one_that_is_computed_in():
    native = Circumstances("aaaa", "bfloat16")
    assert key_of({}, native) == key_of({"precision": "bfloat16"}, native) == key_of({"precision": "bfloat16"}, CPU)
    assert key_of({}, CPU) == key_of({"precision": "float32"}, native) != key_of({}, native)


def test_a_default_written_out_changes_no_key():
    written = TrainConfig.model_validate(TrainConfig().model_dump())
    assert trial_key(StdcSpec(), written, DataConfig(), 0) == trial_key(StdcSpec(), TrainConfig(), DataConfig(), 0)


HERE = Environment(
    device="cpu",
    processor="a processor",
    threads=2,
    python="3.11.7",
    torch="2.8.0",
    fingerprint="0123456789",
    clock_mhz=2600.0,
    versions={"openvino": "2025.3"},
)


def key_here(**changes):
    values = {"arch_id": "abc", "environment": HERE, "num_classes": 11, "input_shape": (1, 3, 512, 1024), **changes}
    return profile_key(values.pop("arch_id"), values.pop("environment"), **values)


def test_whatever_changes_a_profile_changes_its_key():
    keys = [
        key_here(),
        key_here(arch_id="abd"),
        key_here(num_classes=19),
        key_here(input_shape=(2, 3, 512, 1024)),
        key_here(task="cls"),
        key_here(runtime="openvino"),
        key_here(dtype="bfloat16"),
        key_here(environment=HERE.model_copy(update={"fingerprint": "9876543210"})),
        key_here(environment=HERE.model_copy(update={"threads": 1})),
        key_here(environment=HERE.model_copy(update={"torch": "2.9.0"})),
        key_here(environment=HERE.model_copy(update={"versions": {"openvino": "2025.4"}})),
        key_here(compared_with="abc"),
        key_here(compared_with="abd"),
    ]
    assert len(set(keys)) == len(keys)


def test_the_keys_of_profiles_without_a_ratio_stay_as_they_are():
    assert key_here() == key_here(compared_with=None) == "85b4c62b9efcf423"


def test_the_clock_of_the_moment_and_the_number_of_the_device_change_no_key_of_a_profile():
    other = HERE.model_copy(update={"clock_mhz": 1800.0, "device": "cuda:1"})
    assert key_here(environment=other) == key_here()


def test_a_profile_of_before_calls_its_task_head():
    profile = ProfileResult(
        arch=StdcSpec(), arch_id=StdcSpec().arch_id, task="cls", num_classes=5, size=(64, 96), num_params=1, macs=1,
        counters=MacCounters(theory=1), not_counted={}, stages=(),
    )  # fmt: skip
    assert ProfileResult.model_validate_json(profile.model_dump_json().replace('"task":', '"head":')) == profile
    with pytest.raises(ValidationError, match="task"):
        ProfileResult.model_validate(profile.model_dump() | {"task": "det"})
