"""RegSeg: D-blocks whose grouped convolutions see far, and a small decoder (Gao 2021, arXiv 2111.09957)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch.families.regseg import SQUEEZE, RegSegSpec
from stdc_lab.arch.graph import IMAGE_CHANNELS
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn.blocks import ConvBN, ConvBNReLU, Head, enlarge
from stdc_lab.nn.network import Encoded, FamilySegmenter


class DilatedConv(nn.Module):
    """A 3×3 grouped convolution, half of whose groups are dilated. N×C×H×W → N×C×H×W."""

    def __init__(self, channels: int, dilation: int, groups: int) -> None:
        super().__init__()
        half = channels // 2
        self.near = nn.Conv2d(half, half, 3, padding=1, groups=groups // 2, bias=False)
        self.far = nn.Conv2d(half, half, 3, padding=dilation, dilation=dilation, groups=groups // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        near, far = features.tensor_split(2, dim=1)
        return torch.cat((self.near(near), self.far(far)), dim=1)


class DBlock(nn.Module):
    """1×1, grouped 3×3, squeeze-and-excitation, 1×1, and a shortcut (section 3.2). N×C×H×W → N×C'×⌈H/s⌉×⌈W/s⌉."""

    def __init__(self, in_channels: int, out_channels: int, group_width: int, stride: int, dilation: int) -> None:
        super().__init__()
        groups = out_channels // group_width
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else None
        self.shortcut = ConvBN(in_channels, out_channels, 1) if stride > 1 or in_channels != out_channels else None
        self.widen = ConvBNReLU(in_channels, out_channels, 1)
        self.mix = (
            nn.Conv2d(out_channels, out_channels, 3, stride, padding=1, groups=groups, bias=False)
            if dilation == 1
            else DilatedConv(out_channels, dilation, groups)
        )
        self.mix_norm = nn.BatchNorm2d(out_channels)
        hidden = max(1, in_channels // SQUEEZE)
        self.squeeze = nn.Conv2d(out_channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, out_channels, 1)
        self.project = ConvBN(out_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        shortcut = features if self.pool is None else self.pool(features)
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut)
        mixed = functional.relu(self.mix_norm(self.mix(self.widen(features))), inplace=True)
        squeezed = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(mixed, 1)), inplace=True)
        weighed = mixed * torch.sigmoid(self.excite(squeezed))
        return functional.relu(self.project(weighed) + shortcut, inplace=True)


class RegSegBackbone(nn.Module):
    """Images N×3×H×W → features at strides 2, 4, 8 and 16, by stride."""

    def __init__(self, spec: RegSegSpec) -> None:
        super().__init__()
        stage2, stage3, stage4 = spec.widths
        unit = spec.group_width
        self.stages = nn.ModuleDict({"1": ConvBNReLU(IMAGE_CHANNELS, spec.stem_width, 3, stride=2)})
        for stage, before, width in ((2, spec.stem_width, stage2), (3, stage2, stage3)):
            self.stages[str(stage)] = nn.Sequential(
                DBlock(before, width, unit, 2, 1),
                *(DBlock(width, width, unit, 1, 1) for _ in range(spec.depths[stage - 2] - 1)),
            )
        *dilations, last = spec.dilations
        self.stages["4"] = nn.Sequential(
            DBlock(stage3, stage4, unit, 2, 1),
            *(DBlock(stage4, stage4, unit, 1, dilation) for dilation in dilations),
            DBlock(stage4, spec.last_width, unit, 1, last),
        )

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        features = images
        outputs = {}
        for number, stage in self.stages.items():
            features = outputs[2 ** int(number)] = stage(features)
        return outputs


class RegSegDecoder(nn.Module):
    """Features at 1/16 and 1/8, added, and a glance at 1/4. By stride → N×(decoder + skip)×H/4×W/4."""

    def __init__(self, spec: RegSegSpec) -> None:
        super().__init__()
        self.lateral16 = ConvBNReLU(spec.last_width, spec.lateral_width, 1)
        self.lateral8 = ConvBNReLU(spec.widths[1], spec.lateral_width, 1)
        self.lateral4 = ConvBNReLU(spec.widths[0], spec.skip_width, 1)
        self.fusion8 = ConvBNReLU(spec.lateral_width, spec.decoder_width)

    def forward(self, features: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        coarse, middle = self.lateral16(features[16]), self.lateral8(features[8])
        fine = self.lateral4(features[4])
        return self.fusion8(middle + enlarge(coarse, middle)), fine


class RegSegSegmenter(FamilySegmenter):
    """RegSeg with its decoder and head (sections 3.2 and 3.3)."""

    spec: RegSegSpec
    backbone: RegSegBackbone
    corners = False

    def __init__(self, spec: RegSegSpec, num_classes: int, heads: TrainingHeads | None = None) -> None:
        super().__init__(spec, num_classes, heads)
        self.backbone = RegSegBackbone(spec)
        self.decoder = RegSegDecoder(spec)
        self.head = Head(spec.decoder_width + spec.skip_width, spec.decoder_width, num_classes, bias=True)
        self.add_training_heads({})

    def encode(self, images: Tensor) -> Encoded:
        stages = self.backbone(images)
        fused, fine = self.decoder(stages)
        return Encoded(self.head(torch.cat((enlarge(fused, fine), fine), dim=1)), {}, stages)

    def parts(self) -> dict[str, nn.Module]:
        stages = {f"stage {number}": stage for number, stage in self.backbone.stages.items()}
        return {**stages, "decoder": self.decoder, "head": self.head}
