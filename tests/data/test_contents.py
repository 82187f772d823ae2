"""What a data set's contents are: the pixels that a training sees, and nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.data import Dataset, Split, load_dataset
from stdc_lab.data import cache as cache_module
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES
from tests.data.camvid_tree import write_camvid

CAMVID = DataConfig(name="camvid", size=(32, 40))
SCENES = DataConfig(size=(32, 40), train_images=2, val_images=1)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    return write_camvid(tmp_path / "camvid")


def loaded(folder: Path, cache: str = "cache", config: DataConfig = CAMVID) -> Dataset:
    return load_dataset(config, folder, cache=folder.parent / cache)


def paint(path: Path, value: int) -> None:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    pixels[20:30, 20:30] = value
    cv2.imwrite(str(path), pixels)


def test_a_copy_elsewhere_has_the_same_contents(camvid: Path) -> None:
    copy = write_camvid(camvid.parent / "copy")
    assert loaded(camvid).part_contents == loaded(copy, "another").part_contents
    assert loaded(camvid).contents == loaded(copy, "another").contents


@pytest.mark.parametrize(("folder", "part"), [("val", "val"), ("valannot", "val"), ("trainannot", "train")])
def test_one_changed_file_changes_the_contents_of_its_part(camvid: Path, folder: str, part: str) -> None:
    before = loaded(camvid)
    paint(next((camvid / folder).glob("*.png")), 0)
    after = loaded(camvid)
    assert after.contents != before.contents
    assert {name for name in ("train", "val") if after.part_contents[name] != before.part_contents[name]} == {part}


def test_the_size_that_images_are_decoded_to_counts(camvid: Path) -> None:
    larger = DataConfig(name="camvid", size=(32, 48))
    assert loaded(camvid).contents != loaded(camvid, config=larger).contents


def test_it_is_kept_and_no_pixel_looked_at_again(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(camvid).part_contents
    monkeypatch.setattr(cache_module, "contents_of", None)
    assert loaded(camvid).part_contents == before


def test_an_entry_from_before_it_was_kept_is_read_once(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(camvid).part_contents
    kept = list((camvid.parent / "cache").glob("*/*_contents.txt"))
    assert len(kept) == 2
    for path in kept:
        path.unlink()
    assert loaded(camvid).part_contents == before
    assert sorted((camvid.parent / "cache").glob("*/*_contents.txt*")) == sorted(kept)
    monkeypatch.setattr(cache_module, "contents_of", None)
    assert loaded(camvid).part_contents == before


def test_a_cache_that_may_only_be_read_is_no_hindrance(camvid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(camvid).part_contents
    for path in (camvid.parent / "cache").glob("*/*_contents.txt"):
        path.unlink()

    def refuse(self: Path, *args: object, **kwargs: object) -> int:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert loaded(camvid).part_contents == before


def test_pixels_in_memory_say_the_same_as_the_cache(camvid: Path) -> None:
    kept = loaded(camvid).val
    assert Split(np.array(kept.images), np.array(kept.labels), ("other", "names")).contents == kept.contents


def test_the_contents_of_scenes_follow_from_what_they_are_drawn_by(tmp_path: Path) -> None:
    def scenes(**changes: object) -> Dataset:
        return load_dataset(DataConfig.model_validate({**SCENES.model_dump(), **changes}), cache=tmp_path)

    assert scenes().contents == scenes().contents
    assert scenes(seed=1).part_contents.items().isdisjoint(scenes().part_contents.items())
    assert scenes(train_images=3).val.contents == scenes().val.contents
    assert scenes(train_images=3).train.contents != scenes().train.contents
    before = scenes().part_contents
    for path in tmp_path.glob("*/*_contents.txt"):
        path.write_text("another processor rounded a pixel")
    assert scenes().part_contents == before


def test_the_classes_count_too(camvid: Path) -> None:
    data = loaded(camvid)
    renamed = Dataset(data.name, data.train, data.val, (*CLASS_NAMES[:-1], "bicyclist"), CLASS_COLOURS)
    assert renamed.part_contents == data.part_contents
    assert renamed.contents != data.contents
