"""A Gaussian process over standardised numbers: how like two rows are tells how like their values will be.

The covariance of two rows is that of a smooth function (squared exponential, a length for each column), of a straight
one (linear, a weight for each column) and, of a row with itself, noise. Lengths and weights differ from column to
column as far as the rows say so: each is drawn to what all columns have in common, so that many columns and few rows do
not make a pattern of chance. Everything is settled by the marginal likelihood of the rows with these priors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize

Numbers = np.ndarray[Any, np.dtype[np.float64]]

PULL = 0.2
"""Prior standard deviation of a column's log length, and of its log weight, about what all have in common."""
STARTS = 3
REACH = 5.0
"""How many standard deviations of its prior a hyperparameter may go. Noise stays above a thousandth of the values'
spread, so that the covariance can always be factored, duplicates or not."""
# Log of: smooth sd, common length (in square roots of the number of columns), straight sd, noise sd.
PRIOR_MEAN = np.array([-0.7, 0.5, -0.7, -1.5])
PRIOR_SD = np.array([1.0, 0.7, 1.0, 1.0])
COMMON = len(PRIOR_MEAN)


@dataclass(frozen=True)
class Process:
    """A Gaussian process that has seen rows; see `fit_process`."""

    rows: Numbers
    """N×D, standardised."""
    hyper: Numbers
    """Logarithms: `COMMON` common ones, D of lengths and D of weights about them."""
    lower: Numbers
    """Cholesky factor N×N of the covariance of the rows."""
    weights: Numbers
    """N: the inverse covariance times the values."""

    @property
    def noise_sd(self) -> float:
        """Of a value about the function, in the values' unit."""
        return float(np.exp(self.hyper[3]))

    def predict(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of the function at each of M rows (M×D), without noise."""
        smooth, straight = _scaled(rows, self.hyper)
        across = _smooth(smooth, _scaled(self.rows, self.hyper)[0], self.hyper)
        across += straight @ _scaled(self.rows, self.hyper)[1].T
        mean = across @ self.weights
        before = np.exp(2 * self.hyper[0]) + (straight**2).sum(axis=1)
        known = linalg.solve_triangular(self.lower, across.T, lower=True, check_finite=False)
        return mean, np.sqrt(np.maximum(before - (known**2).sum(axis=0), 0.0))


def fit_process(rows: Numbers, values: Numbers, seed: int = 0, starts: int = STARTS) -> Process:
    """The process whose hyperparameters have the highest posterior, of several starts of which all but one are drawn.

    rows: N×D, each column of mean 0 and variance 1. values: N, likewise. Equal arguments give equal processes.
    """
    draw = np.random.default_rng(seed)
    mean, sd = _prior(rows.shape[1])
    bounds = list(zip(mean - REACH * sd, mean + REACH * sd, strict=True))
    best, lowest = mean, math.inf
    for start in range(starts):
        first = mean.copy()
        if start:
            first[:COMMON] += PRIOR_SD * draw.standard_normal(COMMON)
        found = optimize.minimize(
            _loss, np.clip(first, *np.transpose(bounds)), (rows, values), method="L-BFGS-B", jac=True, bounds=bounds
        )
        if found.fun < lowest:
            best, lowest = found.x, float(found.fun)
    lower = linalg.cholesky(_covariance(rows, best)[0], lower=True)
    return Process(rows, best, lower, linalg.cho_solve((lower, True), values))


def _scaled(rows: Numbers, hyper: Numbers) -> tuple[Numbers, Numbers]:
    """The rows over their lengths, and times their weights: both M×D."""
    columns = rows.shape[1]
    lengths = np.exp(hyper[1] + hyper[COMMON : COMMON + columns]) * math.sqrt(columns)
    weights = np.exp(hyper[2] + hyper[COMMON + columns :]) / math.sqrt(columns)
    return rows / lengths, rows * weights


def _smooth(one: Numbers, other: Numbers, hyper: Numbers) -> Numbers:
    apart = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T
    return np.asarray(np.exp(2 * hyper[0] - 0.5 * np.maximum(apart, 0.0)))


def _covariance(rows: Numbers, hyper: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """N×N with noise; the smooth part of it; the rows over their lengths; the rows times their weights."""
    over, times = _scaled(rows, hyper)
    smooth = _smooth(over, over, hyper)
    whole = smooth + times @ times.T
    whole[np.diag_indices_from(whole)] += np.exp(2 * hyper[3])
    return whole, smooth, over, times


def _loss(hyper: Numbers, rows: Numbers, values: Numbers) -> tuple[float, Numbers]:
    """Negative log of the posterior of the hyperparameters, up to a constant, and its gradient."""
    columns = rows.shape[1]
    whole, smooth, over, times = _covariance(rows, hyper)
    lower = linalg.cholesky(whole, lower=True, check_finite=False)
    solved = linalg.cho_solve((lower, True), values, check_finite=False)
    inverse = linalg.cho_solve((lower, True), np.eye(len(values)), check_finite=False)
    loss = 0.5 * float(values @ solved) + float(np.log(np.diag(lower)).sum())
    # The loss changes by half the sum of `slope` times the change of the covariance.
    slope = inverse - np.outer(solved, solved)
    by_smooth = slope * smooth
    by_column = 2 * (by_smooth.sum(axis=1) @ over**2 - (over * (by_smooth @ over)).sum(axis=0))
    gradient = np.zeros_like(hyper)
    gradient[0] = by_smooth.sum()
    gradient[COMMON : COMMON + columns] = 0.5 * by_column
    gradient[1] = 0.5 * by_column.sum()
    by_weight = (times * (slope @ times)).sum(axis=0)
    gradient[COMMON + columns :] = by_weight
    gradient[2] = by_weight.sum()
    gradient[3] = np.exp(2 * hyper[3]) * np.trace(slope)
    mean, sd = _prior(columns)
    off = (hyper - mean) / sd
    return loss + 0.5 * float(off @ off), gradient + off / sd


def _prior(columns: int) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of each hyperparameter."""
    return (
        np.concatenate([PRIOR_MEAN, np.zeros(2 * columns)]),
        np.concatenate([PRIOR_SD, np.full(2 * columns, PULL)]),
    )
