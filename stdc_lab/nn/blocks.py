"""The parts that every network here is made of: ConvX and the STDC module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ConvBNReLU(nn.Sequential):
    """ConvX (section 3.1): convolution without bias, batch norm, ReLU. N×C×H×W → N×C'×⌈H/s⌉×⌈W/s⌉."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)


class StdcModule(nn.Module):
    """A short-term dense concatenate module (section 3.1, figure 3): blocks in a row, all outputs concatenated.

    N×C×H×W → N×sum(block_widths)×⌈H/stride⌉×⌈W/stride⌉. At stride 2 the released form is built: a depthwise
    3×3 convolution with batch norm halves the input of block 2, and block 1 reaches the fusion through a
    3×3 average pooling. (The paper draws the stride on block 2 itself.)
    """

    def __init__(self, in_channels: int, block_widths: Sequence[int], kernels: Sequence[int], stride: int) -> None:
        super().__init__()
        inputs = [in_channels, *block_widths[:-1]]
        self.blocks = nn.ModuleList(
            ConvBNReLU(wide, out, kernel) for wide, out, kernel in zip(inputs, block_widths, kernels, strict=True)
        )
        self.downsample: nn.Module | None = None
        self.skip: nn.Module | None = None
        if stride == 2:
            first = block_widths[0]
            self.downsample = nn.Sequential()
            self.downsample.conv = nn.Conv2d(first, first, 3, stride=2, padding=1, groups=first, bias=False)
            self.downsample.bn = nn.BatchNorm2d(first)
            self.skip = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        first, *others = self.blocks
        head = first(features)
        current = head if self.downsample is None else self.downsample(head)
        outputs = [head if self.skip is None else self.skip(head)]
        for block in others:
            current = block(current)
            outputs.append(current)
        return torch.cat(outputs, dim=1)
