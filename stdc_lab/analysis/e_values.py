"""Evidence that holds whenever it is looked at, and what to do when several questions are asked at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

G = 1.0
"""Variance of the effect, in standard deviations of a difference, that the evidence is for: about one."""
ENOUGH = 20.0
"""Of no effect, an e-value ever reaches this in at most 1 of 20 tables."""


def t_e_value(t: float, count: int, g: float = G) -> float:
    """The evidence of a t statistic over `count` differences against a mean of 0; anytime-valid, two-sided.

    The ratio of two likelihoods of t: effect ÷ spread drawn from a normal distribution of variance `g`, over none; the
    spread itself under its right Haar prior, so that it need not be known (Gönen et al., 2005; Pérez-Ortiz et al.,
    2024). Of no effect its mean is 1 after any number of normal differences. 1 of fewer than two.
    """
    if count < 2:
        return 1.0
    grown, degrees = 1 + count * g, count - 1
    square = min(abs(t), 1e100) ** 2  # infinite where there is no spread; the ratio has a limit
    power = math.log1p(square / degrees) - math.log1p(square / (degrees * grown))
    return float(np.exp(min(count / 2 * power - math.log(grown) / 2, 700.0)))


def e_value(differences: Sequence[float] | np.ndarray, border: float = 0.0) -> float:
    """The evidence of differences against a mean of `border`; see `t_e_value`."""
    values = np.asarray(differences, float) - border
    if len(values) < 2:
        return 1.0
    error, mean = float(values.std(ddof=1)) / math.sqrt(len(values)), float(values.mean())
    return t_e_value(_ratio(mean, error), len(values))


def _ratio(mean: float, error: float) -> float:
    if error == 0:
        return 0.0 if mean == 0 else math.copysign(math.inf, mean)
    return mean / error


def anytime_interval(differences: Sequence[float] | np.ndarray, enough: float = ENOUGH) -> tuple[float, float]:
    """All means against which the evidence is below `enough`: 95 % for all looks together, however many there are.

    Infinite as long as so few differences cannot say as much.
    """
    values = np.asarray(differences, float)
    count = len(values)
    grown = 1 + count * G
    # count/2 · log((1 + x) / (1 + x/grown)) - log(grown)/2 = log(enough), with x = t²/degrees
    ratio = math.exp((2 * math.log(enough) + math.log(grown)) / count) if count else math.inf
    if count < 2 or ratio >= grown:
        return -math.inf, math.inf
    t = math.sqrt((count - 1) * (ratio - 1) / (1 - ratio / grown))
    half = t * float(values.std(ddof=1)) / math.sqrt(count)
    return float(values.mean()) - half, float(values.mean()) + half


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several questions, adjusted so that all together err in 5 % where each is below 0.05 (Holm, 1979)."""
    adjusted, least = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def divergence_p_value(diverged: int, of: int, diverged_control: int, of_control: int) -> float:
    """Fisher's exact test, two-sided: do trainings of two arms diverge equally often?"""
    from scipy import stats  # takes a second to load

    table = np.array([[diverged, of - diverged], [diverged_control, of_control - diverged_control]])
    return float(stats.fisher_exact(table).pvalue)
