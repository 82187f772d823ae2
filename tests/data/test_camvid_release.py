"""CamVid as it was released, 701_StillsRaw_full and LabeledApproved_full: 32 colours to 11 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, IGNORE_LABEL, load_dataset
from stdc_lab.data.check import check_dataset
from stdc_lab.errors import DataError
from tests.data.camvid_tree import TRAIN, write_camvid
from tests.data.trees import DRIVES, photo, stripes, write_release, write_rgb

# As label_colors.txt lists them, each with the class that SegNet's grouping makes of it.
OFFICIAL = """
64 128 64 Animal pedestrian
192 0 128 Archway building
0 128 192 Bicyclist cyclist
0 128 64 Bridge building
128 0 0 Building building
64 0 128 Car car
64 0 192 CartLuggagePram pedestrian
192 128 64 Child pedestrian
192 192 128 Column_Pole pole
64 64 128 Fence fence
128 0 192 LaneMkgsDriv road
192 0 64 LaneMkgsNonDriv road
128 128 64 Misc_Text sign
192 0 192 MotorcycleScooter cyclist
128 64 64 OtherMoving car
64 192 128 ParkingBlock pavement
64 64 0 Pedestrian pedestrian
128 64 128 Road road
128 128 192 RoadShoulder pavement
0 0 192 Sidewalk pavement
192 128 128 SignSymbol sign
128 128 128 Sky sky
64 128 192 SUVPickupTruck car
0 0 64 TrafficCone pole
0 64 64 TrafficLight sign
192 64 128 Train car
128 128 0 Tree tree
192 128 192 Truck_Bus car
64 0 64 Tunnel building
192 192 0 VegetationMisc tree
0 0 0 Void -
64 192 0 Wall building
"""
ROWS = tuple(tuple(line.split()) for line in OFFICIAL.strip().splitlines())
COLOURS = tuple((int(red), int(green), int(blue)) for red, green, blue, *_ in ROWS)
DRIVE = DataConfig(name="camvid", size=(48, 68), split="drive", held_out="0001TP")
USUAL = DataConfig(name="camvid", size=(48, 68))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release", list(COLOURS))


@pytest.fixture
def load(release: Path, tmp_path: Path):
    return lambda config=DRIVE: load_dataset(config, release, tmp_path / "cache")


def write_lists(release: Path, train: str, val: str) -> None:
    (release / "train.txt").write_text(train)
    (release / "val.txt").write_text(val)


def write_colours(release: Path) -> Path:
    path = release / "label_colors.txt"
    path.write_text("".join(f"{red} {green} {blue}\t\t{name}\n" for red, green, blue, name, _ in ROWS))
    return path


@pytest.mark.parametrize("listed", [False, True])
def test_32_colours_become_11_classes(release, load, listed):
    if listed:
        write_colours(release)
    classes = [CLASS_NAMES.index(row[4]) if row[4] != "-" else IGNORE_LABEL for row in ROWS]
    assert len(classes) == 32
    wanted = np.array(classes, np.uint8)[stripes(32)]
    data = load()
    for labels in (*data.train.labels, *data.val.labels):
        assert np.array_equal(labels, wanted)
    assert data.class_names == CLASS_NAMES and np.array_equal(data.class_colours, CLASS_COLOURS)
    assert np.array_equal(data.val.images[1], photo(1))


def test_a_drive_is_held_out_without_any_list(load):
    data = load()
    assert data.val.names == ("0001TP_006690", "0001TP_006720")
    assert data.train.names == ("0006R0_f00930", "0016E5_00390", "Seq05VD_f00000")
    other = load(DataConfig(name="camvid", size=(48, 68), split="drive", held_out="Seq05VD"))
    assert other.val.names == ("Seq05VD_f00000",)


def test_a_drive_that_is_not_there(release, load):
    for folder, ending in (("701_StillsRaw_full", ".png"), ("LabeledApproved_full", "_L.png")):
        (release / folder / f"Seq05VD_f00000{ending}").unlink()
    config = DataConfig(name="camvid", size=(48, 68), split="drive", held_out="Seq05VD")
    with pytest.raises(DataError, match=r"got no frame of drive Seq05VD; allowed: frames of at least two drives"):
        load(config)


@pytest.mark.parametrize(
    "form",
    [
        "{name}\n",
        "{name}.png\n",
        "701_StillsRaw_full/{name}.png\n",
        "/SegNet/CamVid/train/{name}.png /S/a/{name}.png\n",
    ],
)
def test_the_usual_split_by_names_however_they_are_written(release, load, form):
    lines = [form.format(name=name) for name in DRIVES]
    write_lists(release, "".join(lines[:2]), lines[3])
    data = load(USUAL)
    assert data.train.names == DRIVES[:2] and data.val.names == DRIVES[3:4]


def test_without_lists_there_is_no_usual_split_and_what_is_missing_is_said(release, load):
    with pytest.raises(DataError, match=r"got neither train\.txt nor val\.txt, .*usual split.*split: drive"):
        load(USUAL)
    found = check_dataset(USUAL, release)
    assert [problem.kind for problem in found.problems] == ["split"]
    assert sum(part.images for part in found.parts.values()) == 5  # and all the same everything is walked


def test_one_list_is_not_enough(release, load):
    (release / "train.txt").write_text("0001TP_006690\n")
    with pytest.raises(DataError, match=r"val\.txt: got no such file or directory; allowed: a text file with the name"):
        load(USUAL)


@pytest.mark.parametrize("line", ["..", "../..", "a/..", "0001TP_*", "$(x)"])
def test_a_name_is_a_name(release, load, line):
    write_lists(release, f"{DRIVES[0]}\n{line}\n", DRIVES[3])
    with pytest.raises(DataError, match=r"train\.txt, line 2: got .*; allowed: the name of a frame, such as"):
        load(USUAL)


def test_a_name_without_files_and_one_in_both_lists(release, load):
    write_lists(release, f"{DRIVES[0]}\n0001TP_9\n", f"{DRIVES[3]}\n{DRIVES[0]}\n")
    with pytest.raises(DataError, match=r"0001TP_9\.png: got neither this image nor LabeledApproved_full/0001TP_9_L"):
        load(USUAL)
    whats = [problem.what for problem in check_dataset(USUAL, release).problems]
    assert len(whats) == 2 and f"got 701_StillsRaw_full/{DRIVES[0]}.png twice" in whats[1]


def test_an_image_without_labels_and_the_other_way_round(release, load):
    (release / "LabeledApproved_full" / f"{DRIVES[0]}_L.png").unlink()
    (release / "701_StillsRaw_full" / f"{DRIVES[2]}.png").unlink()
    with pytest.raises(DataError, match=rf"{DRIVES[2]}_L\.png: got no image; allowed: .*{DRIVES[2]}\.png"):
        load()
    found = check_dataset(DRIVE, release)
    wheres = {Path(problem.where).name: problem.what for problem in found.problems}
    assert set(wheres) == {f"{DRIVES[0]}.png", f"{DRIVES[2]}_L.png"}
    assert wheres[f"{DRIVES[0]}.png"].startswith("got no labels; allowed: an image with its labels")


@pytest.mark.parametrize("missing", ["701_StillsRaw_full", "LabeledApproved_full"])
def test_half_a_release(release, load, missing):
    (release / missing).rename(release / "elsewhere")
    with pytest.raises(DataError, match=rf"{missing}: got no such folder; allowed: CamVid as released"):
        load()


def test_a_few_strange_pixels_are_ignored_and_listed(release, load, caplog):
    """The labels as released have some; many of them are another matter."""
    path = release / "LabeledApproved_full" / f"{DRIVES[0]}_L.png"
    pixels = np.array(COLOURS, np.uint8)[stripes(32)]
    pixels[0, 20:50] = (1, 2, 3)  # 30 of 3264, less than one in a hundred
    write_rgb(path, pixels)
    data = load()
    assert (data.val.labels[0][0, 20:50] == IGNORE_LABEL).all()
    assert "a few pixels are no class in 1 of the label files; they are ignored" in caplog.text
    (problem,) = check_dataset(DRIVE, release).problems
    assert problem.kind == "stray" and problem.where == str(path)
    assert problem.what == "got colour (1, 2, 3); allowed: the 32 colours of CamVid's classes (30 of 3,264 pixels)"
    pixels[:1] = (1, 2, 3)
    write_rgb(path, pixels)
    with pytest.raises(DataError, match=rf"{DRIVES[0]}_L\.png: got colour \(1, 2, 3\); .*\(68 of 3,264 pixels\)"):
        load()


def test_colours_of_its_own(release, load):
    """label_colors.txt counts: a class may have been recoloured."""
    path = write_colours(release)
    path.write_text(path.read_text().replace("128 128 128\t\tSky", "9 9 9\t\tSky"))
    with pytest.raises(DataError, match=r"got colour \(128, 128, 128\); allowed: the 32 colours"):
        load()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 Sky", r"got '1 2 Sky'; allowed: red, green, blue \(0 to 255\) and a class"),
        ("1 2 256 Sky", "got '1 2 256 Sky'; allowed: red, green, blue"),
        ("1 2 3 Moon", "got class 'Moon'; allowed: Animal, Archway"),
        ("128 128 128 Car", "got '128 128 128 Car', the colour of another class; allowed: a colour of"),
    ],
)
def test_a_wrong_line_of_colours(release, load, line, message):
    path = write_colours(release)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"label_colors\.txt, line 33: " + message):
        load()


def test_a_folder_that_is_neither(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: got no train\.txt and no 701_StillsRaw_full; allowed: .*or as rel"):
        load_dataset(USUAL, tmp_path / "empty", tmp_path / "cache")


def test_lists_of_pairs_that_are_there_mean_class_ids_as_ever(tmp_path):
    folder = write_camvid(tmp_path / "camvid")
    write_release(folder, list(COLOURS))
    data = load_dataset(DataConfig(name="camvid", size=(48, 64)), folder, tmp_path / "cache")
    assert data.train.names == TRAIN
