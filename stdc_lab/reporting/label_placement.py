"""Where labels go so that they cover neither each other nor the marks: a greedy search, good for a few dozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

DIRECTIONS = ((-0.7, 0.7), (0.0, 1.0), (-1.0, 0.0), (0.7, 0.7), (-0.7, -0.7), (1.0, 0.0), (0.0, -1.0), (0.7, -0.7))
"""From a mark towards its label, the most welcome first: above and left of a front there is nothing."""
DISTANCES = (1.0, 2.2, 4.0, 6.5)


class Box(NamedTuple):
    """A rectangle in pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    bounds: Box,
    obstacles: Sequence[tuple[float, float]] = (),
    gap: float = 8.0,
) -> list[tuple[float, float]]:
    """Centres of the labels, in pixels, one for each anchor.

    anchors: the marks to be labelled. sizes: width and height of each label. bounds: where labels may be.
    obstacles: further points that should stay visible. gap: room between a mark and its label, in pixels.
    """
    centres = [(float(x), float(y)) for x, y in anchors]
    boxes: list[Box | None] = [None] * len(anchors)
    points = np.array([*anchors, *obstacles], dtype=np.float64).reshape(-1, 2)
    for _ in range(2):  # the second round sees all labels, the first only those before
        for index, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
            others = [box for other, box in enumerate(boxes) if other != index and box is not None]
            _, centres[index] = min(
                (_cost(rank, centre, size, bounds, others, points, gap), centre)
                for rank, centre in enumerate(_candidates(anchor, size, gap))
            )
            boxes[index] = _box(centres[index], size)
    return centres


def overlap(one: Box, other: Box) -> float:
    """Area that two boxes share, in square pixels."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.top, other.top) - max(one.bottom, other.bottom)
    return max(0.0, width) * max(0.0, height)


def _candidates(anchor: tuple[float, float], size: tuple[float, float], gap: float) -> Iterator[tuple[float, float]]:
    for distance in DISTANCES:
        for right, up in DIRECTIONS:
            yield (
                anchor[0] + right * (size[0] / 2 + gap * distance),
                anchor[1] + up * (size[1] / 2 + gap * distance),
            )


def _cost(
    rank: int,
    centre: tuple[float, float],
    size: tuple[float, float],
    bounds: Box,
    others: Sequence[Box],
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    gap: float,
) -> float:
    """What speaks against a place, in label areas: leaving the bounds, covering labels, covering points, distance."""
    box = _box(centre, size)
    area = size[0] * size[1]
    outside = 1 - overlap(box, bounds) / area
    covered = sum(overlap(box, other) for other in others) / area
    x, y = points[:, 0], points[:, 1]
    margin = gap / 2
    hit = (
        (x > box.left - margin) & (x < box.right + margin) & (y > box.bottom - margin) & (y < box.top + margin)
    ).sum()
    return float(100 * outside + 40 * covered + 3 * hit) + 0.1 * rank


def _box(centre: tuple[float, float], size: tuple[float, float]) -> Box:
    (x, y), (width, height) = centre, size
    return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
