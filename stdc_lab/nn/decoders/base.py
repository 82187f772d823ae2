"""What every decoder's module promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class DecoderModule(nn.Module, ABC):
    """Images and features at strides 8, 16, 32 → what the head reads, and what auxiliary heads read, by stride.

    out_channels: of what the head reads. context_widths: of what auxiliary heads read, by stride. corners: whether the
    logits' bilinear upsampling aligns corners.
    """

    out_channels: int
    context_widths: Mapping[int, int]
    corners: bool

    @abstractmethod
    def forward(
        self, images: Tensor, stride8: Tensor, stride16: Tensor, stride32: Tensor
    ) -> tuple[Tensor, dict[int, Tensor]]: ...

    def fast_parts(self) -> tuple[nn.Module, ...]:
        """What `decoder_rate_factor` speeds up beside the heads."""
        return ()
