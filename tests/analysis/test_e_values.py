import math

import numpy as np
import pytest
from scipy import integrate, stats

from stdc_lab.analysis.e_values import anytime_interval, divergence_p_value, e_value, holm, t_e_value


@pytest.mark.parametrize(("t", "count"), [(0.0, 4), (2.5, 4), (-2.5, 9), (4.0, 16)])
def test_an_e_value_is_the_ratio_of_two_densities_of_t(t: float, count: int) -> None:
    """Noncentral t, mixed over a standard normal effect, over central t."""

    def mixed(effect: float) -> float:
        return float(stats.nct.pdf(t, count - 1, effect * math.sqrt(count)) * stats.norm.pdf(effect))

    over, _ = integrate.quad(mixed, -6, 6)
    assert t_e_value(t, count) == pytest.approx(over / stats.t.pdf(t, count - 1), rel=1e-5)


def test_of_no_effect_an_e_value_seldom_reaches_20_however_long_one_looks() -> None:
    draws = np.random.default_rng(0).standard_normal((4000, 60))
    ever = np.zeros(len(draws), bool)
    for pairs in range(2, 61):
        t = draws[:, :pairs].mean(axis=1) / draws[:, :pairs].std(axis=1, ddof=1) * math.sqrt(pairs)
        grown, degrees = 1 + pairs, pairs - 1
        e = grown**-0.5 * ((1 + t**2 / degrees) / (1 + t**2 / (degrees * grown))) ** (pairs / 2)
        assert e[0] == pytest.approx(e_value(draws[0, :pairs]))
        ever |= e >= 20
    assert 0.001 < ever.mean() <= 0.05


def test_the_anytime_interval_ends_where_the_evidence_is_20() -> None:
    values = np.random.default_rng(1).normal(0.5, 1, 20)
    low, high = anytime_interval(values)
    assert [e_value(values, low), e_value(values, high)] == pytest.approx([20, 20])
    assert low < values.mean() < high
    assert anytime_interval(values[:2]) == (-math.inf, math.inf)


def test_evidence_without_spread_is_finite() -> None:
    assert e_value([1.0, 1.0, 1.0]) == pytest.approx(4.0)
    assert e_value([0.0, 0.0, 0.0]) == pytest.approx(0.5)
    assert e_value([1.0]) == e_value([]) == 1.0
    assert math.isfinite(t_e_value(1e200, 5000))


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})
    assert found == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.9})
    assert list(found) == ["a", "b", "c", "d"]
    assert holm({}) == {}


def test_divergence_is_compared_by_fisher() -> None:
    assert divergence_p_value(5, 5, 0, 5) == pytest.approx(2 / math.comb(10, 5))
    assert divergence_p_value(1, 8, 1, 8) == pytest.approx(1)
