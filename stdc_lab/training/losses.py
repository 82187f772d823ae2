"""Cross-entropy on main and auxiliary logits, and the detail loss (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stdc_lab.config.training import LossWeights
from stdc_lab.data import IGNORE_LABEL
from stdc_lab.nn import SegOutput

FUSION_WEIGHTS = (0.6, 0.3, 0.1)
THRESHOLD = 0.1
DICE_SMOOTHING = 1.0


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of N×C×H×W logits over the labelled pixels of N×H×W labels; 0 if there are none."""
    # Pixels as rows: the two-dimensional kernel of CUDA is not deterministic, this one is.
    rows = logits.permute(0, 2, 3, 1).flatten(0, 2)
    total = functional.cross_entropy(rows, labels.flatten(), ignore_index=IGNORE_LABEL, reduction="sum")
    return total / (labels != IGNORE_LABEL).sum().clamp(min=1)


def detail_targets(labels: Tensor, strides: Sequence[int] = (1, 2, 4)) -> Tensor:
    """Where the detail heads shall see an edge: N×H×W labels → N×1×H×W of 0 and 1, as released.

    A Laplacian over the label map at each stride, negative responses cut, brought to full size (nearest),
    thresholded, weighed and thresholded again. As in the release the target is one-sided (it depends on the
    order of the class ids), takes the ignore label for a class, and marks the image's border.
    """
    image = labels.unsqueeze(1).float()
    kernel = -torch.ones(1, 1, 3, 3, device=labels.device)
    kernel[..., 1, 1] = 8
    fused = torch.zeros_like(image)
    for weight, stride in zip(FUSION_WEIGHTS, strides, strict=True):
        edges = functional.conv2d(image, kernel, stride=stride, padding=1).clamp(min=0)
        edges = functional.interpolate(edges, size=image.shape[2:], mode="nearest")
        fused += torch.tensor(weight) * (edges > THRESHOLD)
    return (fused > torch.tensor(THRESHOLD)).float()


def detail_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(binary cross-entropy, dice) of N×1×h×w detail logits against N×1×H×W targets.

    The logits are brought to the targets' size bilinearly, corners aligned. Dice is averaged over images.
    """
    logits = functional.interpolate(logits.float(), size=targets.shape[2:], mode="bilinear", align_corners=True)
    bce = functional.binary_cross_entropy_with_logits(logits, targets)
    probabilities, wanted = torch.sigmoid(logits).flatten(1), targets.flatten(1)
    overlap = (probabilities * wanted).sum(1)
    total = probabilities.sum(1) + wanted.sum(1)
    dice = 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return bce, dice.mean()


def training_loss(output: SegOutput, labels: Tensor, weights: LossWeights) -> Tensor:
    """The weighted sum of all terms that the network's heads call for."""
    loss = weights.main * cross_entropy(output.logits.float(), labels)
    for auxiliary in output.auxiliary:
        loss = loss + weights.auxiliary * cross_entropy(auxiliary.float(), labels)
    if output.details:
        targets = detail_targets(labels)
        for logits in output.details:
            bce, dice = detail_loss(logits, targets)
            loss = loss + weights.detail_bce * bce + weights.detail_dice * dice
    return loss
