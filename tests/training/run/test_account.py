"""What a training says of itself: its account, and its curves for TensorBoard."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stdc_lab.data import Dataset
from stdc_lab.hardware import devices
from stdc_lab.nn import build_model
from stdc_lab.training.account import account
from stdc_lab.training.run import run_training
from stdc_lab.training.trainer import Trainer
from tests.training.run.tiny import CPU, RECIPE, SPEC, recipe_of, stopped_at


def test_the_account_is_said_and_kept(dataset: Dataset, tmp_path: Path) -> None:
    notes = stopped_at(1, RECIPE, tmp_path, dataset)
    text = (tmp_path / "account.txt").read_text()
    assert notes.texts == [text]
    for part in (
        f"arch_id {SPEC.arch_id}, 11 classes, random weights",
        "halves: 8 training and 3 validation images",
        "4 images a step",
        "6 iterations, 24 images, 3.0 epochs",
        "batch 4 instead of 48: scale the rate or expect several points less",
        "6 iterations instead of 60,000",
        "from scratch: pretraining on ImageNet is worth 3 to 4 points",
    ):
        assert part in text


def test_the_account_says_how_classes_are_weighted(dataset: Dataset) -> None:
    def loss_line(**loss: Any) -> str:
        recipe = recipe_of(loss=loss)
        trainer = Trainer(build_model(SPEC, 11, recipe.train.heads), dataset, recipe.train, 0, CPU)
        [line] = [line for line in account(recipe, trainer, "random weights").splitlines() if line.startswith("loss ")]
        return line

    assert "cross-entropy: mean, classes weighted as enet does; auxiliary × 1" in loss_line(class_weights="enet")
    assert "cross-entropy: mean; auxiliary × 1" in loss_line()


def test_a_precision_that_is_only_emulated_is_said(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"avx2"})
    low = recipe_of(precision="bfloat16")
    stopped_at(1, low, tmp_path, dataset)
    said = "not native here: PyTorch finds no bfloat16 on this processor"
    assert f"computing  cpu, bfloat16 ({said})" in (tmp_path / "account.txt").read_text()
    assert f"train.precision: got 'bfloat16'; {said}, float32 is faster" in caplog.text


@pytest.mark.parametrize(
    ("iterations", "decay", "said"),
    [
        (500, 0.99, "decay 0.99, which acts as 0.9823 at the end: it grows over the first 891 iterations; "),
        (60_000, 0.99, "decay 0.99 from iteration 891, before that less; "),
        (891, 0.99, "decay 0.99 from iteration 891, before that less; "),
    ],
)
def test_the_account_says_what_the_averages_decay_acts_as(
    iterations: int, decay: float, said: str, dataset: Dataset
) -> None:
    recipe = recipe_of(iterations=iterations, ema_decay=decay)
    trainer = Trainer(build_model(SPEC, 11, recipe.train.heads), dataset, recipe.train, 0, CPU)
    [line] = [line for line in account(recipe, trainer, "random weights").splitlines() if "averaged" in line]
    assert line == f"evaluated  averaged weights, {said}2 times, at scale 1"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ["a smaller image is padded", "saturation ± 0.3, in one, of the crop"]),
        (
            {"augmentation": {"cover": True, "colour": 0}},
            [
                "a smaller image is enlarged once, from the original",
                "colour     as it is",
                "detail that the recipe loses",
            ],
        ),
        (
            {"faithful": True, "augmentation": {"colour": 0.5}},
            [
                "a smaller image is shrunk first and then enlarged, as released",
                "saturation ± 0.5, one after another, of the whole image, as released",
            ],
        ),
    ],
    ids=["plain", "cover", "faithful"],
)
def test_the_account_says_how_images_are_changed(values: dict[str, Any], said: list[str], dataset: Dataset) -> None:
    recipe = recipe_of(**values)
    network = build_model(recipe.arch, 11, recipe.training.heads)
    text = account(recipe, Trainer(network, dataset, recipe.training, 0, CPU), "random weights")
    for part in said:
        assert part in text
    assert ("detail that the recipe loses" in text) == ("detail that the recipe loses" in said)


def test_tensorboard_hears_of_every_step_where_it_is_installed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            heard.append((folder, purge_step))

        def add_scalar(self, *scalar: Any) -> None:
            heard.append(scalar)

        def close(self) -> None:
            heard.append("closed")

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    stopped_at(3, RECIPE, tmp_path, dataset)
    assert heard[0] == (str(tmp_path), 1) and heard[-1] == "closed"
    assert [entry[2] for entry in heard if entry[0] == "loss"] == [1, 2, 3]
    assert [entry[2] for entry in heard if entry[0] == "miou"] == [3]
    heard.clear()
    stopped_at(5, RECIPE, tmp_path, dataset)
    assert heard[0] == (str(tmp_path), 4)


def test_curves_that_tensorboard_cannot_write_end_no_training(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    writer = SimpleNamespace(add_scalar=full, close=full)
    module = SimpleNamespace(SummaryWriter=lambda folder, purge_step: writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
    assert caplog.messages == [f"{tmp_path}: the curves for TensorBoard cannot be written: No space left on device"]
