"""The STDC backbone: five stages, described by an `ArchSpec`."""

from __future__ import annotations

from torch import Tensor, nn

from stdc_lab.arch import ArchSpec
from stdc_lab.nn.blocks import ConvBNReLU, StdcModule

IMAGE_CHANNELS = 3


class StdcBackbone(nn.Module):
    """Images N×3×H×W → features of stages 1 to 5, at strides 2, 4, 8, 16, 32 (table 2 of the paper)."""

    def __init__(self, spec: ArchSpec) -> None:
        super().__init__()
        self.stages = nn.ModuleDict()
        before = IMAGE_CHANNELS
        for stage, width in enumerate(spec.widths, start=1):
            if stage <= 2:
                self.stages[str(stage)] = nn.Sequential(ConvBNReLU(before, width, 3, stride=2))
            else:
                blocks = spec.block_widths[stage - 3]
                self.stages[str(stage)] = nn.Sequential(
                    *(
                        StdcModule(before if index == 0 else width, blocks, spec.kernels, 2 if index == 0 else 1)
                        for index in range(spec.depths[stage - 3])
                    )
                )
            before = width

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages.values():
            features.append(stage(features[-1]))
        return features[1:]
