"""`build_model` and `build_classifier`: the only ways from an `ArchSpec` to a network."""

from __future__ import annotations

import copy
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.decoders.bisenet import TRAINING_HEAD_WIDTH
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.backbone import StdcBackbone, StdcClassifier
from stdc_lab.nn.decoder import Decoder, Head

STAGE_OF_STRIDE = {2: 1, 4: 2, 8: 3, 16: 4}


class SegOutput(NamedTuple):
    """What a segmenter answers.

    logits: N×classes×H×W at the images' size.
    auxiliary: logits of the auxiliary heads, same shape: from the context at 1/8, then at 1/16. Else empty.
    details: N×1×h×w detail logits at the size of their stage, in the order of `detail_strides`. Else empty.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    details: tuple[Tensor, ...] = ()


class StdcSegmenter(nn.Module):
    """Images N×3×H×W (RGB, normalised) → `SegOutput`. Without training heads this is the deployed graph."""

    def __init__(self, spec: ArchSpec, num_classes: int, heads: TrainingHeads | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes
        self.heads = heads
        self.backbone = StdcBackbone(spec, conv_last=spec.conv_last)
        self.decoder = Decoder(spec)
        self.head = Head(spec.decoder.fusion_width, spec.decoder.head_width, num_classes)
        self.auxiliary_heads = nn.ModuleDict()
        self.detail_heads = nn.ModuleDict()
        if heads is not None:
            context = spec.decoder.context_width
            for stride in (8, 16) if heads.auxiliary else ():
                self.auxiliary_heads[str(stride)] = Head(context, TRAINING_HEAD_WIDTH, num_classes)
            for stride in heads.detail_strides:
                width = spec.widths[STAGE_OF_STRIDE[stride] - 1]
                self.detail_heads[str(stride)] = Head(width, TRAINING_HEAD_WIDTH, 1)

    def forward(self, images: Tensor) -> SegOutput:
        features = self.backbone(images)
        fused, context8, context16 = self.decoder(images, *features[2:])
        size = (images.shape[2], images.shape[3])
        upsample = _upsample_for_loss if self.training else _upsample
        contexts = {"8": context8, "16": context16}
        return SegOutput(
            logits=upsample(self.head(fused), size),
            auxiliary=tuple(upsample(head(contexts[at]), size) for at, head in self.auxiliary_heads.items()),
            details=tuple(head(features[STAGE_OF_STRIDE[int(at)] - 1]) for at, head in self.detail_heads.items()),
        )


def build_model(spec: ArchSpec, num_classes: int, heads: TrainingHeads | None = None) -> StdcSegmenter:
    """The segmentation network of a spec, freshly initialised; with `heads` in its training form.

    Raises `StdcLabError` for fewer than two classes.
    """
    _check_classes(num_classes)
    network = StdcSegmenter(spec, num_classes, heads)
    initialise(network)
    return network


def build_classifier(spec: ArchSpec, num_classes: int = 1000) -> StdcClassifier:
    """The classifier of a spec's backbone, freshly initialised: what the released ImageNet weights are of.

    Raises `StdcLabError` for fewer than two classes.
    """
    _check_classes(num_classes)
    network = StdcClassifier(spec, num_classes)
    initialise(network)
    return network


def strip_heads(network: StdcSegmenter) -> StdcSegmenter:
    """The deployed network of a training form: a copy with the same weights and logits, without training heads."""
    return copy.deepcopy(deployed_view(network))


def deployed_view(network: StdcSegmenter) -> StdcSegmenter:
    """The deployed network of a training form, of the same layers: it is made at once and follows every step.

    Its mode (training or evaluation) is that of the layers that both have. For a network of its own: `strip_heads`.
    """
    deployed = copy.copy(network)
    deployed._modules = dict(network._modules)  # whose entries are replaced below, for this one alone
    deployed.heads = None
    deployed.auxiliary_heads = nn.ModuleDict()
    deployed.detail_heads = nn.ModuleDict()
    return deployed


def initialise(network: StdcSegmenter | StdcClassifier) -> None:
    """Random weights as the released code draws them.

    Convolutions: Kaiming, by fan-out in the backbone and by fan-in (slope 1) elsewhere. Linear layers: normal with
    standard deviation 0.001. Norms: weight 1, bias 0, which is what they are made with.
    """
    backbone = set(network.backbone.modules())
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
        elif isinstance(module, nn.Conv2d):
            if module in backbone:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            else:
                nn.init.kaiming_normal_(module.weight, a=1)


def _check_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise StdcLabError(f"num_classes: got {num_classes!r}; allowed: a whole number from 2")


def _upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """In float32, whatever the network computes in: in bfloat16 up to a hundredth of the pixels changes its class."""
    return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=True)


def _upsample_for_loss(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """As `_upsample`, in what the losses want: class by class in memory. Changing the small map is cheap."""
    return _upsample(logits.float().contiguous(), size)
