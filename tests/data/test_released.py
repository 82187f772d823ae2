"""The released augmentation: PIL's operations in the released order, and the detail that it loses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from pydantic import ValidationError

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import Augmentation, TrainConfig
from stdc_lab.data import Split, augment, batch_at, render_scene
from stdc_lab.data.draws import draw

TURN = Image.Transpose.FLIP_LEFT_RIGHT
BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def released(**values: object) -> Augmentation:
    return Augmentation.model_validate({"form": "released", "cover": True, **values})


def street(height: int = 96, width: int = 192) -> tuple[np.ndarray, np.ndarray]:
    image, labels = render_scene(0, 3, height, width)
    return image, labels


@pytest.mark.parametrize("seed", range(6))
def test_it_is_pils_operations_in_the_released_order(seed: int) -> None:
    """Written out by hand for two scales: one is enlarged again by 4 (and a pixel), the other is only cropped."""
    image, labels = street()
    drawn = draw(np.random.default_rng(seed))
    seen: Image.Image = Image.fromarray(image)
    seen = ImageEnhance.Brightness(seen).enhance(0.2 + 1.6 * drawn.brightness)
    seen = ImageEnhance.Contrast(seen).enhance(0.2 + 1.6 * drawn.contrast)
    seen = ImageEnhance.Color(seen).enhance(0.2 + 1.6 * drawn.saturation)
    ids: Image.Image = Image.fromarray(labels)
    column = drawn.column
    if drawn.flip < 0.5:
        seen, ids, column = seen.transpose(TURN), ids.transpose(TURN), 1 - column
    for scale, resized, size in (
        (0.125, [(24, 12), (97, 49)], (48, 96)),
        (1.25, [(240, 120)], (64, 100)),
    ):
        wanted, wanted_ids = seen, ids
        for width_height in resized:
            wanted, wanted_ids = wanted.resize(width_height, BILINEAR), wanted_ids.resize(width_height, NEAREST)
        left, top = int(column * (wanted.width - size[1])), int(drawn.row * (wanted.height - size[0]))
        box = (left, top, left + size[1], top + size[0])
        config = released(scale=(scale, scale), colour=0.8)
        found, found_ids = augment(image, labels, config, size, np.random.default_rng(seed))
        assert np.array_equal(found, np.asarray(wanted.crop(box)))
        assert np.array_equal(found_ids, np.asarray(wanted_ids.crop(box)))
        assert found.flags.writeable and found_ids.flags.writeable


def test_contrast_turns_about_the_mean_of_the_whole_image() -> None:
    """Half of the image is black and never seen: a mean of the crop alone would leave its grey as it is."""
    image = np.full((32, 64, 3), 160, np.uint8)
    image[:, 32:] = 0
    config = released(scale=(1, 1), colour=0.5, flip=False)
    told = set()
    for seed in range(40):
        seen, ids = augment(image, image[..., 0], config, (32, 8), np.random.default_rng(seed))
        if (ids == 160).all():  # a crop of the grey half
            drawn = draw(np.random.default_rng(seed))
            bright = int(160 * (0.5 + drawn.brightness))
            mean = int(bright / 2 + 0.5)
            value = mean + (0.5 + drawn.contrast) * (bright - mean)
            assert abs(int(seen[0, 0, 0]) - min(255, value)) <= 1
            told.add(bright > value)
    assert told == {True, False}


def test_a_faithful_training_loses_the_detail_that_the_released_one_loses() -> None:
    """At the scale 0.125: the variance of the Laplacian falls to a small part of that of the image resized once."""
    image, labels = street(512, 1024)
    split = Split(image[None], labels[None], ("street",))
    augmentation = Augmentation(scale=(0.125, 0.125), cover=True, colour=0, flip=False, crop=(256, 512))
    variances = []
    for faithful in (False, True):
        recipe = RecipeConfig(name="x", faithful=faithful, train=TrainConfig(augmentation=augmentation))
        images, _ = batch_at(split, recipe.training.augmentation, (256, 512), 1, 0, 0)
        variances.append(float(cv2.Laplacian(cv2.cvtColor(images[0], cv2.COLOR_RGB2GRAY), cv2.CV_64F).var()))
    assert variances[0] > 30 * variances[1]


@pytest.mark.parametrize("size", [(30, 60), (64, 20), (48, 130), (96, 192)])
@pytest.mark.parametrize("scale", [0.125, 0.3, 0.77, 1.0, 1.5])
def test_a_crop_of_any_shape_is_covered_and_labels_stay_with_the_image(scale: float, size: tuple[int, int]) -> None:
    rows, columns = (grid.astype(np.uint8) for grid in np.mgrid[:96, :192])
    image = np.stack((columns, rows, 0 * rows), -1)
    config = released(scale=(scale, scale), colour=0)
    for seed in range(4):
        for channel, labels in ((0, columns), (1, rows)):
            seen, ids = augment(image, labels, config, size, np.random.default_rng(seed))
            assert seen.shape == (*size, 3) and ids.shape == size
            inner = (slice(8, -8), slice(8, -8))  # the filter has less to average at the border
            far = np.abs(seen[..., channel].astype(int) - ids)[inner].max()
            assert far <= 1 / scale + 1  # a pixel of the shrunk image


def test_its_crops_lie_where_those_of_the_fast_form_lie_mirrored_or_not() -> None:
    columns = np.tile(np.arange(192, dtype=np.uint8), (96, 1))
    mirrored = 0
    for seed in range(20):
        fast, slow = (
            augment(columns[..., None].repeat(3, 2), columns, config, (48, 96), np.random.default_rng(seed))[1]
            for config in (Augmentation(scale=(1, 1), colour=0), released(scale=(1, 1), colour=0))
        )
        mirrored += int(fast[0, 0] > fast[0, 1])
        assert np.abs(fast.astype(int) - slow).max() <= 1
    assert 4 < mirrored < 16


def test_faithful_asks_for_it_and_nothing_else_does() -> None:
    plain = TrainConfig(augmentation=Augmentation(crop=(64, 64), scale=(0.5, 1), colour=0.1))
    assert RecipeConfig(name="x", train=plain).training.augmentation == plain.augmentation
    asked = RecipeConfig(name="x", train=plain, faithful=True).training.augmentation
    assert asked == released(crop=(64, 64), scale=(0.5, 1), colour=0.1)


def test_it_cannot_leave_a_crop_uncovered() -> None:
    with pytest.raises(ValidationError, match=r"form released enlarges a smaller image .* it needs cover: true"):
        Augmentation(form="released")
