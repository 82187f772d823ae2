import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import load_dataset
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.training import train
from tests.cli.in_process import stdc_lab
from tests.data.camvid_tree import VAL, write_camvid

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 16, 16))
SCENES = DataConfig(size=(32, 48), train_images=4, val_images=5)


def write(path: Path, data: DataConfig | None = SCENES, classes: int = 11, **protocol: Any) -> Path:
    torch.manual_seed(0)
    if data is not None:
        protocol["data"] = data.model_dump(mode="json")
    save_checkpoint(path, build_model(SPEC, classes), protocol)
    return path


def evaluated(*arguments: object, cwd: Path) -> dict[str, Any]:
    done = stdc_lab("evaluate", *arguments, "--json", "out.json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((cwd / "out.json").read_text())
    return result


def test_it_explains_itself_with_an_example() -> None:
    assert "Example: stdc-lab evaluate" in stdc_lab("evaluate", "--help").stdout


def test_without_options_it_repeats_the_trainings_own_evaluation(tmp_path: Path) -> None:
    config = TrainConfig(iterations=3, batch_size=2, warmup_iterations=1, evaluations=1)
    dataset = load_dataset(SCENES)
    trained = train(SPEC, dataset, config, seed=1)
    protocol = {"data": SCENES.model_dump(mode="json"), "train": config.model_dump(mode="json"), "seed": 1}
    protocol |= {"miou": trained.result.miou, "contents": dataset.part_contents}
    save_checkpoint(tmp_path / "checkpoint.pt", trained.network, protocol)
    done = stdc_lab("evaluate", "checkpoint.pt", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["miou"] == trained.result.miou == result["recorded_miou"]
    assert result["class_iou"] == trained.result.class_iou
    assert result["pixel_accuracy"] == trained.result.pixel_accuracy
    assert 0 <= result["boundary_f"] <= 1
    assert result["trained"]["seed"] == 1
    assert result["protocol"]["data"] == SCENES.model_dump(mode="json")
    assert result["protocol"]["num_images"] == 5
    for text in (
        f"mIoU {trained.result.miou:.4f}",
        f"own record, same data and scale: mIoU {trained.result.miou:.4f}",
        "data: scenes, seed 0, 5 validation images, labels 32x48",
        f"weights: checkpoint.pt, arch_id {SPEC.arch_id}, 11 classes",
        "one confusion matrix over all images",
        "matched within 0.75% of the image's diagonal",
        "cyclist",
    ):
        assert text in done.stderr


def test_the_checkpoints_own_record_is_compared_with_the_same_images_only(tmp_path: Path) -> None:
    for name, value in (("here", 0), ("copy", 0), ("changed", 1)):
        write_camvid(tmp_path / name)
        image = next((tmp_path / name / "valannot").glob("*.png"))
        pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
        pixels[:8, :8] = value
        cv2.imwrite(str(image), pixels)
    data = DataConfig(name="camvid", size=(32, 48))
    contents = load_dataset(data, tmp_path / "here").part_contents
    write(tmp_path / "new.pt", data, miou=0.5, contents=contents)
    write(tmp_path / "old.pt", data, miou=0.5)

    def said(file: str, where: str, *options: str) -> str:
        done = stdc_lab("evaluate", file, "--data", f"camvid={where}", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    same = "the checkpoint's own record, same data and scale: mIoU 0.5000"
    for where in ("here", "copy"):
        assert same in said("new.pt", where)
    assert "the checkpoint says mIoU 0.5000 of other data: not to be compared" in said("new.pt", "changed")
    both = "mIoU 0.5000 of other data and at another scale: not to be compared"
    assert both in said("new.pt", "changed", "--scale", "0.5")
    assert "mIoU 0.5000 at another scale: not to be compared" in said("new.pt", "here", "--scale", "0.5")
    assert "mIoU 0.5000 of other data: not to be compared" in said("new.pt", "here", "--size", "64x96")
    assert "mIoU 0.5000, but not of which images: not to be compared" in said("old.pt", "here")


def test_scales_and_mirror_are_used_and_said(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", miou=0.5)
    plain = evaluated("x.pt", cwd=tmp_path)
    small = evaluated("x.pt", "--scale", "0.5", cwd=tmp_path)
    assert small["protocol"]["scales"] == [0.5]
    assert small["pixel_accuracy"] != plain["pixel_accuracy"]
    both = evaluated("x.pt", "--scale", "1", "--scale", "1.5", "--flip", cwd=tmp_path)
    assert both["protocol"]["scales"] == [1, 1.5] and both["protocol"]["flip"] is True
    assert both["pixel_accuracy"] not in (plain["pixel_accuracy"], small["pixel_accuracy"])
    done = stdc_lab("evaluate", "x.pt", "--scale", "1", "--scale", "1.5", "--flip", cwd=tmp_path)
    assert "scale 1, 1.5, and mirrored, probabilities averaged" in done.stdout
    assert "own record" not in done.stdout  # of another protocol: not side by side


def test_options_override_what_the_checkpoint_says(tmp_path: Path) -> None:
    write(tmp_path / "x.pt")
    write_camvid(tmp_path / "camvid")
    sized = evaluated("x.pt", "--size", "64x96", cwd=tmp_path)["protocol"]
    assert sized["data"] == {**SCENES.model_dump(mode="json"), "size": "64x96"}
    assert sized["notes"] == ["trained at 32x48, evaluated at 64x96"]
    for options in (["--dataset", "camvid", "--data", "camvid=camvid"], ["--data", "camvid=camvid"]):
        other = evaluated("x.pt", *options, cwd=tmp_path)["protocol"]
        assert other["data"]["name"] == "camvid"
        assert other["data"]["size"] == "32x48"  # that of the training
        assert other["num_images"] == len(VAL)
    drive = evaluated("x.pt", "--data", "camvid=camvid", "--split", "drive", "--held-out", "0001TP", cwd=tmp_path)
    assert (drive["protocol"]["data"]["split"], drive["protocol"]["data"]["held_out"]) == ("drive", "0001TP")
    assert drive["protocol"]["num_images"] == 2


def test_the_split_of_the_training_is_kept_and_can_be_left(tmp_path: Path) -> None:
    held = DataConfig(name="camvid", size=(32, 48), split="drive", held_out="0001TP")
    write(tmp_path / "x.pt", held)
    write_camvid(tmp_path / "camvid")
    kept = evaluated("x.pt", "--data", "camvid=camvid", cwd=tmp_path)["protocol"]
    assert kept["data"] == held.model_dump(mode="json") and kept["notes"] == []
    left = evaluated("x.pt", "--data", "camvid=camvid", "--split", "usual", cwd=tmp_path)["protocol"]
    assert left["data"]["split"] == "usual"
    assert "may have been trained on these images" in left["notes"][0]


def test_an_imported_checkpoint_needs_to_be_told_the_data(tmp_path: Path) -> None:
    write(tmp_path / "x.pt", None, imported="model.pth")
    write_camvid(tmp_path / "camvid")
    result = evaluated("x.pt", "--data", "camvid=camvid", "--size", "32x48", cwd=tmp_path)
    assert result["protocol"]["num_images"] == len(VAL)
    assert "does not say what it was trained on" in result["protocol"]["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.pt", "--scale", "0"], "--scale: got 0; allowed: above 0, up to 4"),
        (["x.pt", "--scale", "0.5", "--scale", "4.5"], "--scale: got 4.5; allowed: above 0, up to 4"),
        (["x.pt", "--size", "big"], "--size: got 'big'; allowed: a size is HEIGHTxWIDTH"),
        (["x.pt", "--dataset", "kitti"], "--dataset: got 'kitti'; allowed: scenes, camvid"),
        (["x.pt", "--split", "odd", "--data", "camvid=."], "--split: got 'odd'; allowed: 'usual' or 'drive'"),
        (["x.pt", "--split", "drive"], "split (drive) says nothing of scenes"),
        (["x.pt", "--data", "camvid"], "--data: got 'camvid'; allowed: NAME=PATH, such as scenes=path/to/scenes"),
        (["x.pt", "--data", "camvid=none"], "camvid: none is no folder; say where it is with --data camvid=PATH"),
        (["x.pt", "--dataset", "camvid"], "camvid: no folder was given; say where it is with --data camvid=PATH"),
        (
            ["x.pt", "--dataset", "scenes", "--data", "camvid=."],
            "--data: got 'camvid'; allowed: scenes, the data set that is evaluated",
        ),
        (["x.pt", "--device", "gpu"], "--device: got 'gpu'; allowed: auto, cpu"),
        (["nineteen.pt"], "nineteen.pt: 19 classes, but scenes has 11; allowed: a data set (--dataset) of 19 classes"),
        (["classifier.pt"], "classifier.pt: got the weights of a classifier; allowed: those of a segmenter"),
        (["none.pt"], "none.pt: cannot be read: No such file or directory"),
        (["text.pt"], "text.pt: no checkpoint that PyTorch can read"),
        (["imported.pt"], "--dataset: imported.pt does not say what it was trained on; give --dataset here"),
        (["imported.pt", "--dataset", "scenes"], "--size: imported.pt does not say what it was trained on"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    write(tmp_path / "x.pt")
    write(tmp_path / "nineteen.pt", classes=19)
    write(tmp_path / "imported.pt", None, imported="model.pth")
    save_checkpoint(tmp_path / "classifier.pt", build_classifier(SPEC, 11), {"data": SCENES.model_dump(mode="json")})
    (tmp_path / "text.pt").write_text("no weights")
    done = stdc_lab("evaluate", *arguments, "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()
