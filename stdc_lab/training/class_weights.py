"""Weights of the classes in the cross-entropy, by how often each occurs in the training labels."""

from __future__ import annotations

import numpy as np

from stdc_lab.data import IGNORE_LABEL, Pixels

ENET_OFFSET = 1.02
"""Keeps the weight of the rarest class at about 50 and that of a class of all pixels at 1.4."""
_LABELS = 256


def class_shares(labels: Pixels, num_classes: int) -> np.ndarray:
    """The share of each class in the labelled pixels of N×H×W labels; 0 where it does not occur."""
    counts = np.zeros(_LABELS, np.int64)
    for one in labels:  # an image at a time: the labels may lie on a disk
        counts += np.bincount(np.asarray(one).ravel(), minlength=_LABELS)
    counts[IGNORE_LABEL] = 0
    return counts[:num_classes] / max(1, int(counts.sum()))


def enet_weights(labels: Pixels, num_classes: int) -> np.ndarray:
    """1/ln(1.02 + share) of each class, float32: of Paszke et al., *ENet* (arXiv 1606.02147), section 5.2."""
    return (1 / np.log(ENET_OFFSET + class_shares(labels, num_classes))).astype(np.float32)


def total_weight(labels: Pixels, weights: np.ndarray | None) -> float:
    """The sum of the weights of all labelled pixels; their number without weights."""
    if weights is None:
        return float((labels != IGNORE_LABEL).sum())
    table = np.zeros(_LABELS)
    table[: len(weights)] = weights
    return float(np.bincount(np.asarray(labels).ravel(), minlength=_LABELS) @ table)
