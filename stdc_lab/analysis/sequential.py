"""Looking after every pair: the paired t-test with its error spent over the looks (Lan and DeMets, 1983).

Differences come one by one, a pair of trainings each, and are looked at after every pair from the fourth to the
`max_seeds`-th. The error of 5 % is spent as O'Brien and Fleming's limits spend it: almost none at first, most of it at
the end. So a look costs nothing, none has to be promised, and nobody needs to know which looks were taken before.

The limits are worked out for t. Those of a known spread, taken as limits on the p-value of t, would err in 5.6 % of the
tables of 16 pairs; `benchmarks/verdicts.py` shows what these do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from stdc_lab.errors import ResultsError

FIRST_LOOK = 4
"""The first look is after so many pairs: fewer say next to nothing of their spread."""
MOST_SEEDS = 200
ALPHA = 0.05


@lru_cache(maxsize=512)
def p_limits(max_seeds: int, alpha: float = ALPHA) -> tuple[float, ...]:
    """The two-sided p-value of t to go below at each look, from the fourth pair to the last; all looks err in `alpha`.

    By recursion over the looks, as Armitage, McPherson and Rowe (1969) do it for the sum of normal observations, but
    for t itself: of n differences without effect, u = sum / √(sum of squares) says as much as t does, and where the
    next u lies depends on this one and on the share of the next square alone. The mass of |u| that no look has ended is
    kept in bins. Raises `ResultsError` for a number of seeds outside 4 to 200.
    """
    check_max_seeds(max_seeds)
    looks = np.arange(FIRST_LOOK, max_seeds + 1)
    spent = 2 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(looks / max_seeds))
    limits = [float(spent[0])]
    border = _sum_of(-float(special.stdtrit(FIRST_LOOK - 1, spent[0] / 2)), FIRST_LOOK)
    edges = np.linspace(0, border, _BINS + 1)
    mass = np.diff(2 * special.stdtr(FIRST_LOOK - 1, _t_of(edges, FIRST_LOOK)) - 1)
    for pairs, now in zip(looks[1:].tolist(), np.diff(spent).tolist(), strict=True):
        angles = np.linspace(-math.pi / 2, math.pi / 2, _ANGLES)
        below = special.stdtr(pairs - 1, math.sqrt(pairs - 1) * np.tan(angles))
        middles = (edges[1:] + edges[:-1]) / 2
        border = _border(middles, mass, now, pairs, (angles, below))
        limits.append(2 * float(special.stdtr(pairs - 1, -_t_of(np.asarray(border), pairs))))
        edges = np.linspace(0, border, _BINS + 1)
        mass = -np.diff(mass @ _beyond(middles[:, None], edges, (angles, below)))
    return tuple(limits)


_BINS = 256
_ANGLES = 4097
Table = tuple[np.ndarray, np.ndarray]
"""Of the angle whose sine is the next difference over the root of the sum of squares: where, and the share below."""


def _border(middles: np.ndarray, mass: np.ndarray, error: float, pairs: int, table: Table) -> float:
    """The |u| beyond which lies a share of `error` of what no look has ended."""

    def excess(border: float) -> float:
        return float(mass @ _beyond(middles, np.asarray(border), table)) - error

    return float(optimize.brentq(excess, 0.0, math.sqrt(pairs), xtol=1e-9))


def _beyond(start: np.ndarray, border: np.ndarray, table: Table) -> np.ndarray:
    """The chance that the next |u| is beyond a border, from a |u| of `start`."""
    ratio = border / np.sqrt(1 + start**2)  # the next u is √(1 + start²) · sin(angle + arctan(start))
    reach = np.arcsin(np.minimum(ratio, 1))
    chance = np.zeros(np.shape(reach))
    for turn in (np.arctan(start), -np.arctan(start)):
        high = np.minimum(math.pi - reach - turn, math.pi / 2)
        chance += np.interp(high, *table) - np.interp(np.minimum(reach - turn, high), *table)
    return np.where(ratio < 1, chance, 0.0)


def _t_of(u: np.ndarray, pairs: int) -> np.ndarray:
    return np.asarray(u * np.sqrt((pairs - 1) / np.maximum(pairs - u**2, 1e-300)))


def _sum_of(t: float, pairs: int) -> float:
    return t * math.sqrt(pairs / (pairs - 1 + t**2))


def check_max_seeds(max_seeds: int) -> None:
    """Raises `ResultsError` unless it is a whole number from 4 to 200."""
    if isinstance(max_seeds, bool) or not isinstance(max_seeds, int | np.integer):
        raise ResultsError(f"max_seeds: got {max_seeds!r}; allowed: a whole number from {FIRST_LOOK} to {MOST_SEEDS}")
    if not FIRST_LOOK <= max_seeds <= MOST_SEEDS:
        raise ResultsError(
            f"max_seeds: got {max_seeds}; allowed: from {FIRST_LOOK}, the first look, to {MOST_SEEDS} pairs"
        )


@lru_cache(maxsize=512)
def t_limits(max_seeds: int, alpha: float = ALPHA) -> np.ndarray:
    """The absolute t of each look that `p_limits` allows, from the fourth pair to the last. Not to be changed."""
    limits = np.asarray(p_limits(max_seeds, alpha))
    degrees = np.arange(FIRST_LOOK, max_seeds + 1) - 1
    found = -special.stdtrit(degrees, limits / 2)
    found.setflags(write=False)
    return np.asarray(found)


def running(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error after each pair from the fourth on, each R×(n - 3).

    differences: R×n, the pairs of a table in a row, n at least 4.
    """
    count = np.arange(1, differences.shape[1] + 1)
    first = differences[:, :1]  # sums of squares of what is near 0 lose no digits
    apart = differences - first
    mean = np.cumsum(apart, axis=1) / count
    squares = np.cumsum(apart**2, axis=1) - count * mean**2
    last = slice(FIRST_LOOK - 1, None)
    variance = np.maximum(squares[:, last], 0) / (count[last] - 1)
    return (mean + first)[:, last], np.sqrt(variance / count[last])


def repeated_intervals(differences: np.ndarray, max_seeds: int, alpha: float = ALPHA) -> tuple[np.ndarray, np.ndarray]:
    """Low and high ends of the repeated 95 % interval at each look, each R×(n - 3).

    All intervals of a table together hold the true difference with 95 %. differences: R×n, n from 4 to `max_seeds`.
    """
    mean, error = running(differences)
    half = t_limits(max_seeds, alpha)[: mean.shape[1]] * error
    return mean - half, mean + half


def repeated_interval(differences: Sequence[float] | np.ndarray, max_seeds: int) -> tuple[float, float]:
    """The repeated 95 % interval at the look after these differences: mean ± t(n - 1, p/2) · sd/√n.

    Raises `ResultsError` for fewer than four differences or more than `max_seeds`.
    """
    values = np.asarray(differences, float)
    if not FIRST_LOOK <= len(values) <= max_seeds:
        raise ResultsError(f"got {len(values)} differences; allowed: from {FIRST_LOOK} to max_seeds, {max_seeds}")
    low, high = repeated_intervals(values[None], max_seeds)
    return float(low[0, -1]), float(high[0, -1])


def one_look_interval(differences: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The plain 95 % interval of a mean by Student's t, which holds for one look; infinite of fewer than two values."""
    values = np.asarray(differences, float)
    if len(values) < 2:
        return -math.inf, math.inf
    half = float(special.stdtrit(len(values) - 1, 1 - ALPHA / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    mean = float(values.mean())
    return mean - half, mean + half


def repeated_p_value(differences: Sequence[float] | np.ndarray, max_seeds: int) -> float:
    """The smallest error at which some look until now would have found a difference: a p-value for `holm`.

    Valid however many looks were taken, because the limits of a smaller error lie inside those of a larger one; 1 of
    fewer than four pairs. Differences past `max_seeds` are left out. Two-sided, to about two digits, and no
    smaller than 1e-8.
    """
    values = np.asarray(differences, float)[:max_seeds]
    if len(values) < FIRST_LOOK:
        return 1.0
    mean, error = running(values[None])
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.nan_to_num(np.abs(mean[0] / error[0]), nan=0.0, posinf=np.inf)

    def limits(place: int) -> np.ndarray:
        return t_limits(max_seeds, _ERRORS[place])[: len(reached)]

    low, high = 0, len(_ERRORS) - 1
    if not (reached >= limits(high)).any():
        return 1.0
    if (reached >= limits(low)).any():
        return _ERRORS[low]
    while high - low > 1:  # limits are made for the errors that are asked for alone
        middle = (low + high) // 2
        low, high = (low, middle) if (reached >= limits(middle)).any() else (middle, high)
    apart = ((limits(low) - reached) / (limits(low) - limits(high))).min()
    return float(_ERRORS[low] * (_ERRORS[high] / _ERRORS[low]) ** apart)


_ERRORS = (
    *(1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04),
    *(0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.99),
)
"""Between which a repeated p-value is interpolated."""
