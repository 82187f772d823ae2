import math

import numpy as np
import pytest

from stdc_lab.training.boundary import TOLERANCE, BoundaryScore


def brute_force(
    pairs: list[tuple[np.ndarray, np.ndarray]], classes: int
) -> tuple[list[float], list[float], list[float]]:
    """The definition word by word: pixel by pixel, each against each."""
    kept: list[list[tuple[float | None, float | None, float]]] = [[] for _ in range(classes)]
    for labels, predictions in pairs:
        height, width = labels.shape
        tolerance = 0.0075 * math.sqrt(height**2 + width**2)

        def pixels(ids: np.ndarray, wanted: int, truth: np.ndarray = labels) -> list[tuple[int, int]]:
            found = []
            for y in range(truth.shape[0]):
                for x in range(truth.shape[1]):
                    if ids[y, x] != wanted or truth[y, x] == 255:
                        continue
                    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                    inside = [(v, u) for v, u in around if 0 <= v < truth.shape[0] and 0 <= u < truth.shape[1]]
                    if any(truth[v, u] != 255 and ids[v, u] != wanted for v, u in inside):
                        found.append((y, x))
            return found

        for wanted in range(classes):
            true, seen = pixels(labels, wanted), pixels(predictions, wanted)
            if not true and not seen:
                continue
            near = [
                [any(math.dist(a, b) <= tolerance for b in other) for a in one]
                for one, other in ((seen, true), (true, seen))
            ]
            precision, recall = (sum(hits) / len(hits) if hits else None for hits in near)
            sum_of = (precision or 0) + (recall or 0)
            kept[wanted].append((precision, recall, 2 * (precision or 0) * (recall or 0) / sum_of if sum_of else 0))

    def mean(row: int) -> list[float]:
        columns = [[figures[row] for figures in images if figures[row] is not None] for images in kept]
        return [sum(column) / len(column) if column else math.nan for column in columns]  # type: ignore[arg-type]

    return mean(0), mean(1), mean(2)


def squares(rng: np.random.Generator, size: tuple[int, int], classes: int) -> np.ndarray:
    picture = np.zeros(size, np.uint8)
    for _ in range(6):
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        picture[y : y + rng.integers(3, 25), x : x + rng.integers(3, 25)] = rng.integers(0, classes)
    return picture


@pytest.mark.parametrize("size", [(20, 30), (72, 96), (120, 160), (240, 320)])
def test_agrees_with_the_definition_word_by_word(size: tuple[int, int]) -> None:
    """Tolerances of 0.27, 0.9, 1.5 and exactly 3 pixels."""
    rng = np.random.default_rng(size[0])
    score = BoundaryScore(5)  # class 4 occurs nowhere
    pairs = []
    for index in range(3 if size[0] < 240 else 1):
        labels = squares(rng, size, 3)
        predictions = np.roll(labels, (1, index), (0, 1))
        predictions[5:9, 5:15] = 3
        labels[8:14, 10:26] = 255
        pairs.append((labels, predictions))
        score.add(labels, predictions.astype(np.int64))
    precision, recall, f = brute_force(pairs, 5)
    assert score.class_precision() == pytest.approx(precision, nan_ok=True)
    assert score.class_recall() == pytest.approx(recall, nan_ok=True)
    assert score.class_f() == pytest.approx(f, nan_ok=True)
    assert 0 < score.mean() < 1
    assert score.mean() == pytest.approx(np.nanmean(f))


def halves(at: int, width: int = 20, height: int = 10) -> np.ndarray:
    picture = np.zeros((height, width), np.uint8)
    picture[:, at:] = 1
    return picture


def test_what_is_met_exactly_is_one() -> None:
    score = BoundaryScore(3)
    score.add(halves(10), halves(10))
    assert score.class_f()[:2].tolist() == [1, 1]
    assert math.isnan(score.class_f()[2])
    assert score.mean() == 1


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0)])
def test_within_the_tolerance_it_is_met(shift: int, expected: float) -> None:
    # 180×240: the diagonal is 300 pixels, the tolerance 2.25.
    assert TOLERANCE * math.hypot(180, 240) == pytest.approx(2.25)
    score = BoundaryScore(2)
    score.add(halves(100, 240, 180), halves(100 + shift, 240, 180))
    assert score.class_f().tolist() == [expected, expected]


@pytest.mark.parametrize(("shift", "expected"), [(3, 1.0), (4, 0.0)])
def test_at_the_tolerance_exactly_it_is_met(shift: int, expected: float) -> None:
    score = BoundaryScore(2)  # 240×320: the diagonal is 400 pixels, the tolerance 3
    score.add(halves(100, 320, 240), halves(100 + shift, 320, 240))
    assert score.class_f().tolist() == [expected, expected]


def test_by_hand_half_of_the_edge_and_an_edge_too_many() -> None:
    # Tolerance 0.17: pixels match themselves only. The label's edge lies between columns 9 and 10, in ten rows.
    predicted = halves(10)
    predicted[5:, 10:] = 0  # class 1 only in the upper half: an edge below it too
    score = BoundaryScore(2)
    score.add(halves(10), predicted)
    # Class 1 predicted: column 10 in rows 0–4 (5), row 4 in columns 11–19 (9): 14, of which 5 are of the label's 10.
    assert score.class_precision()[1] == pytest.approx(5 / 14)
    assert score.class_recall()[1] == pytest.approx(5 / 10)
    assert score.class_f()[1] == pytest.approx(2 * (5 / 14) * 0.5 / (5 / 14 + 0.5))
    # Class 0 predicted: column 9 in rows 0–4 (5), row 5 in columns 10–19 (10): 15, of which 5 are of the label's 10.
    assert score.class_precision()[0] == pytest.approx(5 / 15)
    assert score.class_recall()[0] == pytest.approx(5 / 10)


def test_ignored_pixels_and_edges_against_them_count_for_nothing() -> None:
    labels = halves(10)
    labels[:, 8:12] = 255  # the whole edge: left are two surfaces, with nothing between them
    score = BoundaryScore(2)
    score.add(labels, halves(10))
    assert np.isnan(score.class_f()).all()
    assert math.isnan(score.mean())
    seen = halves(4)  # an edge where the label has a surface
    score.add(labels, seen)
    assert score.class_f().tolist() == [0, 0]
    assert score.class_precision().tolist() == [0, 0]
    assert np.isnan(score.class_recall()).all()


def test_what_is_missed_is_zero_and_images_count_alike() -> None:
    score = BoundaryScore(2)
    score.add(halves(10), np.zeros((10, 20), np.uint8))  # both edges missed
    assert score.class_f().tolist() == [0, 0]
    assert score.class_recall().tolist() == [0, 0]
    assert np.isnan(score.class_precision()).all()
    score.add(halves(10, 40, 30), halves(10, 40, 30))  # a longer edge that is met counts no more than the short one
    assert score.class_f().tolist() == [0.5, 0.5]


def test_an_image_of_one_class_says_nothing() -> None:
    score = BoundaryScore(2)
    score.add(np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8))
    assert math.isnan(score.mean())
