"""`stdc-lab train` as it is called: killed, gone on with, given what it cannot use."""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch
from optuna.trial import TrialState
from ruamel.yaml import YAML

from stdc_lab.arch import ArchSpec, DecoderSpec, presets
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from tests.cli import in_child
from tests.cli.in_process import stdc_lab
from tests.data.trees import write_own
from tests.study_folder import add_complete, add_unfinished, open_study, study_config

SPEC = ArchSpec(base_width=8, depths=(1, 1, 1), num_blocks=2, decoder=DecoderSpec(16, 16, 16))
DATA = {"name": "scenes", "size": "48x64", "train_images": 4, "val_images": 2}
TRAIN = {"iterations": 6, "batch_size": 2, "learning_rate": 0.05, "warmup_iterations": 1, "evaluations": 2}


@pytest.fixture(scope="module", autouse=True)
def no_tensorboard() -> Any:
    """It takes longer to import than most trainings here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        yield


def write(path: Path, *, arch: Any = None, data: Any = None, every: int = 2, **train: Any) -> Path:
    """A training's YAML, of a second or so."""
    content = {
        "name": "tiny",
        "arch": (arch or SPEC).to_dict(),
        "data": data or DATA,
        "train": {**TRAIN, **train},
        "checkpoint_every": every,
    }
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    return path


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".training.lock"}


def assert_refused(done: Any, *parts: str) -> None:
    """One message, status 2."""
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, done.stderr
    assert all(part in said for part in parts), said
    assert "Traceback" not in done.stderr


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.yaml")


def test_it_explains_itself_with_an_example() -> None:
    assert "Example: stdc-lab train" in stdc_lab("train", "--help").stdout


def test_from_a_yaml_to_weights_that_evaluate(recipe: Path, tmp_path: Path) -> None:
    done = stdc_lab("train", recipe, "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder, result = tmp_path / "runs" / "tiny", json.loads((tmp_path / "out.json").read_text())
    for text in (
        (folder / "account.txt").read_text().rstrip(),
        "scenes: 4 training and 2 validation images",
        "batch 2 instead of 48",
        "6/6  validation mIoU",
        f"last: mIoU {result['last']['miou']:.4f}, pixel accuracy {result['last']['pixel_accuracy']:.4f}",
        f"best: mIoU {result['best_miou']:.4f} at iteration {result['best_iteration']}, chosen on these same images",
        "next: stdc-lab evaluate runs/tiny/last.pt",
    ):
        assert text in done.stdout
    assert [row["iteration"] for row in curve(folder)] == list("123456")
    evaluated = stdc_lab("evaluate", folder / "last.pt", "--json", "-")
    assert json.loads(evaluated.stdout)["miou"] == result["last"]["miou"]

    assert (folder / "curve.png").stat().st_size > 1000
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != ".training.lock"}
    again = stdc_lab("train", recipe, "--json", "-", cwd=tmp_path)
    assert again.returncode == 0
    assert json.loads(again.stdout) == result
    assert "runs/tiny: all 6 iterations were done before; nothing to train" in again.stderr
    assert "validation mIoU" not in again.stderr and "batch 2" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_json_on_stdout_stands_alone(recipe: Path, tmp_path: Path) -> None:
    done = stdc_lab("train", recipe, "--out", "x", "--iterations", "1", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last"]["curve"][0]["iteration"] == 1
    assert "network    arch_id" in done.stderr and "last: mIoU" in done.stderr


def test_another_length_shortens_what_no_longer_fits(recipe: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "slow.yaml", iterations=5000, warmup_iterations=400, evaluations=50)
    done = stdc_lab("train", path, "--out", "x", "--iterations", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    train = read(tmp_path / "x" / "training.yaml")["train"]
    assert (train["iterations"], train["warmup_iterations"], train["evaluations"]) == (3, 1, 3)
    assert "3 iterations, 6 images" in done.stdout
    assert_refused(
        stdc_lab("train", path, "--iterations", "20000000", cwd=tmp_path),
        "--iterations: got 20000000; allowed: input should be less than or equal to 10000000",
    )


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
        if path.name == "state.pt.partial" and next(states) == 3:
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
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    options = ("--out", "run", "--iterations", "1")
    with monkeypatch.context() as patch:
        patch.setattr("stdc_lab.reporting.figures.save_png", full)
        done = stdc_lab("train", recipe, *options, cwd=tmp_path)
    assert_refused(done, "run/curve.png: cannot be written: No space left on device; everything else of it is kept")
    done = stdc_lab("train", recipe, *options, cwd=tmp_path)
    assert done.returncode == 0 and "nothing to train" in done.stdout
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000


def test_a_folder_in_use_or_begun_with_something_else_is_left_alone(recipe: Path, tmp_path: Path) -> None:
    assert stdc_lab("train", recipe, "--out", "run", "--iterations", "2", cwd=tmp_path).returncode == 0
    before = contents(tmp_path / "run")
    with filelock.FileLock(tmp_path / "run" / ".training.lock"):
        done = stdc_lab("train", recipe, "--out", "run", "--iterations", "2", cwd=tmp_path)
    assert_refused(done, "run: another training is at work on this folder; wait for it or use another --out")
    write(recipe, arch=SPEC.replace(num_blocks=3), data={**DATA, "train_images": 5}, learning_rate=0.04)
    done = stdc_lab("train", recipe, "--out", "run", cwd=tmp_path)
    assert_refused(
        done,
        "run/training.yaml: this folder was begun with another training; nothing was changed. Use another --out, or",
        "arch.num_blocks: was 2, is 3",
        "data.train_images: was 4, is 5 train.iterations: was 2, is 6 train.learning_rate: was 0.05, is 0.04",
    )
    assert contents(tmp_path / "run") == before


def study(folder: Path) -> Path:
    """A study of four trials: one finished with detail heads, one without, one failed, one of stdc1."""
    space = {
        "name": "core",
        "vary": {
            "base_width": {"type": "choice", "values": [8]},
            "depths": {"type": "choice", "values": [[1, 1, 1]]},
            "num_blocks": {"type": "int", "low": 2, "high": 4},
            "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
        },
    }
    config = study_config(space=space, data=DATA, train={**TRAIN, "iterations": 1, "warmup_iterations": 0,
                                                         "evaluations": 1})  # fmt: skip
    with open_study(folder, config) as opened:
        for number, strides in ((2, "8"), (3, "none")):
            params = {"base_width": 8, "depths": "1-1-1", "num_blocks": number, "heads.detail_strides": strides}
            add_complete(opened, folder, config, miou=0.4, latency_ms=20.0, params=params)
        add_unfinished(opened, config, TrialState.FAIL, reason="no room")
        add_complete(opened, folder, config, miou=0.5, latency_ms=30.0, reference="stdc1")
    return folder


def test_a_found_network_is_trained_fully(tmp_path: Path) -> None:
    study(tmp_path / "my study 2.0")
    done = stdc_lab("train", "--from", "my study 2.0", "--trial", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "my_study_2_0_trial1"
    kept = read(folder / "training.yaml")
    assert (kept["arch"]["base_width"] if "base_width" in kept["arch"] else kept["arch"]["widths"][1]) == 8
    assert kept["arch"]["num_blocks"] == 3
    assert kept["train"]["heads"]["detail_strides"] == []  # the trial's own, not the study's
    assert kept["data"] == {**kept["data"], **DATA}
    assert len(curve(folder)) == kept["train"]["iterations"] == 20
    again = stdc_lab("train", "--from", "my study 2.0", "--trial", "1", cwd=tmp_path)
    assert "all 20 iterations were done before" in again.stdout


def test_a_found_network_by_another_recipe(recipe: Path, tmp_path: Path) -> None:
    study(tmp_path / "study")
    done = stdc_lab("train", recipe, "--from", "study", "--trial", "0", "--iterations", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = read(tmp_path / "runs" / "study_trial0_tiny" / "training.yaml")
    assert kept["arch"]["num_blocks"] == 2
    assert kept["train"]["learning_rate"] == 0.05 and kept["train"]["iterations"] == 2
    # It is named by what it is made of, which a later call reads back.
    assert (
        stdc_lab("train", recipe, "--from", "study", "--trial", "0", "--iterations", "2", cwd=tmp_path).returncode == 0
    )


def test_a_trial_that_is_not_there_lists_those_that_are(recipe: Path, tmp_path: Path) -> None:
    folder = study(tmp_path / "study")
    for number in (2, 9, -1):
        done = stdc_lab("train", "--from", "study", "--trial", number, cwd=tmp_path)
        assert_refused(done, f"--trial: got {number}; allowed: a finished trial of study: 0, 1, 3")
    for record in (folder / "runs").glob("*/trial.json"):
        record.unlink()
    done = stdc_lab("train", "--from", "study", "--trial", "0", cwd=tmp_path)
    assert_refused(done, "study: the record of trial 0 is gone (runs/", "give a training's YAML too")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "train: got neither a YAML nor --from; allowed: CONFIG, or --from STUDY_DIR --trial N, or both"),
        (["--from", "x"], "--from and --trial: got one of them; allowed: both"),
        (["tiny.yaml", "--trial", "1"], "--from and --trial: got one of them; allowed: both"),
        (["--from", "none", "--trial", "1"], "none: no such folder; give a folder that `stdc-lab search` wrote"),
        (["none.yaml"], "none.yaml: no such file"),
        (["wrong.yaml"], "wrong.yaml:2: train.iteration: no such key (did you mean iterations?); allowed:"),
        (["tiny.yaml", "--iterations", "0"], "--iterations"),
        (["tiny.yaml", "--data", "camvid=."], "--data: got 'camvid'; allowed: scenes, the data set of this training"),
        (["tiny.yaml", "--data", "scenes=."], "scenes are made here and take no folder; leave --data out"),
        (["tiny.yaml", "--device", "gpu"], "--device: got 'gpu'; allowed: auto, cpu"),
        (["tiny.yaml", "--pretrained", "none.pt"], "none.pt: cannot be read: No such file or directory"),
        (["tiny.yaml", "--pretrained", "other.pt"], "other.pt: its backbone (arch_id {stdc1}) is not this network's"),
        (["tiny.yaml", "--pretrained", "released.pth"], "released.pth: no checkpoint of stdc_lab; for a released one"),
        (["own.yaml"], "folder: no folder was given; say where it is with --data folder=PATH"),
        (["own.yaml", "--data", "folder=own"], "own/val.txt"),
    ],
)
def test_bad_input_is_one_message_and_makes_no_folder(arguments: list[str], message: str, tmp_path: Path) -> None:
    write(tmp_path / "tiny.yaml")
    (tmp_path / "wrong.yaml").write_text("name: wrong\ntrain: {iteration: 5}\n")
    if "other.pt" in arguments:
        save_checkpoint(tmp_path / "other.pt", build_classifier(presets["stdc1"], 10), {})
    if "released.pth" in arguments:
        torch.save({"state_dict": {}}, tmp_path / "released.pth")
    if "own.yaml" in arguments:
        write(tmp_path / "own.yaml", data={"name": "folder", "size": "48x64"})
        write_own(tmp_path / "own", lists=True)
        (tmp_path / "own" / "val.txt").write_text("\n")
    done = stdc_lab("train", *arguments, cwd=tmp_path)
    assert_refused(done, message.format(stdc1=presets["stdc1"].arch_id))
    assert not (tmp_path / "runs").exists()


def test_a_backbone_of_another_number_of_classes_is_as_good(recipe: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "nineteen.pt", build_model(SPEC, 19), {})
    options = ("--out", "run", "--iterations", "2")
    done = stdc_lab("train", recipe, *options, "--pretrained", "nineteen.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"arch_id {SPEC.arch_id}, 11 classes, backbone of nineteen.pt" in done.stdout
    assert "from scratch" not in done.stdout
    done = stdc_lab("train", recipe, *options, cwd=tmp_path)
    assert_refused(done, "start: was backbone of nineteen.pt, is random weights")
