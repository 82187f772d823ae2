"""`stdc-lab train` as it is called, also with what it cannot use."""

import json
from pathlib import Path

import filelock
import pytest
import torch

from stdc_lab.arch import presets
from stdc_lab.config.reading import read_recipe
from stdc_lab.data import load_dataset
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.training import Progress
from stdc_lab.training import stepper as stepper_module
from stdc_lab.training.run import TrainingCallbacks, run_training
from tests.cli.in_process import stdc_lab
from tests.cli.tiny_training import DATA, SPEC, assert_refused, contents, curve, read, write
from tests.data.trees import write_own


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


def test_a_training_that_goes_on_in_another_precision_says_so(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    value = read_recipe(recipe)
    monkeypatch.setattr(stepper_module, "choose_dtype", lambda precision, device: torch.bfloat16)
    callbacks = TrainingCallbacks(progress=stop)
    with pytest.raises(KeyboardInterrupt):
        run_training(value, tmp_path / "x", load_dataset(value.data), torch.device("cpu"), callbacks=callbacks)
    monkeypatch.setattr(stepper_module, "choose_dtype", lambda precision, device: torch.float32)
    done = stdc_lab("train", recipe, "--out", "x", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "going on after iteration 1 in float32 on cpu, until then in bfloat16 on cpu" in done.stderr
    assert "not of one piece: trained in bfloat16 on cpu to iteration 1, in float32 on cpu from there" in done.stderr
    assert [part["precision"] for part in json.loads(done.stdout)["last"]["computed"]] == ["bfloat16", "float32"]


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
