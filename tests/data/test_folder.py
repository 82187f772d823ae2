"""A data set of one's own: classes.yaml, masks of ids or colours, two ways to split, and what can be wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.data import IGNORE_LABEL, load_dataset
from stdc_lab.data.check import check_dataset
from stdc_lab.errors import ConfigError, DataError
from tests.data.trees import CLASSES, COLOURS, HEIGHT, WIDTH, photo, stripes, truncate, write_own, write_rgb

CONFIG = DataConfig(name="folder", size=(HEIGHT, WIDTH))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


@pytest.fixture
def load(tmp_path: Path):
    return lambda folder: load_dataset(CONFIG, folder, tmp_path / "cache")


def add(folder: Path, line: str) -> None:
    with (folder / "classes.yaml").open("a") as file:
        file.write(line + "\n")


@pytest.mark.parametrize("lists", [False, True], ids=["subfolders", "lists"])
@pytest.mark.parametrize("coloured", [False, True], ids=["ids", "colours"])
def test_both_kinds_of_masks_in_both_layouts(tmp_path, load, coloured, lists):
    data = load(write_own(tmp_path / "own", coloured=coloured, lists=lists))
    prefix = ("", "") if lists else ("train/", "val/")
    assert set(data.train.names) == {prefix[0] + name for name in ("a", "b", "deep/c")}
    assert data.val.names == (prefix[1] + "d", prefix[1] + "e")
    assert np.array_equal(data.train.images[1], photo(1))
    for labels in (*data.train.labels, *data.val.labels):
        assert np.array_equal(labels, stripes(3))
    assert data.class_names == ("ground", "car", "sky")
    assert data.class_colours.tolist() == [[128, 64, 128], [0, 0, 142], [70, 130, 180]]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp", ".tif", ".webp"])
def test_images_of_other_formats(tmp_path, load, suffix):
    assert len(load(write_own(tmp_path / "own", suffix=suffix)).train) == 3


def test_a_palette_counts_as_its_colours(folder, load):
    from PIL import Image

    mask = Image.fromarray(stripes(3), mode=None).convert("P")
    mask.putpalette(COLOURS.tobytes())
    mask.save(folder / "masks" / "train" / "a.png")
    assert np.array_equal(load(folder).train.labels[0], stripes(3))


def test_an_opaque_fourth_channel_says_nothing_and_any_other_is_refused(folder, load):
    path = folder / "masks" / "train" / "a.png"
    mask = np.dstack([COLOURS[stripes(3)][..., ::-1], np.full((HEIGHT, WIDTH), 255, np.uint8)])
    assert cv2.imwrite(str(path), mask)
    assert np.array_equal(load(folder).train.labels[0], stripes(3))
    mask[0, 0, 3] = 254
    assert cv2.imwrite(str(path), mask)
    with pytest.raises(DataError, match=r"a\.png: got uint8 with 4 channel\(s\); allowed: one channel of .*or three"):
        load(folder)


def test_what_is_ignored_by_id_and_by_colour(folder, load):
    add(folder, "ignore_id: 200\nignore_colour: [1, 2, 3]")
    ids = stripes(3)
    ids[:, :5] = 200
    write_rgb(folder / "masks" / "train" / "a.png", ids)
    colours = COLOURS[stripes(3)]
    colours[:, :5] = (1, 2, 3)
    write_rgb(folder / "masks" / "train" / "b.png", colours)
    wanted = stripes(3)
    wanted[:, :5] = IGNORE_LABEL
    labels = load(folder).train.labels
    assert np.array_equal(labels[0], wanted) and np.array_equal(labels[1], wanted)
    assert check_dataset(CONFIG, folder).clean


@pytest.mark.parametrize("label", [3, 255])
def test_an_id_that_is_no_class_is_named_with_its_file(folder, load, label):
    path = folder / "masks" / "val" / "e.png"
    mask = stripes(3)
    mask[0, 0] = label
    write_rgb(path, mask)
    with pytest.raises(DataError, match=re.escape(f"{path}: got label id {label}; allowed: ids 0 to 2 or")):
        load(folder)


def test_a_colour_that_is_no_class_is_named_with_its_file(folder, load):
    path = folder / "masks" / "val" / "e.png"
    mask = COLOURS[stripes(3)]
    mask[:2, :3] = (142, 0, 0)  # a class's colour in OpenCV's order: must not be mistaken for it
    write_rgb(path, mask)
    wanted = f"{path}: got colour (142, 0, 0); allowed: ids 0 to 2 or the colours of classes.yaml"
    with pytest.raises(DataError, match=re.escape(wanted) + r".*\(6 of 3,264 pixels\)"):
        load(folder)


def test_many_strange_colours_are_shortened(folder, load):
    write_rgb(folder / "masks" / "val" / "e.png", photo(3))
    with pytest.raises(DataError, match=r"got colours (\(\d+, \d+, \d+\), ){7}\(\d+, \d+, \d+\) and 3\d\d\d more; "):
        load(folder)


def test_a_changed_class_file_is_another_entry(folder, load, tmp_path):
    load(folder)
    add(folder, "ignore_id: 9")
    load(folder)
    (folder / "classes.yaml").write_text(CLASSES.replace("#00008E", "#00008F") + "ignore_id: 9\n")
    data = load(folder)
    assert data.class_colours[1].tolist() == [0, 0, 143]
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("classes: []", r"classes.yaml: classes: got 0; allowed: 2 to 255 of them"),
        (CLASSES + "ignore: 255", r"classes.yaml:5: ignore: no such key.*; allowed: classes, ignore_id, ignore_colour"),
        (CLASSES.replace("colour: [70", "color: [70"), r"color: no such key \(did you mean colour\?\)"),
        (CLASSES.replace("180]", "256]"), r"classes.yaml:4: .*colour.2: got 256; allowed: .*less than or equal to 255"),
        (CLASSES.replace("#00008E", "blue"), r"got 'blue'; allowed: red, green, blue as \[128, 64, 128\] or"),
        (CLASSES.replace("name: sky", "name: car"), "classes: name 'car' twice; allowed: each once"),
        (CLASSES.replace("#00008E", "#804080"), r"classes: colour \(128, 64, 128\) twice"),
        (CLASSES.replace("name: sky", 'name: "s\\e[2J"'), r"got 's\\x1b\[2J'; allowed: printable characters"),
        (CLASSES.replace("name: sky", 'name: ""'), "at least 1 character"),
        (CLASSES + "ignore_id: 2", "ignore_id: 2 is the class 'sky'; allowed: 3 to 255"),
        (CLASSES + "ignore_colour: [0, 0, 142]", "is the class 'car'; allowed: another colour"),
        ("- a", r"classes.yaml: got .*; allowed: keys of a ClassesFile"),
        ("classes: [", r"classes.yaml:\d+: not valid YAML"),
    ],
)
def test_a_mistake_in_the_class_file(folder, load, content, message):
    (folder / "classes.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load(folder)


@pytest.mark.parametrize("missing", ["classes.yaml", "images", "masks"])
def test_what_a_folder_must_hold(folder, load, missing):
    (folder / missing).rename(folder / "other")
    with pytest.raises(DataError, match=rf"own: got no {missing}; allowed: a folder with images/, masks/ and classes"):
        load(folder)


@pytest.mark.parametrize(
    "line", ["../../secret", "/etc/passwd", "deep/../../../x", r"..\x", r"C:\x", "c:x", "a\0b"], ids=repr
)
def test_a_list_leads_nowhere_else(tmp_path, load, line):
    folder = write_own(tmp_path / "own", lists=True)
    write_rgb(tmp_path / "secret.png", photo(0))
    with (folder / "train.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"train\.txt, line 4: got .*; allowed: a name inside images, without ending"):
        load(folder)


def test_lists_must_both_be_there_and_hold_something(tmp_path, load):
    folder = write_own(tmp_path / "own", lists=True)
    (folder / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: got no line; allowed: a name without ending"):
        load(folder)
    (folder / "val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt: got no such file or directory; allowed: a text file with a name"):
        load(folder)


def test_a_name_in_both_lists(tmp_path, load):
    folder = write_own(tmp_path / "own", lists=True)
    (folder / "val.txt").write_text("d\ndeep/c\n")
    with pytest.raises(
        DataError, match=r"got images/deep/c\.png twice in train\.txt and val\.txt; allowed: each image"
    ):
        load(folder)


def test_a_name_of_nothing(tmp_path, load):
    folder = write_own(tmp_path / "own", lists=True)
    (folder / "val.txt").write_text("d\nd.png\n")
    with pytest.raises(DataError, match=r"images: got neither an image nor a mask of the name 'd\.png'"):
        load(folder)


def test_no_validation_images(folder, load):
    (folder / "images" / "val").rename(folder / "away")
    (folder / "masks" / "val").rename(folder / "away_too")
    with pytest.raises(DataError, match=r"images/val: got no image; allowed: at least one, or val\.txt"):
        load(folder)


def test_two_images_of_one_name(folder, load):
    write_rgb(folder / "images" / "train" / "a.jpg", photo(0))
    with pytest.raises(DataError, match=r"train/a\.png: got a second file of the name of images/train/a\.jpg"):
        load(folder)


def test_everything_that_is_wrong_is_listed(folder):
    (folder / "masks" / "train" / "a.png").unlink()
    (folder / "images" / "val" / "d.png").unlink()
    truncate(folder / "images" / "train" / "b.png")
    truncate(folder / "masks" / "train" / "b.png")
    write_rgb(folder / "masks" / "train" / "deep" / "c.png", stripes(3)[:, :-1])
    write_rgb(folder / "masks" / "val" / "e.png", np.full((HEIGHT, WIDTH), 7, np.uint8))
    found = check_dataset(CONFIG, folder)
    listed = [(problem.kind, str(Path(problem.where).relative_to(folder))) for problem in found.problems[:6]]
    assert sorted(listed) == [
        ("file", "images/train/b.png"),
        ("file", "masks/train/b.png"),
        ("labels", "masks/val/e.png"),
        ("pair", "images/train/a.png"),
        ("pair", "masks/val/d.png"),
        ("size", "masks/train/deep/c.png"),
    ]
    assert len(found.problems) == 6
    assert found.parts["train"].images == 2 and found.parts["train"].sizes == {f"{HEIGHT}x{WIDTH}": 1}
    assert found.parts["val"].labelled_share == 0.0


def test_a_check_reads_the_files_and_not_the_cache(folder, load):
    load(folder)
    path = folder / "masks" / "train" / "a.png"
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    load(folder)  # same size and time: the cache cannot tell
    found = check_dataset(CONFIG, folder)
    assert [(problem.kind, problem.where) for problem in found.problems] == [("file", str(path))]


def test_nothing_at_all_to_walk(folder):
    for kind in ("images", "masks"):
        (folder / kind).rename(folder / f"old_{kind}")
        (folder / kind).mkdir()
    found = check_dataset(CONFIG, folder)
    kinds = [problem.kind for problem in found.problems]
    assert kinds == ["split", "split", "class", "class", "class"]
    assert found.parts["train"].labelled_share is None and found.classes[0].share is None


def test_a_name_that_would_move_the_cursor_is_escaped(folder):
    write_rgb(folder / "images" / "train" / "a\x1b[2J.png", photo(0))
    (problem,) = check_dataset(CONFIG, folder).problems
    assert r"a\x1b[2J.png" in problem.where and "\x1b" not in problem.where + problem.what


@pytest.mark.parametrize(
    ("field", "value"),
    [("split", "drive"), ("seed", 3), ("train_images", 5), ("val_images", 7), ("held_out", "0016E5")],
)
@pytest.mark.parametrize("name", ["folder", "cityscapes"])
def test_settings_that_say_nothing_are_refused(name, field, value):
    with pytest.raises(ValueError, match=rf"{field} \({value}\) says nothing of {name}"):
        DataConfig(**{"name": name, field: value})


def test_a_size_may_be_written_either_way():
    for size in ('"180x240"', "[180, 240]"):
        assert DataConfig.model_validate_json(f'{{"size": {size}}}', strict=True).size == (180, 240)
