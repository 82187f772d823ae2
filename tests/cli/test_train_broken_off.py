"""`stdc-lab train` killed, interrupted, diverged, out of room: what is kept, and how it goes on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from stdc_lab.nn.checkpoints import load_checkpoint
from tests.cli import in_child
from tests.cli.in_process import stdc_lab
from tests.cli.tiny_training import assert_refused, curve, write

LONG = {"iterations": 24, "evaluations": 3, "every": 3}


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training long enough to be killed, which was not."""
    folder = tmp_path_factory.mktemp("through")
    done = stdc_lab("train", write(folder / "tiny.yaml", **LONG), "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def assert_joined(folder: Path, through: Path) -> None:
    """Every iteration once, with the loss it has in a training that ran through."""
    assert [row["iteration"] for row in curve(folder)] == [str(number) for number in range(1, 25)]
    assert (folder / "curve.csv").read_bytes() == (through / "curve.csv").read_bytes()
    for name in ("last.pt", "best.pt"):
        mine, theirs = (torch.load(place / name, weights_only=True) for place in (folder, through))
        assert all(torch.equal(tensor, theirs["state"][key]) for key, tensor in mine["state"].items())
        assert mine["protocol"] == theirs["protocol"]


def test_a_killed_training_is_gone_on_with_where_its_state_was(through: Path, tmp_path: Path) -> None:
    path, out = write(tmp_path / "tiny.yaml", **LONG), tmp_path / "run"
    for state in ("state.pt", "best.pt"):
        with in_child.child(tmp_path, in_child.stdc_lab, "train", path, "--out", out) as training:
            training.wait_for(out / state)
            training.process.kill()
            assert training.status() == -signal.SIGKILL
    assert not (out / "result.json").exists()
    done = stdc_lab("train", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "going on after iteration" in done.stdout
    assert_joined(out, through)


def test_an_interrupt_ends_with_130_and_says_how_to_go_on(through: Path, tmp_path: Path) -> None:
    path, out = write(tmp_path / "tiny.yaml", **LONG), tmp_path / "run"
    for number, written in ((signal.SIGINT, "state.pt"), (signal.SIGTERM, "best.pt")):
        with in_child.child(tmp_path, in_child.stdc_lab, "train", path, "--out", out) as training:
            training.wait_for(out / written)
            os.kill(training.pid, number)
            assert training.status() == 130
            state = torch.load(out / "state.pt", weights_only=True)["trainer"]["iteration"]
            kept = f"stopped; the state of iteration {state} is kept in {out}: the same command goes on from there"
            assert kept in training.output
            assert "stopping after this step; once more: at once, without its state" in training.errors
            assert training.errors.endswith("interrupted; what was finished is kept\n")
    assert not (out / "result.json").exists()
    done = stdc_lab("train", path, "--out", out)
    assert f"going on after iteration {state}\n" in done.stdout
    assert_joined(out, through)


def test_a_diverged_training_ends_with_2_and_leads_there_again(tmp_path: Path) -> None:
    # Rate times decay is far beyond 1: each step blows the weights up, until they are no numbers.
    path = write(
        tmp_path / "tiny.yaml", iterations=60, evaluations=1, learning_rate=10, weight_decay=1, decoder_rate_factor=100
    )
    done = stdc_lab("train", path, "--out", "run", cwd=tmp_path)
    assert_refused(done, "try a lower train.learning_rate (now 10.0)", "is kept in run and leads here again: use ano")
    assert "last: mIoU" not in done.stdout
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["trainer"]
    assert all(tensor.isfinite().all() for tensor in state["network"].values())
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    assert last.protocol["iteration"] == state["iteration"]
    assert all(tensor.isfinite().all() for tensor in last.network.state_dict().values())
    again = stdc_lab("train", path, "--out", "run", cwd=tmp_path)
    assert f"going on after iteration {state['iteration']}\n" in again.stdout
    assert again.stderr == done.stderr


def test_a_full_disk_ends_with_2_and_names_the_file(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, states = torch.save, iter(range(1, 100))

    def save(content: Any, path: Path) -> None:
        if path.name.startswith(".state.pt.") and next(states) == 3:
            path.write_bytes(b"as much as there was room for")
            raise OSError(28, "No space left on device")
        real(content, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        done = stdc_lab("train", recipe, "--out", "run", cwd=tmp_path)
    assert_refused(
        done,
        "error: run/state.pt: cannot be written: No space left on device; the state of iteration 3 is kept in run. "
        "Once there is room, the same command goes on",
    )
    assert not list((tmp_path / "run").glob("*.partial"))
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["trainer"]["iteration"] == 3
    done = stdc_lab("train", recipe, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0 and "going on after iteration 3" in done.stdout
    assert [row["iteration"] for row in curve(tmp_path / "run")] == list("123456")


def test_a_picture_that_cannot_be_written_loses_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def full(partial: Path, path: Path) -> None:
        if path.name == "curve.png":
            raise OSError(28, "No space left on device")
        real(partial, path)

    options = ("--out", "run", "--iterations", "1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        done = stdc_lab("train", recipe, *options, cwd=tmp_path)
    assert_refused(done, "run/curve.png: cannot be written: No space left on device; everything else of it is kept")
    assert not list((tmp_path / "run").glob("*.partial"))
    done = stdc_lab("train", recipe, *options, cwd=tmp_path)
    assert done.returncode == 0 and "nothing to train" in done.stdout
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000
