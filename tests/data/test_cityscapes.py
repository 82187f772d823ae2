"""Cityscapes: the official tree, 34 ids to 19 classes, and what is said about a tree that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.data import IGNORE_LABEL, load_dataset
from stdc_lab.data.check import check_dataset
from stdc_lab.errors import DataError
from tests.data.trees import HEIGHT, WIDTH, cityscapes_files, photo, stripes, truncate, write_cityscapes, write_rgb

CONFIG = DataConfig(name="cityscapes", size=(HEIGHT, WIDTH))

# Name, id in the files, train id, colour: as the data set's own tools list them.
OFFICIAL = """
unlabeled 0 255 0 0 0
ego_vehicle 1 255 0 0 0
rectification_border 2 255 0 0 0
out_of_roi 3 255 0 0 0
static 4 255 0 0 0
dynamic 5 255 111 74 0
ground 6 255 81 0 81
road 7 0 128 64 128
sidewalk 8 1 244 35 232
parking 9 255 250 170 160
rail_track 10 255 230 150 140
building 11 2 70 70 70
wall 12 3 102 102 156
fence 13 4 190 153 153
guard_rail 14 255 180 165 180
bridge 15 255 150 100 100
tunnel 16 255 150 120 90
pole 17 5 153 153 153
polegroup 18 255 153 153 153
traffic_light 19 6 250 170 30
traffic_sign 20 7 220 220 0
vegetation 21 8 107 142 35
terrain 22 9 152 251 152
sky 23 10 70 130 180
person 24 11 220 20 60
rider 25 12 255 0 0
car 26 13 0 0 142
truck 27 14 0 0 70
bus 28 15 0 60 100
caravan 29 255 0 0 90
trailer 30 255 0 0 110
train 31 16 0 80 100
motorcycle 32 17 0 0 230
bicycle 33 18 119 11 32
"""
TABLE = [(name.replace("_", " "), *map(int, rest)) for name, *rest in map(str.split, OFFICIAL.strip().splitlines())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path / "cityscapes")


@pytest.fixture
def load(folder: Path, tmp_path: Path):
    return lambda config=CONFIG: load_dataset(config, folder, tmp_path / "cache")


def test_every_id_becomes_its_train_id(load):
    assert [row[1] for row in TABLE] == list(range(34))
    wanted = np.array([row[2] for row in TABLE], np.uint8)[stripes(34)]
    data = load()
    for labels in (*data.train.labels, *data.val.labels):
        assert np.array_equal(labels, wanted)
    assert set(np.unique(data.train.labels)) == {*range(19), IGNORE_LABEL}


def test_names_and_colours_are_the_official_ones(load):
    data = load()
    trained = sorted((row for row in TABLE if row[2] != 255), key=lambda row: row[2])
    assert list(data.class_names) == [row[0] for row in trained]
    assert data.class_colours.tolist() == [list(row[3:]) for row in trained]
    assert data.name == "cityscapes"


def test_the_published_split_city_by_city(load):
    data = load()
    assert data.train.names == tuple(f"{city}_{n:06d}_000019" for city in ("aachen", "zurich") for n in range(2))
    assert data.val.names == ("frankfurt_000000_000019", "frankfurt_000001_000019")
    assert np.array_equal(data.train.images[1], photo(1))


def test_it_is_resized_once_and_the_cache_knows_it_again(folder, tmp_path):
    config = DataConfig(name="cityscapes", size=(32, 40))
    told: list[str] = []
    for _ in range(2):
        data = load_dataset(config, folder, tmp_path / "cache", lambda what, done, total: told.append(what))
    assert told == ["cityscapes train"] * 4 + ["cityscapes val"] * 2
    assert data.train.images.shape == (4, 32, 40, 3) and isinstance(data.train.images, np.memmap)


def test_the_test_set_and_coarse_labels_are_left_alone(folder, load):
    write_rgb(folder / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png", photo(0))
    assert len(load().train) == 4


@pytest.mark.parametrize("missing", ["leftImg8bit", "gtFine"])
def test_a_folder_that_is_none_says_which_half_is_missing(folder, load, missing):
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(DataError, match=rf"got no folder {missing}; allowed: the root of Cityscapes"):
        load()


def test_a_folder_must_be_given(tmp_path):
    with pytest.raises(DataError, match=r"cityscapes: no folder was given; .*--data cityscapes=PATH"):
        load_dataset(CONFIG, None, tmp_path)


def test_no_validation_image_is_an_error_that_says_where(folder, load):
    (folder / "leftImg8bit" / "val").rename(folder / "away")
    (folder / "gtFine" / "val").rename(folder / "away_too")
    with pytest.raises(DataError, match=r"leftImg8bit/val: got no image CITY/\*_leftImg8bit\.png; allowed: at least"):
        load()


def test_an_image_without_labels_and_the_other_way_round(folder, load):
    image, labels = cityscapes_files(folder, "train", "zurich", 0)
    labels.unlink()
    with pytest.raises(DataError, match=re.escape(str(image)) + r": got no labels; allowed: .*_gtFine_labelIds\.png"):
        load()
    write_rgb(labels, stripes(34))
    image.unlink()
    with pytest.raises(DataError, match=re.escape(str(labels)) + r": got no image; allowed: .*_leftImg8bit\.png"):
        load()


def test_several_mistakes_are_counted_and_the_way_to_the_list_is_shown(folder, load):
    for number in range(2):
        cityscapes_files(folder, "train", "zurich", number)[1].unlink()
    with pytest.raises(DataError, match=r"\(1 more; all of it: stdc-lab data check cityscapes --data cityscapes=PATH"):
        load()


def test_an_id_that_cityscapes_has_not(folder, load):
    labels = cityscapes_files(folder, "val", "frankfurt", 1)[1]
    write_rgb(labels, stripes(36))
    with pytest.raises(DataError, match=re.escape(str(labels)) + r": got label ids 34, 35; allowed: 0 to 33"):
        load()


def test_coloured_labels_are_refused(folder, load):
    labels = cityscapes_files(folder, "val", "frankfurt", 1)[1]
    write_rgb(labels, photo(0))
    with pytest.raises(DataError, match=r"got uint8 with 3 channel\(s\); allowed: one channel of 8-bit label ids"):
        load()


def test_a_clean_tree_is_counted_to_the_pixel(folder):
    found = check_dataset(CONFIG, folder)
    assert found.clean
    assert {name: part.images for name, part in found.parts.items()} == {"train": 4, "val": 2}
    assert found.parts["train"].sizes == {f"{HEIGHT}x{WIDTH}": 4}
    assert found.parts["val"].labelled_share == pytest.approx(19 / 34)  # every stripe is two columns
    assert {item.pixels for item in found.classes} == {6 * HEIGHT * 2}
    assert all(item.share == pytest.approx(1 / 19) and item.images == {"train": 4, "val": 2} for item in found.classes)


def test_everything_that_is_wrong_is_listed(folder):
    lost = cityscapes_files(folder, "train", "aachen", 0)[1]
    lost.unlink()
    orphan = cityscapes_files(folder, "train", "aachen", 1)[0]
    orphan.unlink()
    cut = cityscapes_files(folder, "train", "zurich", 0)[0]
    truncate(cut)
    small = cityscapes_files(folder, "val", "frankfurt", 0)[1]
    write_rgb(small, stripes(34)[: HEIGHT // 2])
    strange = cityscapes_files(folder, "val", "frankfurt", 1)[1]
    write_rgb(strange, np.full((HEIGHT, WIDTH), 200, np.uint8))
    found = check_dataset(CONFIG, folder)
    assert {(problem.kind, Path(problem.where).name) for problem in found.problems} == {
        ("pair", cityscapes_files(folder, "train", "aachen", 0)[0].name),
        ("pair", cityscapes_files(folder, "train", "aachen", 1)[1].name),
        ("file", cut.name),
        ("size", small.name),
        ("labels", strange.name),
    }
    by_kind = {problem.kind: problem.what for problem in found.problems}
    assert re.match(r"got \d+ bytes that are no image; allowed: a readable image file", by_kind["file"])
    assert f"got {HEIGHT // 2}x{WIDTH}; allowed: the size of its image" in by_kind["size"]
    assert f"got label id 200; allowed: 0 to 33, the ids of Cityscapes ({HEIGHT * WIDTH:,} of" in by_kind["labels"]


def test_classes_that_never_occur_are_listed(folder):
    for part, city in (("train", "aachen"), ("train", "zurich"), ("val", "frankfurt")):
        for number in range(2):
            labels = stripes(34)
            labels[labels == 31] = 0
            write_rgb(cityscapes_files(folder, part, city, number)[1], labels)
    found = check_dataset(CONFIG, folder)
    (problem,) = found.problems
    assert problem.kind == "class" and "class 16 (train)" in problem.what
    assert found.classes[16].pixels == 0 and found.classes[16].images == {"train": 0, "val": 0}
