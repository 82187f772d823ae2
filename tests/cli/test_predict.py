import json
from pathlib import Path
from typing import Any

import pytest

from stdc_lab.nn import build_classifier
from stdc_lab.nn.checkpoints import save_checkpoint
from tests.cli.in_process import stdc_lab
from tests.deploy.test_predict import CAMVID, SPEC, film, picture, write


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write(tmp_path / "a.pt", data=CAMVID)
    write(tmp_path / "b.pt", seed=1, data=CAMVID)
    picture(tmp_path / "in/one.png")
    picture(tmp_path / "in/two.jpg", seed=1)
    return tmp_path


def test_it_explains_itself_with_an_example() -> None:
    assert "Example: stdc-lab predict" in stdc_lab("predict", "--help").stdout


def test_a_folder_of_images(here: Path) -> None:
    done = stdc_lab("predict", "a.pt", "in", "--out", "seen", "--side-by-side", "--json", "-", cwd=here)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    kinds = ("classes", "coloured", "overlay", "side")
    expected = sorted(f"{name}_{kind}.png" for name in ("one", "two") for kind in kinds)
    assert sorted(path.name for path in (here / "seen").iterdir()) == expected
    assert sorted(Path(path).name for path in report["files"]) == expected
    (speed,) = report["speeds"]
    assert (speed["images"], speed["sizes"], speed["precision"]) == (2, ["32x48"], "float32")
    assert speed["network_fps"] > speed["whole_fps"] > 0
    assert speed["environment"]["device"] == "cpu" and speed["environment"]["threads"] >= 1
    for text in ("2 images:", "frames a second by the network alone", "with reading, drawing and writing", "threads"):
        assert text in done.stderr
    assert "at 32x48, batch 1, float32, cpu" in done.stderr
    assert "written: 8 files in seen" in done.stderr


def test_another_size_an_image_and_a_video(here: Path) -> None:
    film(here / "drive.mp4")
    done = stdc_lab("predict", "a.pt", "in/one.png", "drive.mp4", "--out", "new/seen", "--size", "64x64", cwd=here)
    assert done.returncode == 0, done.stderr
    assert (here / "new/seen/drive_overlay.mp4").stat().st_size > 0
    assert (here / "new/seen/one_overlay.png").exists()
    assert "1 image:" in done.stdout and "drive.mp4:" in done.stdout
    assert done.stdout.count("at 64x64") == 2


def test_checkpoints_side_by_side(here: Path) -> None:
    done = stdc_lab("predict", "a.pt", "in", "--out", "seen", "--compare", "b.pt", "--compare", "a.pt", cwd=here)
    assert done.returncode == 0, done.stderr
    assert (here / "seen/comparison.png").exists()
    assert done.stdout.count("frames a second by the network alone") == 3
    assert done.stdout.count("with reading") == 1  # of the first only: the others share its images


def test_nothing_is_overwritten_before_every_image_was_read(here: Path) -> None:
    (here / "seen").mkdir()
    (here / "seen/one_overlay.png").write_text("as it was")
    (here / "in/zzz.png").write_bytes(b"no image")
    done = stdc_lab("predict", "a.pt", "in", "--out", "seen", cwd=here)
    assert done.returncode == 2
    assert "zzz.png: got 8 bytes that are no image" in done.stderr
    assert "--skip-unreadable goes on without it" in done.stderr
    assert [path.name for path in (here / "seen").iterdir()] == ["one_overlay.png"]
    assert (here / "seen/one_overlay.png").read_text() == "as it was"
    done = stdc_lab("predict", "a.pt", "in", "--out", "seen", "--skip-unreadable", "--json", "x.json", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "skipped: in/zzz.png: got 8 bytes" in done.stdout
    assert len(list((here / "seen").iterdir())) == 6
    assert "zzz.png" in json.loads((here / "x.json").read_text())["skipped"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.pt", "none.png"], "none.png: no such file; allowed: an image, a folder of images, or a video"),
        (["a.pt", "a.pt"], "a.pt: got '.pt'; allowed: images .png"),
        (["none.pt", "in"], "none.pt: cannot be read: No such file or directory"),
        (["classifier.pt", "in"], "classifier.pt: got the weights of a classifier"),
        (["a.pt", "in", "--size", "10x10"], "--size: got '10x10'; allowed: sides from 32 to 8192 pixels"),
        (["a.pt", "in", "--dataset", "kitti"], "--dataset: got 'kitti'; allowed: scenes, camvid, cityscapes"),
        (["a.pt", "in", "--dataset", "cityscapes"], "--dataset: got 'cityscapes', but a.pt has 11 classes"),
        (["a.pt", "in", "--compare", "other.pt"], "--compare: other.pt has the classes class 0, class 1, class 2"),
        (["a.pt", "drive.mp4", "--compare", "b.pt"], "--compare: got the video drive.mp4; allowed: images"),
        (["a.pt", "bad.mp4"], "bad.mp4: got no frame; allowed: a video that OpenCV can read here"),
        (["a.pt", "in", "--device", "gpu"], "--device: got 'gpu'; allowed: auto, cpu"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str, here: Path) -> None:
    save_checkpoint(here / "classifier.pt", build_classifier(SPEC, 11), {})
    write(here / "other.pt", classes=19)
    film(here / "drive.mp4")
    (here / "bad.mp4").write_bytes(b"no video")
    done = stdc_lab("predict", *arguments, "--out", "seen", cwd=here)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (here / "seen").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("in", "--out: got in, the folder of the images themselves; allowed: another folder"),
        ("a.pt", "--out: a.pt: cannot be made: File exists"),
    ],
)
def test_a_folder_that_cannot_take_results_is_refused(out: str, message: str, here: Path) -> None:
    done = stdc_lab("predict", "a.pt", "in", "--out", out, cwd=here)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(list((here / "in").iterdir())) == 2
