"""Which points no other point beats, and how much a set of them covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
TUKEYS_FENCE = 3.0
"""By how many times the distance of its quartiles a value is beyond the upper one that is far out."""


def pareto_front(values: Any, maximize: Sequence[bool]) -> BoolArray:
    """A boolean for each of the N rows of `values` (N×M): True if no other row dominates it.

    A row dominates another if it is at least as good in every column and better in one. Equal rows stand
    or fall together. A row with NaN is never on the front and dominates nothing.

    maximize: for each of the M columns, whether more is better. Raises ValueError for shapes that do not fit.
    """
    points = _checked(values, maximize)
    front = np.zeros(len(points), dtype=np.bool_)
    measured = np.flatnonzero(~np.isnan(points).any(axis=1))
    if not len(measured):
        return front
    losses = _as_losses(points[measured], maximize)
    if losses.shape[1] == 1:  # moocore refuses a single column
        front[measured] = losses[:, 0] == losses.min()
    else:
        # Ranks order as the values do, and are finite: with infinite values in four columns moocore 0.3 errs.
        ranks = [np.unique(column, return_inverse=True)[1] for column in losses.T]
        front[measured] = moocore.is_nondominated(np.column_stack(ranks).astype(np.float64), keep_weakly=True)
    return front


def hypervolume(values: Any, maximize: Sequence[bool], reference: Sequence[float]) -> float:
    """Volume of what the rows of `values` (N×M) dominate within `reference`, in the product of the columns' units.

    Rows that are not better than `reference` in every column add nothing, nor do rows with NaN; no rows give 0.

    reference: M numbers, a point that is worse than what is of interest, such as mIoU 0 at 100 ms.
    Raises ValueError for shapes that do not fit, or a reference that is not finite.
    """
    points = _checked(values, maximize)
    corner = np.asarray(reference, dtype=np.float64)
    if corner.shape != (len(maximize),):
        raise ValueError(
            f"reference: got shape {corner.shape}; allowed: one number for each of {len(maximize)} columns"
        )
    if not np.isfinite(corner).all():
        raise ValueError(f"reference: got {corner.tolist()}; allowed: finite numbers")
    corner_losses = _as_losses(corner[np.newaxis], maximize)
    losses = _as_losses(points[~np.isnan(points).any(axis=1)], maximize)
    losses = losses[(losses < corner_losses).all(axis=1)]
    if not len(losses):
        return 0.0
    if losses.shape[1] == 1:
        return float(corner_losses[0, 0] - losses.min())
    return float(moocore.hypervolume(losses, ref=corner_losses[0]))


def hypervolume_growth(values: Any, maximize: Sequence[bool], last: int) -> float:
    """By what share of what it was the `last` rows of `values` (N×M) have made the hypervolume grow.

    The reference is the worst that any row has in each column, but what is far out (Tukey's outer fence: three times
    the quartiles' distance beyond the upper one), and a tenth of what is left of the column's range beyond, so that no
    unit, no choice of a corner and no single bad row decides. What lies beyond it adds nothing. NaN if no row before
    the last ones is complete: there is nothing to grow. Infinite if none of them is within the reference, and a last
    one is.
    """
    points = _checked(values, maximize)
    measured = points[~np.isnan(points).any(axis=1)]
    before = points[: max(0, len(points) - last)]
    if not len(measured) or np.isnan(before).any(axis=1).all():
        return float("nan")
    losses = _as_losses(measured, maximize)
    lower, upper = np.quantile(losses, (0.25, 0.75), axis=0)
    within = losses <= upper + TUKEYS_FENCE * (upper - lower)
    worst = np.where(within, losses, -np.inf).max(axis=0)
    spread = worst - losses.min(axis=0)
    corner = worst + np.where(spread > 0, spread / 10, 1.0)
    reference = [float(value) for value in np.where(np.asarray(maximize), -corner, corner)]
    was, now = hypervolume(before, maximize, reference), hypervolume(points, maximize, reference)
    if was == 0:
        return float("inf") if now > 0 else 0.0
    return now / was - 1


def _as_losses(points: FloatArray, maximize: Sequence[bool]) -> FloatArray:
    """A copy of which every column is to be minimised."""
    return np.ascontiguousarray(np.where(np.asarray(maximize, dtype=np.bool_), -points, points))


def _checked(values: Any, maximize: Sequence[bool]) -> FloatArray:
    points = np.asarray(values, dtype=np.float64)
    if points.size == 0 and points.ndim < 2:
        points = points.reshape(0, len(maximize))
    if points.ndim != 2 or points.shape[1] != len(maximize) or not len(maximize):
        raise ValueError(
            f"values: got shape {points.shape}; allowed: N rows of {len(maximize)} columns, as in maximize"
        )
    return points
