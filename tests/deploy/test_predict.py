import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy import inputs as inputs_module
from stdc_lab.deploy.inputs import VideoFile, check_readable, find_inputs, open_video, read_image
from stdc_lab.deploy.palette import classes_of
from stdc_lab.deploy.predict import (
    Speed,
    check_comparable,
    class_ids,
    load_predictor,
    predict_image,
    predict_images,
    predict_video,
    to_input,
)
from stdc_lab.errors import CheckpointError, ConfigError, DataError, StdcLabError
from stdc_lab.nn import build_classifier, build_model, load_checkpoint
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.training import evaluate

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 16, 16))
CPU = torch.device("cpu")
CAMVID = DataConfig(name="camvid", size=(32, 48)).model_dump(mode="json")


def write(path: Path, classes: int = 11, seed: int = 0, **protocol: Any) -> Path:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, build_model(SPEC, classes, TrainingHeads()), {"train": {"precision": "float32"}, **protocol})
    return path


def picture(path: Path, size: tuple[int, int] = (40, 70), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), cv2.GaussianBlur(pixels, (9, 9), 4))
    return path


def film(path: Path, frames: int = 6, size: tuple[int, int] = (48, 64), rate: float = 12) -> Path:
    with VideoFile(path, rate) as file:
        for index in range(frames):
            file.add(np.full((*size, 3), 40 * index, np.uint8))
    return path


def test_classes_are_those_that_the_evaluation_sees(tmp_path: Path) -> None:
    """At the network's own size, prediction and evaluation are the same network on the same pixels."""
    predictor = load_predictor(write(tmp_path / "x.pt"), CPU)
    image = read_image(picture(tmp_path / "x.png"))
    network = load_checkpoint(tmp_path / "x.pt").network
    theirs = evaluate.predict(network, image[None], CPU, torch.float32)[0].numpy()
    assert np.array_equal(predict_image(predictor, image), theirs)
    assert torch.equal(to_input(image, CPU), evaluate.to_input(image[None], CPU))
    assert len(np.unique(theirs)) > 1


def test_the_size_of_the_training_is_used_and_the_result_is_brought_back(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt", data=CAMVID)
    image = read_image(picture(tmp_path / "x.png", (64, 96)))
    speed = Speed()
    found = predict_image(load_predictor(path, CPU), image, speed)
    assert speed.sizes == {(32, 48)}
    resized = cv2.resize(image, (48, 32), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        logits = load_checkpoint(path).network(to_input(resized, CPU)).logits
        expected = functional.interpolate(logits, (64, 96), mode="bilinear", align_corners=True)[0].argmax(0)
    assert found.shape == (64, 96)
    assert np.array_equal(found, expected.numpy())
    given = Speed()
    predict_image(load_predictor(path, CPU, size=(64, 64)), image, given)
    assert given.sizes == {(64, 64)}


def test_classes_one_after_another_are_the_best_of_all() -> None:
    logits = torch.randn(1, 7, 9, 11, generator=torch.Generator().manual_seed(0))
    for size in ((9, 11), (30, 50), (5, 6)):
        expected = functional.interpolate(logits, size, mode="bilinear", align_corners=True)[0].argmax(0)
        assert np.array_equal(class_ids(logits, size), expected.numpy())


def test_warm_up_is_not_counted(tmp_path: Path) -> None:
    predictor = load_predictor(write(tmp_path / "x.pt"), CPU)
    calls: list[tuple[int, ...]] = []
    predictor.network.register_forward_hook(lambda module, given, output: calls.append(tuple(given[0].shape)))
    speed = Speed()
    assert speed.network_fps is None and speed.whole_fps is None
    for size in ((32, 32), (32, 32), (48, 32)):
        predict_image(predictor, np.zeros((*size, 3), np.uint8), speed)
    assert speed.images == 3 and len(calls) == 5  # a warm-up for each of two sizes
    assert speed.sizes == {(32, 32), (48, 32)}
    assert speed.network_fps is not None and speed.network_fps > 0


def test_only_the_inference_graph_is_run(tmp_path: Path) -> None:
    predictor = load_predictor(write(tmp_path / "x.pt"), CPU)
    assert not [name for name in predictor.network.state_dict() if name.startswith(("auxiliary", "detail"))]
    assert not predictor.network.training


@pytest.mark.parametrize(
    ("file", "protocol", "label"),
    [
        ("runs/abc/checkpoint.pt", {}, "abc"),
        ("runs/abc/checkpoint.pt", {"reference": "stdc1"}, "stdc1"),
        ("whole/last.pt", {"name": "recipe"}, "recipe"),
        ("mine.pt", {"reference": None}, "mine"),
    ],
)
def test_what_a_network_is_called(file: str, protocol: dict[str, Any], label: str, tmp_path: Path) -> None:
    assert load_predictor(write(tmp_path / file, **protocol), CPU).label == label


def test_every_image_gets_its_pictures(tmp_path: Path) -> None:
    predictor = load_predictor(write(tmp_path / "x.pt", data=CAMVID), CPU)
    image = picture(tmp_path / "in/a.png")
    out = tmp_path / "out"
    out.mkdir()
    _, written = predict_images([predictor], find_inputs([image]), out, beside=True)
    assert [path.name for path in written] == ["a_overlay.png", "a_classes.png", "a_coloured.png", "a_side.png"]
    assert sorted(out.iterdir()) == sorted(written)
    pixels = read_image(image)
    ids = predict_image(predictor, pixels)
    with Image.open(out / "a_classes.png") as classes:
        assert np.array_equal(np.asarray(classes), ids)
    coloured = read_image(out / "a_coloured.png")
    assert np.array_equal(coloured, classes_of("camvid", 11).colours[ids])
    overlay = read_image(out / "a_overlay.png").astype(int)
    assert np.abs(overlay - (pixels.astype(int) + coloured) / 2).max() <= 1
    assert np.array_equal(read_image(out / "a_side.png")[:40, :70], pixels)


def test_several_networks_are_compared_on_pages(tmp_path: Path) -> None:
    predictors = [load_predictor(write(tmp_path / f"{seed}.pt", seed=seed, data=CAMVID), CPU) for seed in range(2)]
    for index in range(13):
        picture(tmp_path / f"in/{index:02d}.png", seed=index)
    out = tmp_path / "out"
    out.mkdir()
    speeds, _ = predict_images(predictors, find_inputs([tmp_path / "in"]), out)
    assert [speed.images for speed in speeds] == [13, 13]
    assert speeds[0].whole_fps is not None and speeds[1].whole_fps is None
    first, second = read_image(out / "comparison-1.png"), read_image(out / "comparison-2.png")
    assert first.shape[1] == second.shape[1] == 3 * 240 + 4 * 8
    assert first.shape[0] > 5 * second.shape[0]  # twelve rows and one
    assert not (out / "comparison.png").exists()


def test_networks_of_other_classes_are_not_compared(tmp_path: Path) -> None:
    one = load_predictor(write(tmp_path / "a.pt", data=CAMVID), CPU)
    other = load_predictor(write(tmp_path / "b.pt", classes=19), CPU)
    with pytest.raises(
        CheckpointError, match=r"--compare: .*b.pt has the classes class 0, .* \(19\); allowed: those of"
    ):
        check_comparable([one, other])
    check_comparable([one, one])


def test_a_video_becomes_a_video_of_the_same_frames_and_rate(tmp_path: Path) -> None:
    predictor = load_predictor(write(tmp_path / "x.pt"), CPU)
    (item,) = find_inputs([film(tmp_path / "drive.mp4")])
    assert item.video
    heard: list[tuple[str, int, int]] = []
    speed, path = predict_video(predictor, item, tmp_path, on_progress=lambda *told: heard.append(told))
    assert path == tmp_path / "drive_overlay.mp4"
    assert heard[-1] == ("predicting drive.mp4", 6, 6)
    assert speed.images == 6
    with open_video(path) as video, open_video(item.path) as source:
        assert video.rate == pytest.approx(12)
        seen, before = list(video.frames), list(source.frames)
    assert len(seen) == 6
    for overlay, image in zip(seen, before, strict=True):
        assert overlay.shape == (48, 64, 3)
        colours = classes_of(None, 11).colours[predict_image(predictor, image)]
        assert np.abs(overlay.astype(float) - (image / 2 + colours / 2)).mean() < 25  # lossy
    _, path = predict_video(predictor, item, tmp_path, beside=True)
    with open_video(path) as video:
        frame = next(video.frames)
    assert frame.shape[1] == 2 * 64 + 8 and frame.shape[0] > 48
    assert not list(tmp_path.glob("*.partial*"))


def test_an_odd_size_is_made_even_and_nothing_is_left_of_a_video_that_fails(tmp_path: Path) -> None:
    with open_video(film(tmp_path / "odd.mp4", size=(33, 47))) as video:
        assert next(video.frames).shape == (34, 48, 3)
    with contextlib.suppress(KeyError), VideoFile(tmp_path / "broken.mp4", 10) as file:
        file.add(np.zeros((32, 32, 3), np.uint8))
        assert list(tmp_path.glob(".broken.mp4.*.partial.mp4"))
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["odd.mp4"]


def test_a_missing_codec_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def __init__(self, *arguments: object) -> None:
            pass

        def isOpened(self) -> bool:  # noqa: N802
            return False

        def release(self) -> None:
            pass

        fourcc = staticmethod(lambda *letters: 0)

    monkeypatch.setattr(inputs_module.cv2, "VideoWriter", Closed)
    with (
        pytest.raises(StdcLabError, match=r"x.mp4: cannot be written: this build of OpenCV has no codec for mp4v"),
        VideoFile(tmp_path / "x.mp4", 10) as file,
    ):
        file.add(np.zeros((32, 32, 3), np.uint8))


def test_inputs_are_found_once_each_and_keep_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/y.JPG", "b/x.png", "b/X-2.bmp"):
        picture(tmp_path / name)
    (tmp_path / "a/notes.txt").write_text("no image")
    found = find_inputs([tmp_path / "a", tmp_path / "b/x.png", tmp_path / "a/x.png", tmp_path / "b"])
    assert [(item.path.parent.name, item.path.name, item.name) for item in found] == [
        ("a", "x.png", "x"),
        ("a", "y.JPG", "y"),
        ("b", "x.png", "x-2"),
        ("b", "X-2.bmp", "X-2-2"),
    ]


def test_inputs_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"none.png: no such file; allowed: an image, a folder of images, or a video"):
        find_inputs([tmp_path / "none.png"])
    with pytest.raises(DataError, match=r"empty: got no image; allowed: a folder with files .png, .jpg"):
        find_inputs([tmp_path / "empty"])
    with pytest.raises(DataError, match=r"notes.txt: got '.txt'; allowed: images .png, .* videos .mp4"):
        find_inputs([tmp_path / "notes.txt"])


def test_unreadable_inputs_are_named_or_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    every = find_inputs([tmp_path, tmp_path / "c.mp4"])
    with pytest.raises(DataError, match=r"b.png: got 8 bytes that are no image; .*; --skip-unreadable goes on"):
        check_readable(every, skip=False)
    good, skipped = check_readable(every, skip=True)
    assert [item.path.name for item in good] == ["a.png"]
    assert "b.png: got 8 bytes" in skipped[0]
    assert "c.mp4: got no frame; allowed: a video that OpenCV can read" in skipped[1]
    with pytest.raises(DataError, match=r"no input can be read:\n  .*b.png"):
        check_readable(every[1:], skip=True)


def test_grey_deep_and_transparent_images_are_read_as_colour(tmp_path: Path) -> None:
    for name, pixels in {
        "grey.png": np.full((4, 5), 100, np.uint8),
        "deep.png": np.full((4, 5, 3), 100 * 257, np.uint16),
        "clear.png": np.full((4, 5, 4), 100, np.uint8),
    }.items():
        assert cv2.imwrite(str(tmp_path / name), pixels)
        image = read_image(tmp_path / name)
        assert image.shape == (4, 5, 3) and image.dtype == np.uint8
        assert (image == 100).all()


def test_weights_that_cannot_be_shown_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "cls.pt", build_classifier(SPEC, 11), {})
    with pytest.raises(
        CheckpointError, match=r"cls.pt: got the weights of a classifier; allowed: those of a segmenter"
    ):
        load_predictor(tmp_path / "cls.pt", CPU)
    with pytest.raises(CheckpointError, match=r"many.pt: got 256 classes; allowed: up to 255"):
        load_predictor(write(tmp_path / "many.pt", classes=256), CPU)
    path = write(tmp_path / "x.pt")
    with pytest.raises(ConfigError, match=r"--dataset: got 'cityscapes', but .*x.pt has 11 classes; allowed: scenes"):
        load_predictor(path, CPU, dataset="cityscapes")
    assert load_predictor(path, CPU).classes.names[0] == "class 0"
    assert load_predictor(path, CPU, dataset="camvid").classes.names[0] == "sky"


@pytest.mark.gpu
def test_a_gpu_sees_what_the_cpu_sees(tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt", data=CAMVID)
    image = read_image(picture(tmp_path / "x.png"))
    there = predict_image(load_predictor(path, torch.device("cuda:0")), image)
    assert (there == predict_image(load_predictor(path, CPU), image)).mean() > 0.99
