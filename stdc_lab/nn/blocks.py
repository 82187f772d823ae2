"""The parts that networks of several families are made of: ConvX, what enlarges features, and a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvBNReLU(nn.Sequential):
    """ConvX (section 3.1): convolution without bias, unless one is asked for, batch norm, ReLU.

    N×C×H×W → N×C'×⌈H/s⌉×⌈W/s⌉.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)


class Smoothing(ConvBNReLU):
    """Features enlarged to another map's size, then a 3×3 ConvX. N×C×h×w, N×?×H×W → N×C×H×W."""

    def __init__(self, channels: int, interpolation: str) -> None:
        super().__init__(channels, channels)
        self.interpolation = interpolation

    def forward(self, features: Tensor, like: Tensor) -> Tensor:  # type: ignore[override]
        smoothed: Tensor = super().forward(self.enlarged(features, like))  # type: ignore[no-untyped-call]
        return smoothed

    def enlarged(self, features: Tensor, like: Tensor) -> Tensor:
        """Features N×C×h×w at the height and width of another map."""
        corners = True if self.interpolation == "bilinear" else None
        return functional.interpolate(features, like.shape[2:], mode=self.interpolation, align_corners=corners)


class ConvBN(nn.Sequential):
    """A convolution without bias and batch norm, no ReLU. N×C×H×W → N×C'×⌈H/s⌉×⌈W/s⌉."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        if self.conv.groups > 1 and self.training and _low_precision_on_cpu(features):
            # oneDNN's gradient of a depthwise convolution takes seven times as long in bfloat16 as in float32.
            with torch.autocast("cpu", enabled=False):
                convolved = self.conv(features.float()).to(features.dtype)
        else:
            convolved = self.conv(features)
        normed: Tensor = self.bn(convolved)
        return normed


class Head(nn.Module):
    """A 3×3 ConvX and a 1×1 convolution to classes, or to one detail logit. N×C×H×W → N×K×H×W."""

    def __init__(self, in_channels: int, width: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, width)
        self.classes = nn.Conv2d(width, outputs, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.conv(features))
        return logits


def enlarge(features: Tensor, like: Tensor) -> Tensor:
    """Features N×C×h×w at the height and width of another map, bilinearly, corners not aligned."""
    return functional.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False)


def _low_precision_on_cpu(features: Tensor) -> bool:
    return features.device.type == "cpu" and torch.is_autocast_enabled("cpu")
