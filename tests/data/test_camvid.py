"""CamVid: what is read, how it is split and resized, and what is said about a folder that is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.data import IGNORE_LABEL, load_dataset
from stdc_lab.data.check import check_dataset
from stdc_lab.data.files import resize_image, resize_labels
from stdc_lab.errors import DataError
from tests.data.camvid_tree import TRAIN, VAL, write_camvid, write_png
from tests.data.trees import truncate

CONFIG = DataConfig(name="camvid", size=(48, 64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_camvid(tmp_path / "camvid")


@pytest.fixture
def load(folder: Path, tmp_path: Path):
    def load(config: DataConfig = CONFIG):
        return load_dataset(config, folder, tmp_path / "cache")

    return load


def test_images_are_red_first_and_unlabelled_becomes_the_ignored_label(load):
    data = load()
    assert data.name == "camvid" and len(data.class_names) == 11
    assert data.train.names == TRAIN and data.val.names == VAL
    assert data.train.images.shape == (4, 48, 64, 3) and data.val.labels.shape == (2, 48, 64)
    assert data.train.images[0, 20, 0].tolist() == [200, 0, 0]
    assert data.train.images[0, 20, 63].tolist() == [0, 0, 200]
    assert np.unique(data.train.labels).tolist() == [1, 3, IGNORE_LABEL]
    assert (data.train.labels[:, :12] == IGNORE_LABEL).all()


@pytest.mark.parametrize("size", [(32, 32), (37, 51), (96, 128), (48, 128)])
def test_resized_image_and_labels_agree(load, size):
    data = load(CONFIG.model_copy(update={"size": size}))
    image, labels = data.train.images[0].astype(int), data.train.labels[0]
    known = labels != IGNORE_LABEL
    assert ((image[..., 0] >= image[..., 2]) == (labels == 1))[known].mean() > 0.98
    assert np.unique(labels).tolist() == [1, 3, IGNORE_LABEL]
    assert abs(known.mean() - 0.75) < 0.03


def test_labels_are_taken_at_the_centre_of_each_pixel():
    labels = np.arange(6, dtype=np.uint8)[None].repeat(6, 0)
    assert resize_labels(labels, (2, 2))[0].tolist() == [1, 4]
    assert resize_labels(labels, (6, 6)) is labels


def test_a_shrunken_image_keeps_the_mean_of_what_is_thin():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, ::4] = 200
    assert np.ptp(resize_image(image, (10, 10))) == 0
    assert resize_image(image, (10, 10))[0, 0, 0] == 50


def test_a_drive_is_held_out_of_both_lists(load):
    data = load(DataConfig(name="camvid", size=(48, 64), split="drive", held_out="0006R0"))
    assert set(data.val.names) == {"0006R0_f00001", "0006R0_f00002"}
    assert set(data.train.names) == {*TRAIN, *VAL} - set(data.val.names)
    other = load(DataConfig(name="camvid", size=(48, 64), split="drive", held_out="0016E5"))
    assert set(other.val.names) == {"0016E5_00001", "0016E5_07959"}


def test_a_held_out_drive_without_frames_is_an_error(folder, load):
    lines = [line for line in (folder / "train.txt").read_text().splitlines() if "0001TP" not in line]
    (folder / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"got no image of drive 0001TP .*allowed: .*at least two drives"):
        load(DataConfig(name="camvid", size=(48, 64), split="drive", held_out="0001TP"))


def test_a_drive_that_is_everything_leaves_nothing_to_train_on(folder, load):
    for part in ("train", "val"):
        lines = [line for line in (folder / f"{part}.txt").read_text().splitlines() if "0006R0" in line]
        (folder / f"{part}.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match="only images of drive 0006R0"):
        load(DataConfig(name="camvid", size=(48, 64), split="drive", held_out="0006R0"))


def test_a_folder_must_be_given(tmp_path):
    with pytest.raises(DataError, match="--data camvid=PATH"):
        load_dataset(CONFIG, None, tmp_path)
    with pytest.raises(DataError, match=r"nowhere is no folder; .*--data camvid=PATH"):
        load_dataset(CONFIG, tmp_path / "nowhere", tmp_path)


def test_scenes_take_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"scenes.*take no folder"):
        load_dataset(DataConfig(), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train/a.png", r"train\.txt, line 5: got 'train/a\.png'; allowed: two paths, an image and its labels"),
        ("a.png b.png c.png", r"line 5: got 'a\.png b\.png c\.png'; allowed: two paths"),
        ("../a.png trainannot/a.png", r"line 5: got '\.\./a\.png'; allowed: a path inside"),
        ("train/../../a.png trainannot/a.png", r"line 5: got .*allowed: a path inside"),
        ("train/a.png /etc/passwd", r"line 5: got '/etc/passwd'; allowed: a path inside"),
        (r"train/a.png C:\labels.png", r"line 5: got .*allowed: a path inside"),
        (r"train/a.png ..\labels.png", r"line 5: got .*allowed: a path inside"),
        ("train/a.png trainannot/a.png", r"train/a\.png: got no such file or directory; allowed: a readable file"),
        ("train/0001TP_000001.png trainannot/0001TP_000001.png", r"got train/0001TP_000001\.png twice"),
    ],
)
def test_a_wrong_line_is_named(folder, load, line, message):
    with (folder / "train.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        load()


def test_blank_lines_are_none(folder, load):
    (folder / "val.txt").write_text("\n" + (folder / "val.txt").read_text().replace("\n", "\r\n\r\n"))
    assert load().val.names == VAL


def test_lists_must_be_there_and_hold_something(folder, load):
    (folder / "val.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"val\.txt: got no line; allowed: at least one image"):
        load()
    (folder / "val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt: got no such file or directory; allowed: a text file"):
        load()
    (folder / "val.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match=r"val\.txt: got .*decode"):
        load()


def test_sizes_of_image_and_labels_must_agree(folder, load):
    write_png(folder / "valannot" / f"{VAL[1]}.png", np.ones((24, 32), np.uint8))
    with pytest.raises(DataError, match=rf"{VAL[1]}\.png: got 24x32; allowed: the size of its image .*48x64"):
        load()


@pytest.mark.parametrize("label", [12, 255])
def test_label_ids_must_be_camvids(folder, load, label):
    write_png(folder / "trainannot" / f"{TRAIN[2]}.png", np.full((48, 64), label, np.uint8))
    with pytest.raises(DataError, match=f"{TRAIN[2]}.png: got label id {label}; allowed: 0 to 10, and 11"):
        load()


def test_labels_must_be_single_bytes(folder, load):
    path = folder / "trainannot" / f"{TRAIN[0]}.png"
    write_png(path, np.ones((48, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"got uint8 with 3 channel\(s\); allowed: one channel of 8-bit"):
        load()
    write_png(path, np.ones((48, 64), np.uint16))
    with pytest.raises(DataError, match=r"got uint16 with 1 channel\(s\)"):
        load()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_image_is_named(folder, load, content):
    path = folder / "train" / f"{TRAIN[1]}.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}: got ") + ".*allowed: a readable image file"):
        load()


def test_unreadable_images_are_left_out_only_when_asked_for(folder, load, caplog):
    whole = load()
    path = folder / "train" / f"{TRAIN[1]}.png"
    truncate(path)
    with pytest.raises(DataError, match=r"data\.skip_unreadable: true leaves such images out"):
        load()
    with caplog.at_level("WARNING"):
        data = load(CONFIG.model_copy(update={"skip_unreadable": True}))
    assert str(path) in caplog.text and "left out" in caplog.text
    assert data.train.names == tuple(name for name in whole.train.names if not name.endswith(TRAIN[1]))
    kept = [row for row, name in enumerate(whole.train.names) if name in data.train.names]
    assert np.array_equal(data.train.images, whole.train.images[kept])
    assert np.array_equal(data.train.labels, whole.train.labels[kept])
    assert data.val.names == whole.val.names


def test_skipping_is_for_files_that_cannot_be_read_and_for_nothing_else(folder, load):
    skipping = CONFIG.model_copy(update={"skip_unreadable": True})
    write_png(folder / "trainannot" / f"{TRAIN[1]}.png", np.ones((20, 30), np.uint8))
    with pytest.raises(DataError, match=r"got 20x30; allowed: the size of its image"):
        load(skipping)
    for name in TRAIN:
        truncate(folder / "train" / f"{name}.png")
    with pytest.raises(DataError, match=rf"got {len(TRAIN)} images, none of which can be read; allowed: at least one"):
        load(skipping)


def test_nothing_is_left_in_the_cache_after_an_error(folder, load, tmp_path):
    (folder / "val" / f"{VAL[1]}.png").write_bytes(b"no image")
    with pytest.raises(DataError):
        load()
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_both_lists_are_checked_and_everything_in_them(folder):
    (folder / "val.txt").unlink()
    with (folder / "train.txt").open("a") as file:
        file.write("one\n../out.png trainannot/a.png\ntrain/gone.png trainannot/gone.png\n")
    truncate(folder / "train" / f"{TRAIN[1]}.png")
    found = check_dataset(CONFIG, folder)
    assert [(problem.kind, Path(problem.where).name) for problem in found.problems[:6]] == [
        ("split", "train.txt, line 5"),
        ("split", "train.txt, line 6"),
        ("split", "val.txt"),
        ("file", f"{TRAIN[1]}.png"),
        ("pair", "gone.png"),
        ("pair", "gone.png"),
    ]
    assert [problem.kind for problem in found.problems[6:]] == ["class"] * 9  # the tree has two classes of eleven
    assert found.parts["train"].images == 5 and found.parts["train"].sizes == {"48x64": 4 - 1}


def test_the_digest_of_what_was_cached_before_stays(folder):
    """Built caches are found again: nothing was added to what their key is made of."""
    from stdc_lab.data.catalog import find_source

    content = find_source(CONFIG, folder).content((48, 64))
    assert list(content) == ["dataset", "size", "parts"]
    path = folder / "train" / f"{TRAIN[0]}.png"
    assert content["parts"]["train"][0] == [f"train/{TRAIN[0]}.png", path.stat().st_size, path.stat().st_mtime_ns]


@pytest.mark.real
def test_the_real_camvid(tmp_path):
    """The folder is named by STDC_LAB_CAMVID."""
    named = os.environ.get("STDC_LAB_CAMVID")
    if not named:
        pytest.skip("STDC_LAB_CAMVID is not set")
    data = load_dataset(DataConfig(name="camvid", size=(90, 120)), Path(named), tmp_path)
    assert (len(data.train), len(data.val)) == (367, 101)
    assert np.unique(data.train.labels).tolist() == [*range(11), IGNORE_LABEL]
    assert (data.val.labels == IGNORE_LABEL).mean() < 0.05
    assert len({image.tobytes() for image in data.train.images}) == 367
    drive = load_dataset(DataConfig(name="camvid", size=(90, 120), split="drive"), Path(named), tmp_path)
    assert len(drive.train) + len(drive.val) == 468
    assert all(name.startswith("0006R0") for name in drive.val.names) and len(drive.val) > 50
    assert not any(name.startswith("0006R0") for name in drive.train.names)
