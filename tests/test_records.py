"""What tells one training from another."""

from stdc_lab import ArchSpec, DataConfig, TrainConfig
from stdc_lab.config import TrainingHeads
from stdc_lab.records import trial_key


def test_the_keys_of_trainings_that_are_done_stay_as_they_are():
    """Folders of finished trials are named so: another digest, and no training would be found again."""
    assert trial_key(ArchSpec(), TrainConfig(), DataConfig(), 0) == "73adfafd42158227"
    train = TrainConfig(iterations=700, heads=TrainingHeads(detail_strides=(4, 8)))
    data = DataConfig(name="camvid", size=(180, 240), split="drive")
    assert trial_key(ArchSpec(base_width=32), train, data, 3) == "ac140e8284423689"


def test_whatever_changes_a_training_changes_its_key():
    spec, train, data = ArchSpec(), TrainConfig(), DataConfig()
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
    assert trial_key(ArchSpec(), written, DataConfig(), 0) == trial_key(ArchSpec(), TrainConfig(), DataConfig(), 0)
