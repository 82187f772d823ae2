"""Weights as the released code keeps them, random ones."""

import pytest
import torch

from tests.nn.released_weights import DEPTHS, segmenter_shapes, weights


@pytest.fixture(scope="module")
def segmenter_state() -> dict[str, torch.Tensor]:
    return weights(segmenter_shapes(16, DEPTHS, classes=3))
