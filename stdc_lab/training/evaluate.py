"""A network and a validation set → confusion matrix and sample predictions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from stdc_lab.data import IMAGE_MEAN, IMAGE_STD, Split
from stdc_lab.training.metrics import ConfusionMatrix


def to_input(images: np.ndarray, device: torch.device) -> Tensor:
    """N×H×W×3 uint8 RGB → N×3×H×W float32 on the device, normalised, channels-last in memory."""
    tensor = torch.from_numpy(np.array(images)).to(device)  # a copy: the cache is mapped read-only
    mean = torch.tensor(IMAGE_MEAN, device=device, dtype=torch.float32) * 255
    std = torch.tensor(IMAGE_STD, device=device, dtype=torch.float32) * 255
    # An N×H×W×3 array seen as N×3×H×W already is channels-last: no copy.
    return ((tensor.float() - mean) / std).permute(0, 3, 1, 2)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside the block; the mode before it afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(training)


def predict(network: nn.Module, images: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Class ids N×H×W (int64, on the device) of N×H×W×3 uint8 RGB images."""
    with evaluating(network), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        logits: Tensor = network(to_input(images, device)).logits
        return logits.argmax(dim=1)


def evaluate(
    network: nn.Module,
    split: Split,
    num_classes: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    batch_size: int = 8,
) -> ConfusionMatrix:
    """One confusion matrix over all images of a split, at the size of its labels."""
    matrix = ConfusionMatrix(num_classes)
    for start in range(0, len(split), batch_size):
        chosen = slice(start, start + batch_size)
        predictions = predict(network, split.images[chosen], device, dtype)
        labels = torch.from_numpy(np.array(split.labels[chosen])).to(device)
        matrix.add(labels, predictions)
    return matrix
