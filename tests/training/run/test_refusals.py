"""A folder that was begun with something else, or cannot be used, is named and left as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, Dataset, Split
from stdc_lab.errors import CheckpointError, ConfigError, DataError, StudyError
from stdc_lab.nn import build_model
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, SPEC, Notes, contents, halves, recipe_of, unchanged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": SPEC.replace(num_blocks=3)}, "training.yaml: this folder was begun with another training; nothing "
         "was changed. Use another --out, or put back: arch.num_blocks: was 2, is 3"),
        ({"seed": 4}, "seed: was 0, is 4"),
        ({"faithful": True}, "faithful: was False, is True"),
        ({"train": {"iterations": 12, "learning_rate": 1e-5}}, "train.iterations: was 6, is 12 train.learning_rate: "
         "was 0.05, is 1e-05"),
        ({"data": {"size": "64x64"}}, "data.size: was '96x128', is '64x64'"),
        ({"data": {"train_images": 9}}, "data.train_images: was 400, is 9"),
    ],
)  # fmt: skip
def test_going_on_with_something_else_changes_nothing_and_says_what_differs(
    change: dict[str, Any], message: str, stopped: Path, dataset: Dataset
) -> None:
    values = RECIPE.model_dump()
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    before = contents(stopped)
    with pytest.raises(StudyError) as error:
        run_training(RecipeConfig.model_validate(values), stopped, dataset, CPU)
    assert message in " ".join(str(error.value).split())
    assert str(stopped / "training.yaml") in str(error.value)
    assert unchanged(before, stopped)


def test_going_on_with_other_data_or_another_start_changes_nothing(
    stopped: Path, dataset: Dataset, tmp_path: Path
) -> None:
    before = contents(stopped)
    save_checkpoint(tmp_path / "x.pt", build_model(SPEC, 19), {})
    with pytest.raises(StudyError, match=r"state\.pt: this folder was begun with another training") as error:
        run_training(RECIPE, stopped, halves(images=9), CPU, pretrained=tmp_path / "x.pt")
    lines = str(error.value).splitlines()[1:]
    assert lines[0] == "  images: was 8 for training and 3 for validation, is 9 for training and 3 for validation"
    assert lines[1].startswith("  data set: was halves ")
    assert lines[2].startswith("  images and labels: was ")
    assert lines[3:] == ["  start: was random weights, is backbone of x.pt"]
    with pytest.raises(StudyError, match=r"data set: was halves [0-9a-f]+, is halves [0-9a-f]+\n  images and labels"):
        run_training(RECIPE, stopped, halves(height=40), CPU)
    other = halves()
    other.val.labels[0] = 7
    with pytest.raises(StudyError, match=r"put back:\n  images and labels: was [0-9a-f]+, is [0-9a-f]+$"):
        run_training(RECIPE, stopped, other, CPU)
    assert unchanged(before, stopped)


def test_a_state_without_its_recipe_still_knows_its_network(stopped: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((stopped / "state.pt").read_bytes())
    other = recipe_of(arch=SPEC.replace(num_blocks=3))
    with pytest.raises(StudyError, match=f"architecture: was {SPEC.arch_id}, is {other.arch.arch_id}"):
        run_training(other, tmp_path, dataset, CPU)


def test_a_recipe_of_another_version_is_refused_with_its_key(stopped: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes((stopped / "state.pt").read_bytes())
    (tmp_path / "training.yaml").write_text("name: tiny\nteacher: stdc2\n")
    with pytest.raises(ConfigError, match=r"training\.yaml:2: teacher: no such key"):
        run_training(RECIPE, tmp_path, dataset, CPU)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights", "state.pt: no checkpoint that PyTorch can read"),
        (None, "state.pt: not the state of this training .*; remove it to start anew"),
    ],
)
def test_a_damaged_state_is_named(content: bytes | None, message: str, dataset: Dataset, tmp_path: Path) -> None:
    if content is None:
        save_checkpoint(tmp_path / "state.pt", build_model(SPEC, 11), {})
    else:
        (tmp_path / "state.pt").write_bytes(content)
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        run_training(RECIPE, tmp_path, dataset, CPU)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_second_training_on_the_folder_is_told_so(dataset: Dataset, tmp_path: Path) -> None:
    def again() -> None:
        with pytest.raises(StudyError, match="another training is at work on this folder; wait for it or use another"):
            run_training(RECIPE, tmp_path, dataset, CPU)

    notes = Notes({1: again})
    run_training(recipe_of(iterations=2, warmup_iterations=0), tmp_path, dataset, CPU, callbacks=notes.callbacks)
    assert notes.steps == [1, 2]


def test_a_folder_that_cannot_be_made_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"file/run: cannot be written: Not a directory; use another --out"):
        run_training(RECIPE, tmp_path / "file" / "run", dataset, CPU)


def test_a_split_without_images_or_labels_is_refused_before_a_folder_is_made(dataset: Dataset, tmp_path: Path) -> None:
    train, val = dataset.train, dataset.val
    none = Split(train.images[:0], train.labels[:0], ())
    unlabelled = Split(val.images, np.full_like(val.labels, 255), val.names)
    for splits, message in (
        ((none, val), "halves: no training images; a training needs both"),
        ((train, none), "halves: no validation images; a training needs both"),
        ((train, unlabelled), "halves: no pixel of the validation images has a class; a training needs both"),
    ):
        with pytest.raises(DataError, match=message):
            run_training(RECIPE, tmp_path / "x", Dataset("halves", *splits, CLASS_NAMES, CLASS_COLOURS), CPU)
    assert not (tmp_path / "x").exists()
