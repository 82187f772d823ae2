"""A folder of images sorted into classes: what is found, what augmentation makes of it, and what can be wrong."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from stdc_lab.config.pretraining import ImageAugmentation, ImagesConfig
from stdc_lab.data.images import (
    Unreadable,
    centre_crop,
    changed,
    load_image_folder,
    training_batch,
    validation_batches,
)
from stdc_lab.data.order import place_in_order
from stdc_lab.errors import DataError

CONFIG = ImagesConfig(size=(32, 40))
PLAIN = ImageAugmentation(area=(1, 1), flip=False, colour=0)


def write_images(folder: Path, classes: tuple[str, ...] = ("cat", "dog", "emu"), count: int = 4) -> Path:
    """Images of one colour each, by which they can be told: class × 60 in red, number × 20 in green."""
    for part, images in (("train", count), ("val", 2)):
        for label, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for number in range(images):
                pixels = np.full((50, 70, 3), (0, 20 * number, 60 * label), np.uint8)
                cv2.imwrite(str(folder / part / name / f"{number}.png"), pixels)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def batch(images, iteration=0, slots=range(4), seed=0, skip=False, augmentation=PLAIN):
    return training_batch(images, augmentation, (32, 40), 4, seed, iteration, slots, Unreadable(skip))


def test_classes_are_the_folders_in_order(folder):
    found = load_image_folder(CONFIG, folder)
    assert found.class_names == ("cat", "dog", "emu")
    assert found.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert [path.relative_to(folder).as_posix() for path in found.val.paths[:3]] == [
        "val/cat/0.png",
        "val/cat/1.png",
        "val/dog/0.png",
    ]


def test_an_epoch_holds_each_image_once_with_its_own_class(folder):
    images = load_image_folder(CONFIG, folder).train
    seen = []
    for iteration in range(3):
        pixels, labels = batch(images, iteration)
        assert pixels.shape == (4, 32, 40, 3)
        assert pixels[:, 0, 0, 0].tolist() == (60 * labels).tolist()
        seen += [(int(label), int(green) // 20) for label, green in zip(labels, pixels[:, 0, 0, 1], strict=True)]
    assert len(set(seen)) == 12
    assert [place_in_order(n, 12, 0) for n in range(12)] != [place_in_order(n, 12, 0) for n in range(12, 24)]


def test_processes_share_a_batch_without_a_word(folder):
    images = load_image_folder(CONFIG, folder).train
    changing = ImageAugmentation()
    whole, labels = batch(images, 2, augmentation=changing)
    halves = [batch(images, 2, slots, augmentation=changing) for slots in (range(2), range(2, 4))]
    assert np.array_equal(whole, np.concatenate([pixels for pixels, _ in halves]))
    assert np.array_equal(labels, np.concatenate([ids for _, ids in halves]))
    assert not np.array_equal(whole, batch(images, 2, seed=1, augmentation=changing)[0])


@pytest.mark.parametrize("workers", [1, 3])
def test_validation_goes_through_all_in_order(folder, workers):
    images = load_image_folder(CONFIG, folder).val
    parts = list(validation_batches(images, (32, 40), 4, Unreadable(), workers))
    assert [len(labels) for _, labels in parts] == [4, 2]
    assert np.concatenate([labels for _, labels in parts]).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_middle_is_cropped_in_its_own_shape():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 100:] = 255
    image[:6] = image[-6:] = 90  # within the margin, which is an eighth of the height
    cropped = centre_crop(image, (50, 50))
    assert cropped.shape == (50, 50, 3)
    assert not cropped[:, :25].any() and (cropped[:, 25:] == 255).all()


def test_parts_have_the_asked_share_of_the_area():
    height, width = 120, 160
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(height)[:, None], np.arange(width)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        part = changed(image, ImageAugmentation(area=(0.2, 0.5), flip=True, colour=0), (64, 64), rng).astype(int)
        tall, wide = np.ptp(part[..., 0]) + 1, np.ptp(part[..., 1]) + 1
        shares.append(tall * wide / (height * width))
    assert 0.17 < min(shares) < 0.24 and 0.44 < max(shares) < 0.53


@pytest.mark.parametrize(
    ("other", "near"),
    [
        (ImageAugmentation(area=(0.1, 0.1), flip=False, colour=0), 0.01),
        (ImageAugmentation(area=(0.03, 0.2), flip=True, colour=0), 0.1),
        (
            ImageAugmentation(area=(0.85, 0.85), flip=True, colour=0),
            0.35,
        ),  # a small play, and several tries until it fits
    ],
    ids=["no flip", "area", "large area"],
)
def test_unlike_augmentations_share_flips_and_positions(other, near):
    height, width = 200, 240
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(height)[:, None], np.arange(width)
    grey = np.full((60, 80, 3), 128, np.uint8)

    def told(augmentation, seed):
        """Whether it is mirrored, and where in its free play it begins, by row and by column."""
        without = augmentation.model_copy(update={"colour": 0.0})
        part = changed(image, without, (64, 64), np.random.default_rng(seed)).astype(int)
        (top, bottom), (left, right) = part[[0, -1], 0, 0], part[0, [0, -1], 1]
        flip, left, right = left > right, min(left, right), max(left, right)
        return flip, top / max(1, height - 1 - bottom + top), left / max(1, width - 1 - right + left)

    plain = ImageAugmentation(area=(0.1, 0.1), flip=True, colour=0)
    for seed in range(20):
        (flip, *place), (other_flip, *other_place) = told(plain, seed), told(other, seed)
        assert other_flip == (flip and other.flip)
        assert np.abs(np.subtract(place, other_place)).max() < near
        strong, weak = (
            changed(grey, plain.model_copy(update={"colour": colour, **fields}), (8, 8), np.random.default_rng(seed))
            for colour, fields in ((0.5, {}), (0.25, {"area": other.area, "flip": other.flip}))
        )
        assert abs((strong[0, 0, 0] - 128.0) - 2 * (weak[0, 0, 0] - 128.0)) <= 3  # the same brightness, half of it


@pytest.mark.parametrize("shape", [(10, 400), (400, 10), (1, 1)])
def test_an_image_of_any_shape_gives_a_part(shape):
    rng = np.random.default_rng(0)
    image = np.full((*shape, 3), 7, np.uint8)
    assert (changed(image, PLAIN, (32, 40), rng) == 7).all()
    assert (centre_crop(image, (32, 40)) == 7).all()


def test_an_unreadable_image_ends_the_epoch_unless_it_is_skipped(folder, caplog):
    broken = folder / "train" / "dog" / "1.png"
    broken.write_bytes(b"\x89PNG broken")
    images = load_image_folder(CONFIG, folder).train
    words = re.escape(str(broken)) + r": got .*data\.skip_unreadable: true leaves such"
    with pytest.raises(DataError, match=words):
        list(map(partial(batch, images), range(3)))
    with caplog.at_level("WARNING"):
        greens = [green for i in range(3) for green in batch(images, i, skip=True)[0][:, 0, 0, :2].tolist()]
    assert caplog.text.count(str(broken)) >= 1 and "left out" in caplog.text
    assert len(greens) == 12 and [60, 20] not in greens and greens.count([60, 40]) == 2  # the next one in its place


def test_an_unreadable_image_is_warned_of_once(folder, caplog):
    broken = folder / "val" / "cat" / "0.png"
    broken.write_bytes(b"")
    images, unreadable = load_image_folder(CONFIG, folder).val, Unreadable(skip=True)
    for _ in range(2):
        parts = list(validation_batches(images, (32, 40), 4, unreadable))
        assert np.concatenate([labels for _, labels in parts]).tolist() == [0, 1, 1, 2, 2]
    assert caplog.text.count("left out") == 1


def test_a_validation_batch_without_a_readable_image_is_left_out(folder):
    images = load_image_folder(CONFIG, folder).val
    for path in images.paths[2:4]:
        path.write_bytes(b"no image")
    parts = list(validation_batches(images, (32, 40), 2, Unreadable(skip=True)))
    assert [labels.tolist() for _, labels in parts] == [[0, 0], [2, 2]]
    with pytest.raises(DataError, match=re.escape(str(images.paths[2]))):
        list(validation_batches(images, (32, 40), 2, Unreadable()))


def test_nothing_readable_at_all_is_an_error_even_when_skipping(folder):
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="got 12 training images, none of which can be read"):
        batch(load_image_folder(CONFIG, folder).train, skip=True)


def test_what_is_said_of_a_folder_that_is_wrong(tmp_path, folder):
    with pytest.raises(DataError, match=r"images: no folder was given; say where it is with --data images=PATH"):
        load_image_folder(CONFIG, None)
    with pytest.raises(DataError, match=r"nowhere/train: got no such file or directory; allowed: a folder laid out as"):
        load_image_folder(CONFIG, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"train: got 1 classes; allowed: at least two folders, train/CLASS"):
        load_image_folder(CONFIG, write_images(tmp_path / "one", classes=("cat",)))
    (folder / "val" / "fox").mkdir()
    with pytest.raises(DataError, match=r"val/fox: got a class that train does not have"):
        load_image_folder(CONFIG, folder)
    (folder / "val" / "fox").rmdir()
    for path in (folder / "val").rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"val: got no image; allowed: train/CLASS/\*\.jpg"):
        load_image_folder(CONFIG, folder)
