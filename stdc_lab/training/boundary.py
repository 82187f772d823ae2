"""How well the edges of each class are met: the boundary F-score."""

from __future__ import annotations

import math

import cv2
import numpy as np

from stdc_lab.data import IGNORE_LABEL, Pixels

TOLERANCE = 0.0075
"""As far from each other two boundaries may lie and still match, as a share of the image's diagonal."""
_ROUNDING = 1e-4
"""Distances are roots of whole numbers, in 32 bit: one that equals the tolerance must not miss it by a rounding."""


class BoundaryScore:
    """Boundary precision, recall and F-score by class, image after image.

    After Csurka, Larlus, Perronnin: What is a good evaluation measure for semantic segmentation? (2013), and the
    contour measure of DAVIS (2016). Exactly:

    - Pixels labelled `IGNORE_LABEL` are left out, in the labels and in the prediction.
    - A *boundary pixel* of class c is a pixel of c one of whose four neighbours is in the image, is not left out, and
      is of another class. So neither the image's border nor an edge against ignored pixels is a boundary.
    - Two boundary pixels of a class, one of the label and one of the prediction, *match* if the Euclidean distance of
      their centres is at most `TOLERANCE` (0.75 %) of the image's diagonal, in pixels, not rounded: 2.25 pixels at
      180×240. Many may match one.
    - In an image, the *precision* of c is the share of its predicted boundary pixels that match one of the label; the
      *recall* is the share of its labelled boundary pixels that match one of the prediction; the *F-score* is
      2 · precision · recall / (precision + recall), and 0 where either is missing or nothing matches.
    - The precision of a class is the mean over the images where it is predicted with a boundary, the recall over those
      where it is labelled with one, the F-score over those where either is so. An image in which c has a boundary in
      neither says nothing of it, even if c covers all of it.
    - `mean` is the unweighted mean of the F-scores over the classes that have one.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._sums = np.zeros((3, num_classes))
        self._images = np.zeros((3, num_classes), dtype=np.int64)

    def add(self, labels: Pixels, predictions: Pixels) -> None:
        """Count one image: class ids H×W each, labels with `IGNORE_LABEL` where there is none."""
        counted = labels != IGNORE_LABEL
        tolerance = TOLERANCE * math.hypot(*labels.shape)
        true_edge, seen_edge = boundary(labels, counted), boundary(predictions, counted)
        for index in range(self.num_classes):
            true, seen = true_edge & (labels == index), seen_edge & (predictions == index)
            precision, recall = _share_near(seen, true, tolerance), _share_near(true, seen, tolerance)
            if precision is None and recall is None:
                continue
            both = (precision or 0.0) + (recall or 0.0)
            score = 2 * (precision or 0.0) * (recall or 0.0) / both if both else 0.0
            for row, value in enumerate((precision, recall, score)):
                if value is not None:
                    self._sums[row, index] += value
                    self._images[row, index] += 1

    def class_precision(self) -> np.ndarray:
        """Mean precision of each class, 0 to 1; NaN for a class that was never predicted with a boundary."""
        return self._means(0)

    def class_recall(self) -> np.ndarray:
        """Mean recall of each class, 0 to 1; NaN for a class that was never labelled with a boundary."""
        return self._means(1)

    def class_f(self) -> np.ndarray:
        """Mean F-score of each class, 0 to 1; NaN for a class that never had a boundary."""
        return self._means(2)

    def mean(self) -> float:
        """Mean of `class_f` over the classes that have one; NaN if none has."""
        scores = self.class_f()
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")

    def _means(self, row: int) -> np.ndarray:
        images = self._images[row]
        means: np.ndarray = np.divide(self._sums[row], images, out=np.full(len(images), np.nan), where=images > 0)
        return means


def boundary(classes: Pixels, counted: np.ndarray) -> np.ndarray:
    """H×W, true where one of the four neighbours is of another class and both pixels are `counted` (H×W, bool)."""
    edge = np.zeros(classes.shape, dtype=bool)
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = (classes[near] != classes[far]) & counted[near] & counted[far]
        edge[near] |= differs
        edge[far] |= differs
    return edge


def _share_near(these: np.ndarray, those: np.ndarray, tolerance: float) -> float | None:
    """The share of `these` pixels (H×W, bool) within `tolerance` pixels of one of `those`; None if there are none."""
    number = int(these.sum())
    if not number:
        return None
    window = tuple(_around(np.flatnonzero(these.any(axis=axis)), math.ceil(tolerance)) for axis in (1, 0))
    these, those = these[window], those[window]  # no further away is anything that could match
    if not those.any():
        return 0.0
    distance = cv2.distanceTransform((~those).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return int((distance[these] <= tolerance + _ROUNDING).sum()) / number


def _around(indices: np.ndarray, margin: int) -> slice:
    return slice(max(0, int(indices[0]) - margin), int(indices[-1]) + margin + 1)
