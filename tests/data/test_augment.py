"""Augmentation keeps image and labels together, and batches depend on their seed and number alone."""

from __future__ import annotations

import numpy as np
import pytest

from stdc_lab.config.training import Augmentation
from stdc_lab.data import IGNORE_LABEL, IMAGE_MEAN, Split, augment, batch_at, crop_size

OFF = Augmentation(flip=False, scale=(1, 1), colour=0)
PADDING = np.array([round(255 * mean) for mean in IMAGE_MEAN])


def blocks(height: int = 60, width: int = 80, side: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Labels in a checkerboard of blocks, and an image whose grey value is 20 times the label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 11, (height // side, width // side)).astype(np.uint8).repeat(side, 0).repeat(side, 1)
    return np.repeat(labels[..., None] * 20, 3, 2).astype(np.uint8), labels


def split_of(count: int, height: int = 32, width: int = 40) -> Split:
    """Each image is filled with its own number, and so are its labels."""
    numbers = np.arange(count, dtype=np.uint8)
    labels = np.broadcast_to(numbers[:, None, None], (count, height, width)).copy()
    return Split(np.repeat(labels[..., None], 3, 3), labels, tuple(map(str, range(count))))


def test_switched_off_it_changes_nothing():
    image, labels = blocks()
    new_image, new_labels = augment(image, labels, OFF, (60, 80), np.random.default_rng(0))
    assert np.array_equal(new_image, image) and np.array_equal(new_labels, labels)
    assert not np.shares_memory(new_image, image)


@pytest.mark.parametrize("scale", [(1, 1), (0.5, 0.5), (0.73, 0.73), (1.37, 1.37), (2.5, 2.5), (0.5, 2.0)])
@pytest.mark.parametrize("size", [(60, 80), (33, 50), (120, 96)])
def test_image_and_labels_stay_together(scale, size):
    """Colours tell each pixel's column and row, labels the one or the other: they may differ by half a pixel."""
    rows, columns = (grid.astype(np.uint8) for grid in np.mgrid[:60, :80])
    image = np.stack((3 * columns, 3 * rows, 0 * rows), -1)
    config = Augmentation(flip=True, scale=scale, colour=0)
    for seed in range(8):
        for channel, labels in ((0, columns), (1, rows)):
            new_image, new_labels = augment(image, labels, config, size, np.random.default_rng(seed))
            assert new_image.shape == (*size, 3) and new_labels.shape == size
            known = new_labels != IGNORE_LABEL
            assert known.sum() > 200
            assert (new_image[~known] == PADDING).all()
            told = new_image[..., channel][known] / 3
            assert np.abs(told - new_labels[known]).max() < 0.75


def test_both_ways_round_occur_and_labels_turn_with_the_image():
    image, labels = blocks()
    config = Augmentation(flip=True, scale=(1, 1), colour=0)
    turned = 0
    for seed in range(40):
        new_image, new_labels = augment(image, labels, config, (60, 80), np.random.default_rng(seed))
        flipped = np.array_equal(new_labels, labels[:, ::-1])
        assert flipped or np.array_equal(new_labels, labels)
        assert np.array_equal(new_image, image[:, ::-1] if flipped else image)
        turned += flipped
    assert 10 <= turned <= 30


def test_scale_is_the_one_asked_for():
    labels = np.zeros((100, 100), np.uint8)
    labels[:, 40:60] = 1
    image = np.repeat(labels[..., None], 3, 2)
    config = Augmentation(flip=False, scale=(0.5, 0.5), colour=0)
    _, new_labels = augment(image, labels, config, (100, 100), np.random.default_rng(0))
    assert (new_labels != IGNORE_LABEL).sum() == 50 * 50
    assert (new_labels == 1).sum() == 10 * 50
    config = Augmentation(flip=False, scale=(2, 2), colour=0)
    widths = [
        (augment(image, labels, config, (100, 100), np.random.default_rng(seed))[1][0] == 1).sum() for seed in range(20)
    ]
    assert max(widths) == 40


def test_a_small_image_lies_anywhere_in_its_crop():
    image, labels = blocks(30, 30)
    corners = set()
    for seed in range(60):
        _, new_labels = augment(image, labels, OFF, (40, 40), np.random.default_rng(seed))
        rows, columns = np.nonzero(new_labels != IGNORE_LABEL)
        assert len(rows) == 900
        corners.add((int(rows.min()), int(columns.min())))
    assert len(corners) > 30
    assert {row for row, _ in corners} == set(range(11)) == {column for _, column in corners}


def test_crops_come_from_everywhere():
    image, labels = blocks(40, 40, 10)
    labels = np.arange(40, dtype=np.uint8)[:, None].repeat(40, 1)
    firsts = {int(augment(image, labels, OFF, (32, 32), np.random.default_rng(seed))[1][0, 0]) for seed in range(80)}
    assert firsts == set(range(9))


def test_colour_changes_the_image_within_its_strength_and_never_the_labels():
    rng = np.random.default_rng(0)
    image = rng.integers(80, 160, (40, 40, 3)).astype(np.uint8)
    labels = rng.integers(0, 11, (40, 40)).astype(np.uint8)
    means, spreads = [], []
    for seed in range(60):
        config = Augmentation(flip=False, scale=(1, 1), colour=0.2)
        new_image, new_labels = augment(image, labels, config, (40, 40), np.random.default_rng(seed))
        assert np.array_equal(new_labels, labels)
        means.append(new_image.mean() / image.mean())
        spreads.append(new_image.std() / image.std())
    assert 0.79 < min(means) < 0.87 and 1.13 < max(means) < 1.21
    assert min(spreads) < 0.85 and max(spreads) > 1.15


def test_saturation_is_drawn_evenly_within_its_strength():
    """Told apart from the contrast by two patches of one hue: contrast acts on their luminance, saturation does not."""
    luminance = np.array((0.299, 0.587, 0.114))
    image = np.empty((20, 20, 3), np.uint8)
    image[:, :10], image[:, 10:] = (130, 90, 80), (160, 120, 110)
    split = Split(image[None], np.zeros((1, 20, 20), np.uint8), ("two",))
    config = Augmentation(flip=False, scale=(1, 1), colour=0.4)
    saturations = []
    for number in range(200):
        changed = batch_at(split, config, (20, 20), 1, 0, number)[0][0].astype(float)
        dark, bright = changed[0, 0], changed[0, -1]
        stretched = (bright - dark) @ luminance / 30  # brightness × contrast
        saturations.append(float(np.ptp(dark) + np.ptp(bright)) / 100 / stretched)
    assert 0.55 < min(saturations) < 0.68 and 1.32 < max(saturations) < 1.45
    assert np.quantile(saturations, (0.25, 0.5, 0.75)) == pytest.approx((0.8, 1.0, 1.2), abs=0.08)


def test_colour_leaves_grey_grey_and_stays_in_range():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, 2)
    config = Augmentation(flip=False, scale=(1, 1), colour=0.9)
    for seed in range(20):
        new_image, _ = augment(grey, grey[..., 0], config, (16, 16), np.random.default_rng(seed))
        assert np.ptp(new_image.astype(int), axis=2).max() <= 1
        values = new_image[..., 0].ravel().astype(int)
        assert (np.diff(values) >= 0).all()  # saturated at the ends, and not wrapped around


def test_the_crop_is_the_configured_one_or_the_data_size():
    split = split_of(2)
    assert crop_size(Augmentation(), split) == (32, 40)
    assert crop_size(Augmentation(crop=(64, 48)), split) == (64, 48)


def test_an_epoch_takes_every_image_once_and_the_next_in_another_order():
    split = split_of(12)
    taken = [int(number) for i in range(6) for number in batch_at(split, OFF, (32, 40), 4, 7, i)[1][:, 0, 0]]
    assert sorted(taken[:12]) == list(range(12)) == sorted(taken[12:])
    assert taken[:12] != taken[12:]


def test_epochs_need_not_be_whole_batches():
    split = split_of(5)
    taken = [int(number) for i in range(5) for number in batch_at(split, OFF, (32, 40), 3, 7, i)[1][:, 0, 0]]
    assert all(sorted(taken[start : start + 5]) == list(range(5)) for start in (0, 5, 10))


def test_a_batch_may_be_larger_than_the_split():
    images, labels = batch_at(split_of(3), OFF, (32, 40), 8, 0, 0)
    assert images.shape == (8, 32, 40, 3) and labels.shape == (8, 32, 40)
    assert np.bincount(labels[:, 0, 0], minlength=3).min() >= 2


def test_an_image_depends_on_its_number_in_the_training_alone():
    split = split_of(7)
    config = Augmentation()
    whole = batch_at(split, config, (32, 40), 8, 3, 5)
    again = batch_at(split, config, (32, 40), 8, 3, 5)
    assert np.array_equal(whole[0], again[0]) and np.array_equal(whole[1], again[1])
    for slots in (range(4), range(4, 8), range(2, 3)):
        part = batch_at(split, config, (32, 40), 8, 3, 5, slots)
        assert np.array_equal(part[0], whole[0][slots]) and np.array_equal(part[1], whole[1][slots])
    # The same images in smaller batches.
    halves = [batch_at(split, config, (32, 40), 4, 3, i) for i in (10, 11)]
    assert np.array_equal(np.concatenate([images for images, _ in halves]), whole[0])


def test_scales_in_steps_take_each_step_and_nothing_else():
    image, labels = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    config = Augmentation(flip=False, scale=(0.5, 1.5), scale_step=0.5, colour=0)
    counts = {}
    for seed in range(300):
        _, cropped = augment(image, labels, config, (128, 128), np.random.default_rng(seed))
        side = int((cropped != IGNORE_LABEL).sum()) ** 0.5
        counts[side] = counts.get(side, 0) + 1
    assert counts.keys() == {32, 64, 96}
    assert min(counts.values()) > 70


def test_a_small_image_is_enlarged_to_cover_the_crop():
    image, labels = blocks(60, 80)
    config = Augmentation(flip=False, scale=(0.125, 0.125), colour=0, cover=True)
    _, cropped = augment(image, labels, config, (30, 60), np.random.default_rng(0))
    assert not (cropped == IGNORE_LABEL).any()
    # 80 columns became 60: the height of 60 became 45, of which 30 are cropped.
    assert len(np.unique(cropped)) > 5


def test_seeds_and_iterations_change_the_random_numbers():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 32, 40, 3)).astype(np.uint8)
    split = Split(image, image[..., 0] % 11, ("only",))
    seen = {batch_at(split, Augmentation(), (32, 40), 2, seed, i)[0].tobytes() for seed in (0, 1) for i in range(4)}
    assert len(seen) == 8


def test_a_split_cannot_contradict_itself():
    images, labels = np.zeros((2, 4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(ValueError, match="N names; got"):
        Split(images, labels, ("one",))
    with pytest.raises(ValueError, match=r"\(2, 4, 4\)"):
        Split(images, labels[..., :4], ("one", "two"))


def told(config: Augmentation, size: tuple[int, int], seed: int, side: int = 64) -> tuple[bool, float, float]:
    """Of an image whose pixels know where they are: whether it was mirrored, and where in its free play, from 0 to 1,
    the crop's first row and the leftmost column of the unmirrored image lie; not a number where there is no play."""
    rows, columns = (grid.astype(np.uint8) for grid in np.mgrid[:side, :side])
    down, across = (
        augment(rows[..., None].repeat(3, 2), labels, config, size, np.random.default_rng(seed))[1].astype(int)
        for labels in (rows, columns)
    )
    ends = [(down[0, 0], down[-1, 0]), sorted((across[0, 0], across[0, -1]))]
    plays = [side - 1 - last + first for first, last in ends]
    row, column = (first / play if play else np.nan for (first, _), play in zip(ends, plays, strict=True))
    return bool(across[0, 0] > across[0, -1]), row, column


PLAIN = Augmentation(scale=(1, 1), colour=0)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (Augmentation(scale=(1, 1), colour=0.5), (32, 32)),
        (Augmentation(scale=(1.25, 1.25), colour=0), (32, 32)),
        (Augmentation(scale=(0.6, 2), scale_step=0.2, colour=0.3), (32, 32)),
        (PLAIN, (32, 64)),
        (PLAIN, (64, 64)),
        (PLAIN, (40, 20)),
        (Augmentation(scale=(1, 1), colour=0, cover=True), (48, 32)),
    ],
    ids=["colour", "scale", "all", "no column to choose", "nothing to choose", "crop", "cover"],
)
def test_unlike_augmentations_share_flips_and_positions(config: Augmentation, size: tuple[int, int]) -> None:
    for seed in range(20):
        (flip, row, column), (other_flip, other_row, other_column) = (
            told(PLAIN, (32, 32), seed),
            told(config, size, seed),
        )
        assert other_flip == flip
        assert np.isnan(other_row) or abs(other_row - row) < 0.12  # whole pixels of the free play
        assert np.isnan(other_column) or abs(other_column - column) < 0.12


def test_without_flip_all_else_is_shared() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 180, (40, 40, 3)).astype(np.uint8)
    labels = rng.integers(0, 11, (40, 40)).astype(np.uint8)
    mirrored = 0
    for seed in range(20):
        (ours, ids), (others, other_ids) = (
            augment(image, labels, Augmentation(scale=(1, 1), flip=flip), (32, 32), np.random.default_rng(seed))
            for flip in (False, True)
        )
        if not np.array_equal(ids, other_ids):
            mirrored += 1
            others, other_ids = others[:, ::-1], other_ids[:, ::-1]
        assert np.array_equal(ids, other_ids)
        assert np.abs(ours.astype(int) - others).max() <= 1
    assert 4 < mirrored < 16


def test_scales_share_their_rank() -> None:
    labels = np.zeros((64, 64), np.uint8)

    def sides(config: Augmentation) -> np.ndarray:
        drawn = (np.random.default_rng(seed) for seed in range(12))
        return np.array(
            [(augment(labels[..., None].repeat(3, 2), labels, config, (200, 200), rng)[1] == 0).sum() for rng in drawn]
        )

    low, high = sides(Augmentation(scale=(0.5, 1))), sides(Augmentation(scale=(1, 3), flip=False, colour=0))
    assert (np.diff(high[np.argsort(low)]) >= -1600).all()  # those apart that are equal once rounded
    assert high.max() > 3 * high.min()
