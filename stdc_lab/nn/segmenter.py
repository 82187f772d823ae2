"""`build_model` and `build_classifier`: the only ways from an `ArchSpec` to a network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.spec import TRAINING_HEAD_WIDTH
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.backbone import StdcBackbone, StdcClassifier
from stdc_lab.nn.decoder import Decoder, Head
from stdc_lab.nn.initial_weights import fresh_seed, initialise

Network = TypeVar("Network", bound=nn.Module)
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


def build_model(
    spec: ArchSpec, num_classes: int, heads: TrainingHeads | None = None, *, seed: int | None = None
) -> StdcSegmenter:
    """The segmentation network of a spec, freshly initialised; with `heads` in its training form.

    seed: of the initial weights, of which networks share every layer of equal name and shape (see `initialise`);
    without one it is drawn from torch's global stream. Raises `StdcLabError` for fewer than two classes.
    """
    _check_classes(num_classes)
    return _built(lambda: StdcSegmenter(spec, num_classes, heads), seed)


def build_classifier(spec: ArchSpec, num_classes: int = 1000, *, seed: int | None = None) -> StdcClassifier:
    """The classifier of a spec's backbone, freshly initialised: what the released ImageNet weights are of.

    seed: see `build_model`. Raises `StdcLabError` for fewer than two classes.
    """
    _check_classes(num_classes)
    return _built(lambda: StdcClassifier(spec, num_classes), seed)


def _built(make: Callable[[], Network], seed: int | None) -> Network:
    """A network made and initialised. What torch's layers draw when they are made is of no use, and leaves the global
    stream as it was: what is drawn from it later does not depend on the network."""
    seed = fresh_seed() if seed is None else seed
    with torch.random.fork_rng(devices=[]):
        network = make()
    initialise(network, seed)
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


def _check_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise StdcLabError(f"num_classes: got {num_classes!r}; allowed: a whole number from 2")


def _upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """In float32, whatever the network computes in: in bfloat16 up to a hundredth of the pixels changes its class."""
    return functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=True)


def _upsample_for_loss(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """As `_upsample`, in what the losses want: class by class in memory. Changing the small map is cheap."""
    return _upsample(logits.float().contiguous(), size)
