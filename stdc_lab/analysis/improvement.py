"""How much a candidate is expected to gain over what is known, by a surrogate's means and standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from stdc_lab.analysis.pareto import FloatArray, pareto_front


def expected_improvement(mean: Any, sd: Any, best: float, maximize: bool = True) -> FloatArray:
    """For each of N candidates, the mean of what its value is better than `best`, in the value's unit.

    mean, sd: N, of independent normal distributions; an `sd` of 0 is a value that is known.
    Raises ValueError for shapes that do not fit and for an `sd` below 0.
    """
    means, sds = _checked(mean, sd, 1)
    sign = 1.0 if maximize else -1.0
    return _expected_excess(-sign * means, sds, np.array(-sign * best))


def expected_hypervolume_improvement(
    mean: Any, sd: Any, front: Any, maximize: Sequence[bool], reference: Sequence[float]
) -> FloatArray:
    """For each of N candidates, the mean of what it adds to the hypervolume of two objectives; exact.

    mean, sd: N×2, of independent normal distributions; an `sd` of 0 is a value that is known, such as MACs.
    front: M×2, what is measured already; rows with NaN, dominated ones, and those not within `reference` do not count,
    and there may be none. maximize, reference: as of `hypervolume`, in whose unit the answer is.

    What a point adds is a sum over the strips between neighbours on the front, of each its width times its height;
    the two are independent, so the mean of the product is that of the means.
    Raises ValueError for shapes that do not fit, an `sd` below 0, or a reference that is not finite.
    """
    means, sds = _checked(mean, sd, 2)
    corner = np.asarray(reference, dtype=np.float64)
    if len(maximize) != 2 or corner.shape != (2,) or not np.isfinite(corner).all():
        raise ValueError(f"maximize, reference: got {maximize}, {reference}; allowed: two directions, finite numbers")
    points = np.asarray(front, dtype=np.float64).reshape(-1, 2)
    sign = np.where(np.asarray(maximize), -1.0, 1.0)
    losses, worst = points[pareto_front(points, maximize)] * sign, corner * sign
    losses = np.unique(losses[(losses < worst).all(axis=1)], axis=0)  # also in order of the first: the second falls
    ends = np.append(losses[:, 0], worst[0])
    below = np.append(worst[1], losses[:, 1])
    widths = _expected_excess((means * sign)[:, :1], sds[:, :1], ends)
    widths = np.diff(widths, axis=1, prepend=0.0)
    heights = _expected_excess((means * sign)[:, 1:], sds[:, 1:], below)
    return np.asarray((widths * heights).sum(axis=1))


def _expected_excess(mean: FloatArray, sd: FloatArray, limit: FloatArray) -> FloatArray:
    """Mean of max(limit − value, 0) for normal values; the shapes are broadcast."""
    room = limit - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.where(sd > 0, room / sd, 0.0)
    density = np.exp(-0.5 * scores**2) / np.sqrt(2 * np.pi)
    # Far beyond the limit the two terms cancel but for rounding.
    uncertain = np.maximum(room * special.ndtr(scores) + sd * density, 0.0)
    return np.where(sd > 0, uncertain, np.maximum(room, 0.0))


def _checked(mean: Any, sd: Any, columns: int) -> tuple[FloatArray, FloatArray]:
    means, sds = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64)
    fits = means.ndim == 1 if columns == 1 else means.ndim == 2 and means.shape[1] == columns
    if not fits or means.shape != sds.shape:
        what = "N numbers each" if columns == 1 else f"N×{columns} each"
        raise ValueError(f"mean, sd: got shapes {means.shape} and {sds.shape}; allowed: {what}")
    if (sds < 0).any():
        raise ValueError(f"sd: got {sds.min():g}; allowed: 0 or more")
    return means, sds
