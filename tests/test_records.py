"""What tells one training from another."""

from stdc_lab import DataConfig, StdcSpec, TrainConfig
from stdc_lab.config import TrainingHeads
from stdc_lab.records import Environment, profile_key, trial_key


def test_the_keys_of_trainings_that_are_done_stay_as_they_are():
    """Folders of finished trials are named so: another digest, and no training would be found again."""
    assert trial_key(StdcSpec(), TrainConfig(), DataConfig(), 0) == "73adfafd42158227"
    train = TrainConfig(iterations=700, heads=TrainingHeads(detail_strides=(4, 8)))
    data = DataConfig(name="camvid", size=(180, 240), split="drive")
    assert trial_key(StdcSpec(base_width=32), train, data, 3) == "ac140e8284423689"


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
    ]
    assert len(set(keys)) == len(keys)


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
        key_here(head="cls"),
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
