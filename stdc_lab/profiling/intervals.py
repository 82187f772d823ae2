"""What repeated timings say of their median, although each resembles the one before it.

The estimand is the median of the process: what half of all calls stay below, on this machine in this state. Where the
machine drifts, that is the median of the window in which it was timed.

Calls in a row meet the same state of the machine, so a hundred of them may say no more than ten that are far apart.
Timings therefore come in blocks with a gap between them, and it is the blocks that are counted. The interval is
Woodruff's (1952, for quantiles of samples drawn in clusters): of each block, the share of calls below the common
median; from how these shares differ, how far off one half may be; the quantiles of all calls at the two ends. It
supposes nothing of the distribution of a call, so spikes do not move it. Where neighbouring blocks are still alike it
is widened as their autocorrelation asks. `benchmarks/latency_coverage.py` shows how often it holds.
"""

from __future__ import annotations

import numpy as np
from scipy import special

NOISY_SPREAD = 0.1
MOST_ALIKE = 0.6
"""Neighbouring blocks more alike than this are taken for a drift: the interval is then of the window's median."""
LOOKS = (0.05, 0.0294, 0.0221, 0.0182, 0.0158, 0.0142, 0.0130, 0.0120, 0.0112, 0.0106)
"""Error of a single look so that all 1, 2 … 10 looks together err in 5 % (Pocock, 1977)."""
INTERVAL_IS = (
    "95 % interval of the median of the process, under drift of the window: Woodruff's, with blocks of calls as "
    "clusters; every look that could end the timing is paid for (Pocock)"
)


def confidence_of_look(looks: int) -> float:
    """Confidence of the interval at each of so many looks (1 to 10), one of which is kept: together 95 %."""
    return 1 - LOOKS[looks - 1]


def median_interval(
    values: np.ndarray, blocks: np.ndarray | None = None, confidence: float = 0.95
) -> tuple[float, float]:
    """Confidence interval of the median of timings (a vector) that came in blocks.

    blocks: the block of each value, equal numbers standing beside each other; None: each value is one by itself. With
    few blocks the interval may be the whole range, which is as much as they can tell: of fewer than six it always is.
    """
    values = np.asarray(values, float)
    labels = np.arange(len(values)) if blocks is None else np.asarray(blocks)
    _, first = np.unique(labels, return_index=True)
    ordered = np.sort(values)
    if len(first) < 6:
        return float(ordered[0]), float(ordered[-1])
    median = np.median(values)
    below = np.add.reduceat((values < median) + 0.5 * (values == median), first)
    shares = below / np.diff([*first, len(values)])
    half_width = max(
        float(special.stdtrit(len(shares) - 1, (1 + confidence) / 2)) * _error_of_mean(shares),
        # Never surer than of independent calls: blocks may be alike by chance, or where slow and fast calls alternate.
        float(special.ndtri(0.975)) * 0.5 / np.sqrt(len(values)),
    )
    ends = np.clip([0.5 - half_width, 0.5 + half_width], 0, 1)
    low, high = np.quantile(ordered, ends, method="hazen")
    return float(low), float(high)


def precision_of(values: np.ndarray, blocks: np.ndarray | None = None, confidence: float = 0.95) -> float:
    """How far the farther end of the median's interval is from the median, over the median."""
    median = float(np.median(values))
    low, high = median_interval(values, blocks, confidence)
    return max(high - median, median - low) / median if median else 0.0


def spread_of(values: np.ndarray) -> float:
    """Interquartile range over median."""
    q1, median, q3 = (float(v) for v in np.percentile(values, [25, 50, 75]))
    return (q3 - q1) / median if median else 0.0


def is_noisy(values: np.ndarray, precision: float, blocks: np.ndarray | None = None, confidence: float = 0.95) -> bool:
    """Whether the median is known less well than asked for, or the timings scatter."""
    return precision_of(values, blocks, confidence) > precision or spread_of(values) > NOISY_SPREAD


def _error_of_mean(shares: np.ndarray) -> float:
    """Standard error of the mean of a stationary series, one number a block."""
    count = len(shares)
    differences = shares - shares.mean()
    squares = float(differences @ differences)
    if squares == 0:
        return 0.0
    alike = float(differences[1:] @ differences[:-1]) / squares
    # Of so short a series it is estimated too low, by (1 + 3 × it) / count (Kendall, 1954; Marriott and Pope, 1954).
    alike = min(max((alike * count + 1) / (count - 3), 0.0), MOST_ALIKE)
    return float(np.sqrt(squares / (count - 1) / count * (1 + alike) / (1 - alike)))
