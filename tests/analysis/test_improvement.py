"""Expected improvement: against draws, and where nothing is uncertain, against the hypervolume itself."""

import numpy as np
import pytest

from stdc_lab.analysis.improvement import expected_hypervolume_improvement, expected_improvement
from stdc_lab.analysis.pareto import hypervolume

FRONT = np.array([[0.70, 30.0], [0.60, 20.0], [0.40, 8.0]])
REFERENCE = [0.2, 50.0]
MAXIMIZE = [True, False]
MEAN = np.array([[0.65, 22.0], [0.75, 45.0], [0.30, 40.0], [0.10, 60.0], [0.62, 9.0]])
SD = np.array([[0.05, 4.0], [0.10, 10.0], [0.20, 5.0], [0.05, 5.0], [0.01, 0.5]])


def gains(points: np.ndarray, front: np.ndarray = FRONT) -> np.ndarray:
    """What each of the points adds, by the hypervolume's definition."""
    before = hypervolume(front, MAXIMIZE, REFERENCE)
    return np.array([hypervolume(np.vstack([front, point]), MAXIMIZE, REFERENCE) - before for point in points])


def test_it_is_the_mean_over_draws() -> None:
    found = expected_hypervolume_improvement(MEAN, SD, FRONT, MAXIMIZE, REFERENCE)
    draw = np.random.default_rng(0)
    for index in range(len(MEAN)):
        drawn = gains(MEAN[index] + SD[index] * draw.standard_normal((4000, 2)))
        error = drawn.std() / np.sqrt(len(drawn))
        assert found[index] == pytest.approx(drawn.mean(), abs=4 * error + 1e-12), index


@pytest.mark.parametrize("sd", [0.0, 1e-9])
def test_without_doubt_it_is_what_the_point_adds(sd: float) -> None:
    found = expected_hypervolume_improvement(MEAN, np.full_like(MEAN, sd), FRONT, MAXIMIZE, REFERENCE)
    np.testing.assert_allclose(found, gains(MEAN), atol=1e-6)
    assert found[3] == 0 and found[4] > 0


def test_an_objective_that_is_known_may_stand_beside_one_that_is_not() -> None:
    sd = SD * [1.0, 0.0]
    found = expected_hypervolume_improvement(MEAN[:1], sd[:1], FRONT, MAXIMIZE, REFERENCE)
    drawn = gains(MEAN[0] + sd[0] * np.random.default_rng(1).standard_normal((4000, 2)))
    assert found[0] == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(len(drawn)))


def test_only_the_front_within_the_reference_counts() -> None:
    expected = expected_hypervolume_improvement(MEAN, SD, FRONT, MAXIMIZE, REFERENCE)
    more = np.vstack([FRONT[::-1], FRONT[:1], [[0.5, 25.0], [0.9, 60.0], [0.1, 1.0], [np.nan, 1.0]]])
    np.testing.assert_allclose(expected_hypervolume_improvement(MEAN, SD, more, MAXIMIZE, REFERENCE), expected)


def test_directions_are_signs() -> None:
    expected = expected_hypervolume_improvement(MEAN, SD, FRONT, MAXIMIZE, REFERENCE)
    turned = [-1.0, 1.0]
    found = expected_hypervolume_improvement(
        MEAN * turned, SD, FRONT * turned, [False, False], REFERENCE * np.array(turned)
    )
    np.testing.assert_allclose(found, expected)


def test_without_a_front_it_is_the_whole_rectangle() -> None:
    found = expected_hypervolume_improvement(MEAN, SD, [], MAXIMIZE, REFERENCE)
    better = expected_improvement(MEAN[:, 0], SD[:, 0], 0.2)
    np.testing.assert_allclose(found, better * expected_improvement(MEAN[:, 1], SD[:, 1], 50.0, maximize=False))


def test_more_doubt_is_worth_more() -> None:
    found = [expected_improvement([0.5], [sd], 0.6)[0] for sd in (0.0, 0.05, 0.1, 0.2)]
    assert found[0] == 0 and found == sorted(found) and found[3] > 0.02
    assert expected_improvement([0.5], [1e-3], 0.6)[0] >= 0


def test_expected_improvement_by_hand() -> None:
    # At the best value itself it is the standard deviation over sqrt(2 pi).
    assert expected_improvement([3.0], [2.0], 3.0)[0] == pytest.approx(2 / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(expected_improvement([3.0, 5.0], [0.0, 0.0], 4.0), [0, 1])
    np.testing.assert_allclose(expected_improvement([3.0, 5.0], [0.0, 0.0], 4.0, maximize=False), [1, 0])


def test_bad_arguments_are_answered() -> None:
    with pytest.raises(ValueError, match=r"mean, sd: got shapes \(5, 2\) and \(5,\); allowed: N×2 each"):
        expected_hypervolume_improvement(MEAN, SD[:, 0], FRONT, MAXIMIZE, REFERENCE)
    with pytest.raises(ValueError, match="sd: got -1; allowed: 0 or more"):
        expected_improvement([0.0], [-1.0], 0.0)
    with pytest.raises(ValueError, match="allowed: two directions, finite numbers"):
        expected_hypervolume_improvement(MEAN, SD, FRONT, [True], REFERENCE)
    with pytest.raises(ValueError, match="allowed: two directions, finite numbers"):
        expected_hypervolume_improvement(MEAN, SD, FRONT, MAXIMIZE, [0.2, np.inf])
