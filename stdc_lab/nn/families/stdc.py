"""The STDC family: its module, backbone, segmenter and classifier (sections 3.1 and 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import StdcSpec
from stdc_lab.arch.graph import IMAGE_CHANNELS
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn.blocks import ConvBN, ConvBNReLU, Head
from stdc_lab.nn.decoders import make_decoder
from stdc_lab.nn.network import Classifier, Encoded, FamilySegmenter

DROPOUT = 0.2


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
        pool_counts_padding: bool = True,
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
            self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=pool_counts_padding)
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


class StdcBackbone(nn.Module):
    """Images N×3×H×W → features of stages 1 to 5, at strides 2, 4, 8, 16, 32 (table 2 of the paper).

    With `conv_last` the last features have passed the 1×1 ConvX after stage 5.
    """

    def __init__(self, spec: StdcSpec, *, conv_last: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleDict()
        before = IMAGE_CHANNELS
        for stage, depth in enumerate(spec.stem_depths, start=1):
            width = spec.widths[stage - 1]
            convs = [ConvBNReLU(before, width, 3, stride=2), *(ConvBNReLU(width, width) for _ in range(depth - 1))]
            self.stages[str(stage)] = nn.Sequential(*convs)
            before = width
        for stage in (3, 4, 5):
            self.stages[str(stage)] = _stage_modules(spec, stage)
        self.conv_last = ConvBNReLU(spec.widths[4], spec.conv_last_width, 1) if conv_last else None

    def parts(self) -> dict[str, nn.Module]:
        """The stages in order, by the names of the graph."""
        parts: dict[str, nn.Module] = {f"stage {number}": stage for number, stage in self.stages.items()}
        return parts if self.conv_last is None else {**parts, "conv_last": self.conv_last}

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages.values():
            features.append(stage(features[-1]))
        if self.conv_last is not None:
            features[-1] = self.conv_last(features[-1])
        return features[1:]


class StdcSegmenter(FamilySegmenter):
    """STDC's backbone, a decoder, a head."""

    spec: StdcSpec
    backbone: StdcBackbone

    def __init__(self, spec: StdcSpec, num_classes: int, heads: TrainingHeads | None = None) -> None:
        super().__init__(spec, num_classes, heads)
        _, _, stage3, stage4, stage5 = spec.widths
        self.backbone = StdcBackbone(spec, conv_last=spec.conv_last)
        self.decoder = make_decoder(spec.decoder, (stage3, stage4, spec.conv_last_width if spec.conv_last else stage5))
        self.head = Head(self.decoder.out_channels, spec.decoder.head_width, num_classes)
        self.add_training_heads(self.decoder.context_widths)
        self.corners = self.decoder.corners

    def encode(self, images: Tensor) -> Encoded:
        features = self.backbone(images)
        fused, contexts = self.decoder(images, *features[2:])
        return Encoded(self.head(fused), contexts, dict(zip(self.spec.detail_widths, features, strict=False)))

    def parts(self) -> dict[str, nn.Module]:
        return {**self.backbone.parts(), "decoder": self.decoder, "head": self.head}

    def fast_parts(self) -> tuple[nn.Module, ...]:
        return (*self.decoder.fast_parts(), *super().fast_parts())


class StdcClassifier(Classifier):
    """Images N×3×H×W → logits N×classes, with the released forward pass.

    The last features are squared, globally averaged, and pass a linear layer, ReLU, dropout and the classes. The
    batch norm that the released classifier registers and never runs is not here: see `checkpoints`.
    """

    backbone: StdcBackbone

    def __init__(self, spec: StdcSpec, num_classes: int) -> None:
        super().__init__(spec, num_classes)
        width = spec.conv_last_width
        self.backbone = StdcBackbone(spec, conv_last=True)
        self.hidden = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.Linear(width, num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.backbone(images)[-1].square().mean(dim=(2, 3))
        logits: Tensor = self.classes(self.dropout(functional.relu(self.hidden(pooled))))
        return logits

    def parts(self) -> dict[str, nn.Module]:
        return {**self.backbone.parts(), "hidden": self.hidden, "classes": self.classes}

    def released_form(self) -> nn.Module:
        return ReleasedForm(self)


class ReleasedForm(nn.Module):
    """A classifier arranged as in the released code: stages registered twice, pooling and ReLU as modules."""

    def __init__(self, network: StdcClassifier) -> None:
        super().__init__()
        stages = network.backbone.stages
        self.features = nn.Sequential(*(module for stage in stages.children() for module in stage.children()))
        self.stages = stages
        self.conv_last = network.backbone.conv_last
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden, self.dropout, self.classes = network.hidden, network.dropout, network.classes
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for stage in self.stages.children():
            features = stage(features)
        assert self.conv_last is not None
        pooled = self.pool(self.conv_last(features).square()).flatten(1)
        logits: Tensor = self.classes(self.dropout(self.relu(self.hidden(pooled))))
        return logits


def _stage_modules(spec: StdcSpec, stage: int) -> nn.Sequential:
    """The STDC modules of a stage (3, 4 or 5), of which the first has stride 2."""
    width, before = spec.widths[stage - 1], spec.widths[stage - 2]
    return nn.Sequential(
        *(
            StdcModule(
                before if index == 0 else width,
                spec.block_widths[stage - 3],
                spec.kernels,
                stride=2 if index == 0 else 1,
                fusion=spec.fusion,
                downsample=spec.downsample,
                pool_counts_padding=spec.pool_counts_padding,
            )
            for index in range(spec.depths[stage - 3])
        )
    )
