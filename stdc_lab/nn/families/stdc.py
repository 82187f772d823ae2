"""The backbone: five stages, described by an `ArchSpec`; and the classifier that it is pretrained in."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec
from stdc_lab.nn.blocks import ConvBNReLU, StdcModule

IMAGE_CHANNELS = 3
DROPOUT = 0.2


class StdcBackbone(nn.Module):
    """Images N×3×H×W → features of stages 1 to 5, at strides 2, 4, 8, 16, 32 (table 2 of the paper).

    With `conv_last` the last features have passed the 1×1 ConvX after stage 5.
    """

    def __init__(self, spec: ArchSpec, *, conv_last: bool) -> None:
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

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages.values():
            features.append(stage(features[-1]))
        if self.conv_last is not None:
            features[-1] = self.conv_last(features[-1])
        return features[1:]


class StdcClassifier(nn.Module):
    """Images N×3×H×W → logits N×classes, with the released forward pass.

    The last features are squared, globally averaged, and pass a linear layer, ReLU, dropout and the classes. The
    batch norm that the released classifier registers and never runs is not here: see `checkpoints`.
    """

    def __init__(self, spec: ArchSpec, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes
        width = spec.conv_last_width
        self.backbone = StdcBackbone(spec, conv_last=True)
        self.hidden = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.Linear(width, num_classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.backbone(images)[-1].square().mean(dim=(2, 3))
        logits: Tensor = self.classes(self.dropout(functional.relu(self.hidden(pooled))))
        return logits


def _stage_modules(spec: ArchSpec, stage: int) -> nn.Sequential:
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
            )
            for index in range(spec.depths[stage - 3])
        )
    )
