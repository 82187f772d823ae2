"""Several processes, or several parts of a batch, train as one does on the whole of it."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.data import load_dataset
from stdc_lab.errors import StudyError
from stdc_lab.nn.checkpoints import load_checkpoint
from stdc_lab.training import workers as workers_module
from stdc_lab.training.run import TrainingCallbacks, run_training
from stdc_lab.training.workers import Workers, joined_workers
from tests.cli import in_child
from tests.cli.in_child import together

CPU = torch.device("cpu")
ARCH = {"base_width": 8, "depths": [1, 1, 1], "num_blocks": 2}


def recipe_of(**train: Any) -> RecipeConfig:
    """Four steps on scenes, whose augmentation leaves another share of each image unlabelled."""
    decoder = {"context_width": 16, "fusion_width": 16, "head_width": 16}
    values = {"iterations": 4, "batch_size": 8, "learning_rate": 0.05, "warmup_iterations": 1, "evaluations": 2}
    train = {**values, "ema_decay": 0.5, "precision": "float32", "norms": "frozen", **train}
    data = {"name": "scenes", "size": [48, 64], "train_images": 6, "val_images": 2}
    content = {"name": "tiny", "arch": {**ARCH, "decoder": decoder}, "data": data, "train": train}
    return RecipeConfig.model_validate({**content, "checkpoint_every": 2})


RECIPES = {
    "plain": recipe_of(heads={"auxiliary": False, "detail_strides": []}),
    "details": recipe_of(heads={"auxiliary": True, "detail_strides": [4, 8]}),
    "parts": recipe_of(accumulation=2),
}
"""Trainings that are the same in parts and by several processes, as no image's loss depends on the others."""
TRAINED = recipe_of(norms="trained")


def alone(recipe: RecipeConfig, folder: Path) -> Path:
    run_training(recipe, folder, load_dataset(recipe.data), CPU)
    return folder


def losses(folder: Path) -> list[float]:
    with (folder / "curve.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def weights(folder: Path) -> torch.Tensor:
    state = load_checkpoint(folder / "last.pt").network.state_dict()
    return torch.cat([tensor.flatten().float() for tensor in state.values()])


def assert_agree(folder: Path, other: Path) -> None:
    """To rounding, which the steps make a little more of."""
    assert losses(folder) == pytest.approx(losses(other), rel=2e-6)
    assert torch.allclose(weights(folder), weights(other), rtol=1e-4, atol=1e-5)


def train_in_turn(folder: Path) -> None:
    """What each of several processes does: all the trainings, the last one stopped on the way and gone on with."""
    with joined_workers(CPU) as (workers, device):
        for name, recipe in RECIPES.items():
            run_training(recipe, folder / name, load_dataset(recipe.data), device, workers=workers)
        dataset = load_dataset(TRAINED.data)
        run_training(TRAINED, folder / "trained", dataset, device, workers=workers)

        def signalled(progress: Any) -> None:
            if workers.rank == 1 and progress.iteration == 3:
                signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGINT, signal.default_int_handler)
        callbacks = TrainingCallbacks(progress=signalled, stopped=print)
        try:
            run_training(TRAINED, folder / "stopped", dataset, device, workers=workers, callbacks=callbacks)
        except KeyboardInterrupt:
            run_training(TRAINED, folder / "stopped", dataset, device, workers=workers)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    for process in together(folder, 2, train_in_turn, folder):
        assert process.status() == 0, process.errors
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_agree_with_one_where_norms_are_frozen(name: str, by_two: Path, tmp_path: Path) -> None:
    assert_agree(by_two / name, alone(RECIPES[name], tmp_path / "one"))


@pytest.mark.parametrize("heads", ["plain", "details"])
def test_a_batch_in_parts_is_the_same_batch_where_norms_are_frozen(heads: str, tmp_path: Path) -> None:
    recipe = RECIPES[heads]
    parts = recipe.model_copy(update={"train": recipe.train.model_copy(update={"accumulation": 4})})
    assert_agree(alone(parts, tmp_path / "parts"), alone(recipe, tmp_path / "whole"))


def test_norms_are_trained_on_each_processs_share(by_two: Path, tmp_path: Path) -> None:
    shared, whole = losses(by_two / "trained"), losses(alone(TRAINED, tmp_path / "one"))
    assert len(shared) == 4
    assert shared == pytest.approx(whole, rel=0.1)
    assert shared[0] != whole[0]


def test_a_signal_to_one_process_stops_all_after_the_same_step(by_two: Path) -> None:
    said = (by_two / "out0.txt").read_text()
    assert said.startswith("stopped; the state of iteration 3 is kept in")
    assert (by_two / "stopped" / "curve.csv").read_bytes() == (by_two / "trained" / "curve.csv").read_bytes()
    assert torch.equal(weights(by_two / "stopped"), weights(by_two / "trained"))


def write(recipe: RecipeConfig, path: Path) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(recipe.model_dump(mode="json"), file)
    return path


def assert_one_voice(output: str, folder: Path, alone: Path) -> None:
    """Each line is said once, of a training like that of one process."""
    assert output.count("8 images a step: 2 process(es) × 1 part(s) × 4") == 1
    assert output.count("last: mIoU") == output.count("      4/4") == 1
    assert_agree(folder, alone)


def test_what_torchrun_starts_speaks_with_one_voice(tmp_path: Path) -> None:
    # All of torchrun but its command line; its processes start from one that has PyTorch imported.
    path, logs = write(RECIPES["details"], tmp_path / "tiny.yaml"), DefaultLogsSpecs(str(tmp_path), Std.ALL)
    place: dict[str, Any] = {"min_nodes": 1, "max_nodes": 1, "nproc_per_node": 2, "rdzv_endpoint": "localhost:0"}
    config = LaunchConfig(**place, rdzv_backend="c10d", start_method="forkserver", logs_specs=logs)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        elastic_launch(config, in_child.stdc_lab)("train", path, "--out", tmp_path / "run")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    said = {place.parent.name: place.read_text() for place in tmp_path.rglob("stdout.log")}
    assert said["1"] == ""
    assert_one_voice(said["0"], tmp_path / "run", alone(RECIPES["details"], tmp_path / "one"))
    assert [place.read_text() for place in tmp_path.rglob("stderr.log")] == ["", ""]


@pytest.mark.slow
def test_the_command_torchrun_starts_a_training(tmp_path: Path) -> None:
    path = write(RECIPES["details"], tmp_path / "tiny.yaml")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "stdc_lab.cli.main", "train", path.name, "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_one_voice(done.stdout, tmp_path / "run", alone(RECIPES["details"], tmp_path / "one"))
    assert "Warning" not in done.stderr


def test_a_batch_that_cannot_be_shared_is_one_message(tmp_path: Path) -> None:
    path = write(recipe_of(batch_size=3), tmp_path / "tiny.yaml")
    first, second = together(tmp_path, 2, in_child.stdc_lab, "train", path, "--out", tmp_path / "run")
    assert (first.status(), second.status()) == (2, 2)
    message = "train.batch_size: got 3, to be shared by 2 processes in 1 parts; allowed: a multiple of 2"
    assert first.errors == f"error: {message}\n"
    assert (first.output, second.output, second.errors) == ("", "", "")
    assert not (tmp_path / "run").exists()


def test_what_the_first_process_cannot_write_ends_the_others_silently(tmp_path: Path) -> None:
    path = write(RECIPES["plain"], tmp_path / "tiny.yaml")
    (tmp_path / "file").write_text("")
    first, second = together(tmp_path, 2, in_child.stdc_lab, "train", path, "--out", tmp_path / "file" / "run")
    assert (first.status(), second.status()) == (2, 2)
    assert "file/run: cannot be written: Not a directory" in first.errors
    assert second.errors == ""


def fail_in_the_second(how: str) -> None:
    workers_module.LISTEN /= 50
    with joined_workers(CPU) as (workers, _):
        if workers.rank == 1:
            if how == "interrupt":
                raise KeyboardInterrupt
            raise StudyError("a GPU that only this one lacks")
        workers.wait()


@pytest.mark.parametrize(("how", "statuses"), [("error", (2, 1)), ("interrupt", (1, 143))])
def test_what_goes_wrong_in_another_process_alone_is_said_by_that_one(
    how: str, statuses: tuple[int, int], tmp_path: Path
) -> None:
    first, second = together(tmp_path, 2, fail_in_the_second, how)
    assert (first.status(), second.status()) == statuses
    if how == "error":  # which the command line would print without a traceback
        assert first.errors == ""
        assert "a GPU that only this one lacks" in second.errors
    else:
        assert second.errors == ""


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in ({}, {"WORLD_SIZE": "4"}, {"WORLD_SIZE": "1", "LOCAL_RANK": "0"}):
        with monkeypatch.context() as patch:
            for name in ("WORLD_SIZE", "LOCAL_RANK"):
                patch.delitem(os.environ, name, raising=False)
            for name, value in variables.items():
                patch.setitem(os.environ, name, value)
            with joined_workers(CPU) as found:
                assert found == (Workers(0, 1), CPU)
    one = Workers()
    assert one.first and one.slots(8) == range(8)
    assert one.from_first(lambda: 5) == 5
    assert one.any(True, CPU) and not one.any(False, CPU)
    assert Workers(2, 4).slots(8) == range(4, 6)
