"""PP-LiteSeg's decoder: simple pyramid pooling (SPPM) and unified attention fusion (UAFM); arXiv 2204.02681."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch.decoders import PpLiteSegDecoder
from stdc_lab.nn.blocks import ConvBN, ConvBNReLU, enlarge
from stdc_lab.nn.decoders.base import DecoderModule

LEAK = 0.01
"""Slope of the channel attention's leaky ReLU below 0, as released."""


class PyramidPooling(nn.Module):
    """Means over a few bins a side, each reduced, enlarged to the input's size and added. N×C×H×W → N×C'×H×W.

    The released convolutions have biases in front of their norms.
    """

    def __init__(self, in_channels: int, out_channels: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.branches = nn.ModuleList(ConvBNReLU(in_channels, out_channels, 1, bias=True) for _ in bins)
        self.conv = ConvBNReLU(out_channels, out_channels, bias=True)

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor | None = None
        for side, branch in zip(self.bins, self.branches, strict=True):
            enlarged = enlarge(branch(functional.adaptive_avg_pool2d(features, side)), features)
            total = enlarged if total is None else total + enlarged
        pooled: Tensor = self.conv(total)
        return pooled


class AttentionFusion(nn.Module):
    """Detail and context, weighed against each other. N×C×H×W, N×D×h×w → N×out×H×W.

    The weights are a map, from means and maxima over the channels of both (`spatial`), or a number for each channel,
    from those over all positions (`channel`).
    """

    def __init__(self, detail: int, context: int, out_channels: int, attention: str) -> None:
        super().__init__()
        self.detail = ConvBNReLU(detail, context)
        self.spatial = attention == "spatial"
        self.attention = nn.ModuleList(
            (ConvBNReLU(4, 2), ConvBN(2, 1, 3))
            if self.spatial
            else (ConvBN(4 * context, context // 2, 1), ConvBN(context // 2, context, 1))
        )
        self.conv = ConvBNReLU(context, out_channels)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        detail = self.detail(detail)
        if context.shape[2:] != detail.shape[2:]:
            context = enlarge(context, detail)
        weights = torch.sigmoid(self._spatial(detail, context) if self.spatial else self._channel(detail, context))
        fused: Tensor = self.conv(detail * weights + context * (1 - weights))
        return fused

    def _spatial(self, detail: Tensor, context: Tensor) -> Tensor:
        both = [reduced(one) for one in (detail, context) for reduced in (_channel_mean, _channel_maximum)]
        first, second = self.attention
        weights: Tensor = second(first(torch.cat(both, dim=1)))
        return weights

    def _channel(self, detail: Tensor, context: Tensor) -> Tensor:
        means = [functional.adaptive_avg_pool2d(one, 1) for one in (detail, context)]
        maxima = [functional.adaptive_max_pool2d(one, 1) for one in (detail, context)]
        first, second = self.attention
        hidden = functional.leaky_relu(first(torch.cat((*means, *maxima), dim=1)), LEAK, inplace=True)
        weights: Tensor = second(hidden)
        return weights


class PpLiteSegDecoderModule(DecoderModule):
    """Pyramid pooling at 1/32, then fusions at 1/32, 1/16 and 1/8 (figure 2 of the paper)."""

    corners = False

    def __init__(self, options: PpLiteSegDecoder, widths: Sequence[int]) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(widths[-1], options.context_width, options.bins)
        contexts = (*options.widths[1:], options.context_width)
        self.fusions = nn.ModuleDict(
            {
                str(stride): AttentionFusion(detail, context, out, options.attention)
                for stride, detail, context, out in zip((8, 16, 32), widths, contexts, options.widths, strict=True)
            }
        )
        self.out_channels = options.widths[0]
        self.context_widths = dict(zip((8, 16, 32), options.widths, strict=True))

    def forward(
        self, images: Tensor, stride8: Tensor, stride16: Tensor, stride32: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]:
        fused = self.pyramid(stride32)
        contexts = {}
        for stride, detail in ((32, stride32), (16, stride16), (8, stride8)):
            fused = contexts[stride] = self.fusions[str(stride)](detail, fused)
        return fused, contexts


def _channel_mean(features: Tensor) -> Tensor:
    return features.mean(dim=1, keepdim=True)


def _channel_maximum(features: Tensor) -> Tensor:
    return features.amax(dim=1, keepdim=True)
