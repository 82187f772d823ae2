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


class StdcModule(nn.Module):
    """A short-term dense concatenate module (section 3.1, figure 3): blocks in a row, all outputs concatenated.

    N×C×H×W → N×sum(block_widths)×⌈H/stride⌉×⌈W/stride⌉.

    At stride 2 the input of block 2 is halved by a depthwise 3×3 convolution with batch norm (`downsample`
    "depthwise", the released code), or block 2 has the stride itself ("strided", the paper's drawing). Block 1 reaches
    the concatenation through a 3×3 average pooling.

    With `fusion` "add" the module's input is added to the concatenation (the released code's AddBottleneck, without
    a ReLU after the sum). At stride 2, "depthwise": block 1 enters the concatenation as the depthwise convolution
    leaves it, and the input passes a depthwise 3×3 stride-2 convolution and a 1×1 convolution, each with batch norm.
    "strided", a form of our own that has no depthwise convolution either: block 1 is pooled as in "cat", and the input
    passes the same pooling and a 1×1 convolution with batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        block_widths: Sequence[int],
        kernels: Sequence[int],
        stride: int,
        fusion: str = "cat",
        downsample: str = "depthwise",
    ) -> None:
        super().__init__()
        halves = stride == 2
        depthwise = halves and downsample == "depthwise"
        inputs = [in_channels, *block_widths[:-1]]
        strides = [1] * len(block_widths)
        if halves and not depthwise:
            strides[1] = 2
        self.blocks = nn.ModuleList(
            ConvBNReLU(wide, out, kernel, step)
            for wide, out, kernel, step in zip(inputs, block_widths, kernels, strides, strict=True)
        )
        self.downsample: nn.Module | None = None
        self.pool: nn.Module | None = None
        self.residual: nn.Module | None = None
        if depthwise:
            first = block_widths[0]
            self.downsample = ConvBN(first, first, 3, stride=2, groups=first)
        if halves and not (depthwise and fusion == "add"):
            self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        if fusion == "add":
            self.residual = _residual(in_channels, sum(block_widths), halves, depthwise)

    def forward(self, features: Tensor) -> Tensor:
        first, *others = self.blocks
        head = first(features)
        current = head if self.downsample is None else self.downsample(head)
        # With neither pooling nor halving, `current` is block 1's output itself.
        outputs = [current if self.pool is None else self.pool(head)]
        for block in others:
            current = block(current)
            outputs.append(current)
        fused = torch.cat(outputs, dim=1)
        return fused if self.residual is None else fused + self.residual(features)


def _low_precision_on_cpu(features: Tensor) -> bool:
    return features.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def _residual(in_channels: int, out_channels: int, halves: bool, depthwise: bool) -> nn.Module:
    if not halves:
        return nn.Identity()
    smaller: nn.Module
    if depthwise:
        smaller = ConvBN(in_channels, in_channels, 3, stride=2, groups=in_channels)
    else:
        smaller = nn.AvgPool2d(3, stride=2, padding=1)
    residual = nn.Sequential()
    residual.smaller = smaller
    residual.wider = ConvBN(in_channels, out_channels, 1)
    return residual
