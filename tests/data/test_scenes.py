"""Synthetic scenes: determinism, variety, and that neither a constant nor a colour solves them."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, IGNORE_LABEL, render_scene
from stdc_lab.scenery.classes import BUILDING, POLE, ROAD, SKY

COUNT = 30


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [render_scene(0, index, 96, 128) for index in range(COUNT)]


@pytest.fixture(scope="module")
def frequencies(scenes) -> np.ndarray:
    labels = np.stack([labels for _, labels in scenes])
    counts = np.bincount(labels[labels != IGNORE_LABEL], minlength=11)
    return counts / counts.sum()


def mean_iou(labels: np.ndarray, guess: np.ndarray) -> float:
    """Over the classes that occur in either, without unlabelled pixels."""
    known = labels != IGNORE_LABEL
    labels, guess = labels[known], guess[known]
    ious = []
    for label in range(11):
        union = ((labels == label) | (guess == label)).sum()
        if union:
            ious.append(((labels == label) & (guess == label)).sum() / union)
    return float(np.mean(ious))


def test_classes_and_colours_belong_together():
    assert len(CLASS_NAMES) == 11 == len(CLASS_COLOURS)
    assert len({tuple(colour) for colour in CLASS_COLOURS.tolist()}) == 11
    with pytest.raises(ValueError, match="read-only"):
        CLASS_COLOURS[0, 0] = 1


@pytest.mark.parametrize("size", [(96, 128), (64, 200), (33, 47), (180, 240)])
def test_shapes_types_and_label_range(size):
    image, labels = render_scene(3, 7, *size)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert labels.shape == size and labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*range(11), IGNORE_LABEL}


def test_a_scene_depends_on_its_arguments_alone():
    first = render_scene(5, 2, 96, 128)
    np.random.seed(0)  # a generator of someone else's must not matter
    render_scene(5, 3, 96, 128)
    again = render_scene(5, 2, 96, 128)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_another_process_draws_the_same_scene():
    code = (
        "import hashlib; from stdc_lab.data import render_scene;"
        "print(hashlib.sha256(b''.join(a.tobytes() for a in render_scene(5, 2, 96, 128))).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == hashlib.sha256(b"".join(a.tobytes() for a in render_scene(5, 2, 96, 128))).hexdigest()


def test_seed_and_index_both_make_another_scene():
    _, labels = render_scene(0, 0, 96, 128)
    for seed, index in ((0, 1), (1, 0)):
        assert (render_scene(seed, index, 96, 128)[1] != labels).mean() > 0.05


def test_scenes_of_one_town_differ_in_light_and_layout(scenes):
    brightness = [image.mean() for image, _ in scenes]
    assert np.std(brightness) > 15
    road = [(labels == ROAD).mean() for _, labels in scenes]
    assert np.std(road) > 0.04
    sky_ends = [np.nonzero((labels == SKY).any(1))[0].max() for _, labels in scenes if (labels == SKY).any()]
    assert np.std(sky_ends) > 4


def test_a_finer_size_shows_the_same_scene():
    for index in range(4):
        _, coarse = render_scene(1, index, 90, 120)
        _, fine = render_scene(1, index, 180, 240)
        same = coarse == fine[::2, ::2]
        assert same.mean() > 0.9


def test_every_class_occurs_and_rare_ones_in_most_scenes(scenes):
    present = np.array([[np.any(labels == label) for label in range(11)] for _, labels in scenes]).mean(0)
    assert (present > 0.5).all(), dict(zip(CLASS_NAMES, present, strict=True))


def test_frequencies_resemble_a_road(frequencies):
    named = dict(zip(CLASS_NAMES, frequencies, strict=True))
    assert {CLASS_NAMES[label] for label in np.argsort(frequencies)[-4:]} == {"road", "building", "sky", "tree"}
    assert all(0.001 < named[name] < 0.05 for name in ("pole", "sign", "pedestrian", "cyclist")), named
    assert 0.2 < named["road"] < 0.5


def test_a_constant_guess_is_worth_little(scenes):
    labels = np.stack([labels for _, labels in scenes])
    scores = [mean_iou(labels, np.full_like(labels, label)) for label in range(11)]
    assert max(scores) < 0.05


def test_the_mean_picture_is_worth_little(scenes):
    """The most frequent class of each pixel: what can be had without looking at the image."""
    labels = np.stack([labels for _, labels in scenes])
    votes = np.stack([(labels[::2] == label).sum(0) for label in range(11)])
    rest = labels[1::2]
    assert mean_iou(rest, np.broadcast_to(votes.argmax(0), rest.shape)) < 0.3


def test_colour_alone_does_not_tell_the_class(scenes):
    """The most frequent class of each colour, learnt from half of the scenes, on the other half."""
    images = np.stack([image for image, _ in scenes]) // 16
    labels = np.stack([labels for _, labels in scenes])
    bins = images[..., 0].astype(int) * 256 + images[..., 1] * 16 + images[..., 2]
    votes = np.zeros((4096, 11))
    known = labels[::2] != IGNORE_LABEL
    np.add.at(votes, (bins[::2][known], labels[::2][known]), 1)
    assert mean_iou(labels[1::2], votes.argmax(1)[bins[1::2]]) < 0.25


def test_labels_follow_the_edges_of_the_image():
    """Where the label changes from sky to building, the image changes more there than two pixels beside it."""
    on_edge, beside = [], []
    for index in range(12):
        image, labels = render_scene(2, index, 180, 240)
        grey = image.astype(float).mean(2)
        steps = np.abs(np.diff(grey, axis=0))
        edge = ((labels[:-1] == SKY) & (labels[1:] == BUILDING))[3:-3]
        on_edge.append(steps[3:-3][edge])
        beside += [steps[:-6][edge], steps[6:][edge]]
    assert np.concatenate(on_edge).mean() > 2 * np.concatenate(beside).mean()


def test_thin_things_survive_at_a_small_size(scenes):
    """A pole is one column of pixels at least, and not a dotted line."""
    runs = []
    for _, labels in scenes:
        pole = labels == POLE
        runs += [int(column.sum()) for column in pole.T if column.any()]
    assert np.percentile(runs, 90) > 10


def test_sky_is_never_below_the_road():
    for index in range(10):
        _, labels = render_scene(4, index, 96, 128)
        assert not (labels[-1] == SKY).any()
        columns = np.nonzero((labels == ROAD).any(0))[0]
        top_road = (labels == ROAD).argmax(0)[columns]
        lowest_sky = np.where(labels == SKY, np.arange(96)[:, None], -1).max(0)[columns]
        assert (lowest_sky < top_road).all()
