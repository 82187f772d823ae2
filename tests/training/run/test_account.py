"""What a training says of itself: its account, and its curves for TensorBoard."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stdc_lab import machine
from stdc_lab.data import Dataset
from stdc_lab.training.run import run_training
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


def test_a_precision_that_is_only_emulated_is_said(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: {"avx2"})
    low = recipe_of(precision="bfloat16")
    stopped_at(1, low, tmp_path, dataset)
    said = "not native here: PyTorch finds no bfloat16 on this processor"
    assert f"computing  cpu, bfloat16 ({said})" in (tmp_path / "account.txt").read_text()
    assert f"train.precision: got 'bfloat16'; {said}, float32 is faster" in caplog.text


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
