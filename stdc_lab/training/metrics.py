"""mIoU from one confusion matrix over a whole validation set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stdc_lab.data import IGNORE_LABEL


class ConfusionMatrix:
    """Counts of (label, prediction) pairs; what is labelled `ignore_label` is left out.

    counts: classes×classes, int64; rows are labels, columns are predictions.
    """

    def __init__(self, num_classes: int, ignore_label: int = IGNORE_LABEL) -> None:
        self.num_classes, self.ignore_label = num_classes, ignore_label
        self.counts = np.zeros((num_classes, num_classes), dtype=np.int64)

    def add(self, labels: Tensor, predictions: Tensor) -> None:
        """Count a batch: class ids of any shape, labels with `ignore_label` where there is none."""
        # Ignored pixels go to a row of their own, cut off afterwards: cheaper than indexing by a mask.
        rows = torch.where(labels == self.ignore_label, self.num_classes, labels).to(torch.int64)
        pairs = rows * self.num_classes + predictions.to(torch.int64)
        size = (self.num_classes + 1) * self.num_classes
        counts = torch.bincount(pairs.flatten(), minlength=size).reshape(self.num_classes + 1, self.num_classes)
        self.counts += counts[: self.num_classes].cpu().numpy()

    def class_iou(self) -> np.ndarray:
        """IoU of each class, 0 to 1; NaN for a class that neither labels nor predictions hold."""
        hits = np.diag(self.counts).astype(float)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        iou: np.ndarray = np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)
        return iou

    def miou(self) -> float:
        """Mean of `class_iou` over the classes that occur; NaN if nothing was counted."""
        iou = self.class_iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels predicted right; NaN if there are none."""
        total = self.counts.sum()
        return float(np.diag(self.counts).sum() / total) if total else float("nan")
