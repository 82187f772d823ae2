"""Cross-entropy on main and auxiliary logits, and the detail loss (section 3.3 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from stdc_lab.config.training import LossConfig
from stdc_lab.data import IGNORE_LABEL
from stdc_lab.nn import SegOutput

FUSION_WEIGHTS = {1: 0.6, 2: 0.3, 4: 0.1}
"""Released weight of the edges seen at each stride."""
THRESHOLD = 0.1
DICE_SMOOTHING = 1.0


def cross_entropy(
    logits: Tensor, labels: Tensor, labelled: Tensor | float | None = None, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of N×C×H×W logits over the labelled pixels of N×H×W labels; 0 if there are none.

    weights: of the C classes, float32; the mean is then over them. labelled: what to divide by in place of this
    batch's own count (or sum of weights), where it is a part of a larger one.
    """
    total = _pixel_losses(logits, labels, weights=weights).sum()
    if labelled is None:
        counted = labels != IGNORE_LABEL
        labelled = counted.sum() if weights is None else weights[labels[counted].long()].sum()
    divisor = torch.as_tensor(labelled, device=total.device)
    return total / torch.where(divisor > 0, divisor, 1)  # may be less than 1: a pixel or two over several parts


def ohem_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    threshold: float = 0.7,
    min_kept: int | None = None,
    ignore_label: int = IGNORE_LABEL,
) -> Tensor:
    """Mean cross-entropy of N×C×H×W logits over the hard pixels of N×H×W labels, as released.

    Hard is a pixel whose own class has a probability below `threshold`. If no more than `min_kept` are (default: one
    in 16), the `min_kept` hardest count; ignored pixels then count as the easiest there are, with loss 0.
    """
    losses = _pixel_losses(logits, labels, ignore_label)
    if min_kept is None:
        min_kept = losses.numel() // 16
    min_kept = max(1, min(min_kept, losses.numel()))
    hard = losses[losses > -math.log(threshold)]
    return hard.mean() if hard.numel() > min_kept else losses.topk(min_kept).values.mean()


def detail_targets(
    labels: Tensor,
    form: Literal["released", "corrected"] = "released",
    strides: Sequence[int] = (1, 2, 4),
    weights: Tensor | None = None,
) -> Tensor:
    """Where the detail heads shall see an edge: N×H×W labels → N×1×H×W of 0 and 1.

    Edges are looked for at each stride, brought to full size (nearest), weighed (by 0.6, 0.3, 0.1, scaled to sum 1
    over the strides that are used, or by `weights`), and kept where the sum exceeds 0.1.

    released: an edge is where a Laplacian over the class ids responds positively. So the target is one-sided (it
    depends on the order of the ids), takes the ignore label for a class, and marks the image's border.
    corrected: an edge is where a labelled pixel has a labelled neighbour of another class.
    """
    find = _released_edges if form == "released" else _corrected_edges
    if weights is None:
        chosen = [FUSION_WEIGHTS[stride] for stride in strides]
        weights = torch.tensor([weight / sum(chosen) for weight in chosen], device=labels.device)
    fused = torch.zeros_like(labels, dtype=torch.float32).unsqueeze(1)
    for weight, stride in zip(weights.detach(), strides, strict=True):
        edges = find(labels.unsqueeze(1), stride).float()
        fused += weight * functional.interpolate(edges, size=fused.shape[2:], mode="nearest")
    return (fused > torch.tensor(THRESHOLD)).float()


def detail_loss(
    logits: Tensor, targets: Tensor, weighting: Literal["none", "balanced"] = "none"
) -> tuple[Tensor, Tensor]:
    """(binary cross-entropy, dice) of N×1×h×w detail logits against N×1×H×W targets.

    The logits are brought to the targets' size bilinearly, corners aligned. Dice is averaged over images. `balanced`
    weighs each pixel's cross-entropy by the share of the other class (the paper's "weighted" cross-entropy).
    """
    logits = functional.interpolate(logits.float(), size=targets.shape[2:], mode="bilinear", align_corners=True)
    pixel_weights = None
    if weighting == "balanced":
        edge_share = targets.mean()
        pixel_weights = torch.where(targets > 0, 1 - edge_share, edge_share)
    bce = functional.binary_cross_entropy_with_logits(logits, targets, weight=pixel_weights)
    probabilities, wanted = torch.sigmoid(logits).flatten(1), targets.flatten(1)
    overlap = (probabilities * wanted).sum(1)
    total = probabilities.sum(1) + wanted.sum(1)
    dice = 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return bce, dice.mean()


def training_loss(
    output: SegOutput,
    labels: Tensor,
    config: LossConfig,
    *,
    labelled: Tensor | float | None = None,
    fusion_weights: Tensor | None = None,
    class_weights: Tensor | None = None,
) -> Tensor:
    """The weighted sum of all terms that the network's heads call for.

    labelled: labelled pixels of the whole batch (or the sum of their weights) over its number of parts, where this is
    one part of it. class_weights: of the C classes, where the config asks for them.
    fusion_weights: of the detail targets' strides, where they are not fixed.
    """

    def pixels(logits: Tensor) -> Tensor:
        if config.cross_entropy == "ohem":
            kept = int(labels.numel() * config.ohem_min_kept)
            return ohem_cross_entropy(logits.float(), labels, config.ohem_threshold, kept)
        return cross_entropy(logits.float(), labels, labelled, class_weights)

    loss = config.main * pixels(output.logits)
    for auxiliary in output.auxiliary:
        loss = loss + config.auxiliary * pixels(auxiliary)
    if output.details:
        targets = detail_targets(labels, config.detail_target, config.detail_target_strides, fusion_weights)
        for logits in output.details:
            bce, dice = detail_loss(logits, targets, config.detail_weighting)
            loss = loss + config.detail_bce * bce + config.detail_dice * dice
    return loss


def _pixel_losses(
    logits: Tensor, labels: Tensor, ignore_label: int = IGNORE_LABEL, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of every pixel, as a vector; 0 where it is ignored."""
    if logits.device.type == "cpu":
        # Channel by channel in memory: a third of the time of pixels as rows.
        return functional.cross_entropy(
            logits.contiguous(), labels, weights, ignore_index=ignore_label, reduction="none"
        ).flatten()
    # Pixels as rows: the two-dimensional kernel of CUDA is not deterministic, this one is.
    rows = logits.permute(0, 2, 3, 1).flatten(0, 2)
    return functional.cross_entropy(rows, labels.flatten(), weights, ignore_index=ignore_label, reduction="none")


def _released_edges(labels: Tensor, stride: int) -> Tensor:
    kernel = -torch.ones(1, 1, 3, 3, device=labels.device)
    kernel[..., 1, 1] = 8
    return functional.conv2d(labels.float(), kernel, stride=stride, padding=1) > THRESHOLD


def _corrected_edges(labels: Tensor, stride: int) -> Tensor:
    ignored = labels == IGNORE_LABEL
    ids = labels.float()
    # Padding and ignored pixels never are the largest or the smallest id of a neighbourhood.
    largest = functional.max_pool2d(ids.masked_fill(ignored, -math.inf), 3, stride, padding=1)
    smallest = -functional.max_pool2d((-ids).masked_fill(ignored, -math.inf), 3, stride, padding=1)
    return (largest > smallest) & ~ignored[..., ::stride, ::stride]
