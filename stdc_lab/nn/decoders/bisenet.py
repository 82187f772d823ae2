"""BiSeNet's decoder: attention refinement and feature fusion (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch.decoders import DecoderSpec
from stdc_lab.arch.decoders.bisenet import SPATIAL_PATH
from stdc_lab.arch.graph import IMAGE_CHANNELS
from stdc_lab.nn.blocks import ConvBN, ConvBNReLU, Smoothing
from stdc_lab.nn.decoders.base import DecoderModule


class AttentionRefinement(nn.Module):
    """A 3×3 ConvX whose channels are weighed by their global mean, or are left as they are. N×C×H×W → N×C'×H×W."""

    def __init__(self, in_channels: int, out_channels: int, attention: bool) -> None:
        super().__init__()
        self.conv = ConvBNReLU(in_channels, out_channels)
        self.attention = ConvBN(out_channels, out_channels, 1) if attention else None

    def forward(self, features: Tensor) -> Tensor:
        features = self.conv(features)
        if self.attention is None:
            return features
        weights = torch.sigmoid(self.attention(functional.adaptive_avg_pool2d(features, 1)))
        refined: Tensor = features * weights
        return refined


class SpatialPath(nn.Sequential):
    """BiSeNet's path of detail: three stride-2 ConvX and a 1×1 one. Images N×3×H×W → N×128×⌈H/8⌉×⌈W/8⌉."""

    def __init__(self) -> None:
        layers = []
        before = IMAGE_CHANNELS
        for width, kernel, stride in SPATIAL_PATH:
            layers.append(ConvBNReLU(before, width, kernel, stride))
            before = width
        super().__init__(*layers)


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


class BisenetDecoder(DecoderModule):
    """Images and features at strides 8, 16, 32 → (fused at 1/8, contexts at 1/8 and 1/16 by stride).

    The released recipe trains its fusion at ten times the rate.
    """

    corners = True

    def __init__(self, options: DecoderSpec, widths: Sequence[int]) -> None:
        super().__init__()
        stage3, stage4, deepest = widths
        self.out_channels = options.fusion_width
        self.context_widths = dict.fromkeys(options.auxiliary_strides, options.context_width)
        context = options.context_width
        self.global_context = ConvBNReLU(deepest, context, 1) if options.global_context else None
        self.refine32 = AttentionRefinement(deepest, context, options.attention)
        self.smooth32 = Smoothing(context, options.interpolation)
        self.refine16 = AttentionRefinement(stage4, context, options.attention)
        self.smooth16 = Smoothing(context, options.interpolation)
        self.spatial_path = SpatialPath() if options.spatial_path else None
        detail = SPATIAL_PATH[-1].width if options.spatial_path else stage3
        self.fusion = FeatureFusion(detail + context, options.fusion_width)

    def forward(
        self, images: Tensor, stride8: Tensor, stride16: Tensor, stride32: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]:
        context32 = self.refine32(stride32)
        if self.global_context is not None:
            # Nearest upsampling of one pixel to a whole map is what broadcasting in a sum does for nothing.
            context32 = context32 + self.global_context(functional.adaptive_avg_pool2d(stride32, 1))
        context16 = self.smooth32(context32, stride16)
        context8 = self.smooth16(self.refine16(stride16) + context16, stride8)
        detail = stride8 if self.spatial_path is None else self.spatial_path(images)
        return self.fusion(detail, context8), {8: context8, 16: context16}

    def fast_parts(self) -> tuple[nn.Module, ...]:
        return (self.fusion,)
