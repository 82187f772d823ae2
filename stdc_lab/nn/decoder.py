"""From backbone features to logits: attention refinement, feature fusion, heads (section 3.2 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec
from stdc_lab.nn.blocks import ConvBNReLU


class AttentionRefinement(nn.Module):
    """A 3×3 ConvX whose channels are weighed by their global mean. N×C×H×W → N×C'×H×W."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, out_channels)
        self.attention = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.attention_bn = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        pooled = functional.adaptive_avg_pool2d(features, 1)
        weights = torch.sigmoid(self.attention_bn(self.attention(pooled)))
        refined: Tensor = features * weights
        return refined


class FeatureFusion(nn.Module):
    """Joins stage 3 (detail) and the decoder's 1/8 features (context), channels weighed by their mean."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, out_channels, 1)
        self.squeeze = nn.Conv2d(out_channels, out_channels // 4, 1, bias=False)
        self.excite = nn.Conv2d(out_channels // 4, out_channels, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        features = self.conv(torch.cat((detail, context), dim=1))
        pooled = functional.adaptive_avg_pool2d(features, 1)
        weights = torch.sigmoid(self.excite(functional.relu(self.squeeze(pooled))))
        fused: Tensor = features * weights + features
        return fused


class Decoder(nn.Module):
    """Features at strides 8, 16, 32 → (fused at 1/8, context at 1/8, context at 1/16)."""

    def __init__(self, spec: ArchSpec) -> None:
        super().__init__()
        _, _, stage3, stage4, stage5 = spec.widths
        context = spec.decoder.context_width
        self.global_context = ConvBNReLU(stage5, context, 1)
        self.refine32 = AttentionRefinement(stage5, context)
        self.smooth32 = ConvBNReLU(context, context)
        self.refine16 = AttentionRefinement(stage4, context)
        self.smooth16 = ConvBNReLU(context, context)
        self.fusion = FeatureFusion(stage3 + context, spec.decoder.fusion_width)

    def forward(self, stride8: Tensor, stride16: Tensor, stride32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Nearest upsampling of one pixel to a whole map is what broadcasting in a sum does for nothing.
        whole = self.global_context(functional.adaptive_avg_pool2d(stride32, 1))
        context32 = self.refine32(stride32) + whole
        context16 = self.smooth32(functional.interpolate(context32, size=stride16.shape[2:], mode="nearest"))
        refined16 = self.refine16(stride16) + context16
        context8 = self.smooth16(functional.interpolate(refined16, size=stride8.shape[2:], mode="nearest"))
        return self.fusion(stride8, context8), context8, context16


class Head(nn.Module):
    """A 3×3 ConvX and a 1×1 convolution to classes, or to one detail logit. N×C×H×W → N×K×H×W."""

    def __init__(self, in_channels: int, width: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, width)
        self.classes = nn.Conv2d(width, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.conv(features))
        return logits
