"""What every network promises, of whatever family: a segmenter, a classifier, and what they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.spec import TRAINING_HEAD_WIDTH
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.blocks import Head


class SegOutput(NamedTuple):
    """What a segmenter answers.

    logits: N×classes×H×W at the images' size.
    auxiliary: logits of the auxiliary heads, same shape: from the context at 1/8, then at 1/16. Else empty.
    details: N×1×h×w detail logits at the size of their stage, in the order of `detail_strides`. Else empty.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    details: tuple[Tensor, ...] = ()


class Encoded(NamedTuple):
    """What a segmenter has before its logits go up to the images' size.

    logits: N×classes×h×w. contexts: what auxiliary heads read; stages: what detail heads read; both by stride.
    """

    logits: Tensor
    contexts: Mapping[int, Tensor]
    stages: Mapping[int, Tensor]


class OfSpec:
    """A network that a spec describes."""

    spec: ArchSpec

    @property
    def description(self) -> Mapping[str, Any]:
        return {"arch_id": self.spec.arch_id, "arch": self.spec.to_dict()}


class Segmenter(nn.Module, ABC):
    """Images N×3×H×W (RGB, normalised) → `SegOutput`. Without training heads this is the deployed graph.

    backbone: the layers whose weights a pretrained classifier can give, or that a recipe leaves alone. corners: whether
    bilinear upsampling aligns corners.
    """

    backbone: nn.Module
    corners: bool = True

    def __init__(self, num_classes: int, heads: TrainingHeads | None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.heads = heads
        self.auxiliary_heads = nn.ModuleDict()
        self.detail_heads = nn.ModuleDict()

    @property
    @abstractmethod
    def description(self) -> Mapping[str, Any]:
        """What files say of it, in plain values: `arch_id` and `arch`; of a user's own network, `own_network`."""

    @abstractmethod
    def encode(self, images: Tensor) -> Encoded:
        """Everything up to the logits at the head's own size."""

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """The deployed network's modules in the order in which they run, by the names of the graph's parts."""

    def fast_parts(self) -> tuple[nn.Module, ...]:
        """What `decoder_rate_factor` speeds up: all heads, and what a family adds."""
        return (self.parts()["head"], self.auxiliary_heads, self.detail_heads)

    def forward(self, images: Tensor) -> SegOutput:
        encoded = self.encode(images)
        size = (images.shape[2], images.shape[3])
        return SegOutput(
            logits=self._upsample(encoded.logits, size),
            auxiliary=tuple(
                self._upsample(head(encoded.contexts[int(at)]), size) for at, head in self.auxiliary_heads.items()
            ),
            details=tuple(head(encoded.stages[int(at)]) for at, head in self.detail_heads.items()),
        )

    def _upsample(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """In float32, whatever the network computes in: in bfloat16 up to a hundredth of the pixels changes its class.

        For the losses in training class by class in memory, which costs little on the small map.
        """
        logits = logits.float().contiguous() if self.training else logits.float()
        return functional.interpolate(logits, size=size, mode="bilinear", align_corners=self.corners)


class FamilySegmenter(OfSpec, Segmenter):
    """A family's segmenter: it makes its layers, then calls `add_training_heads`."""

    def __init__(self, spec: ArchSpec, num_classes: int, heads: TrainingHeads | None) -> None:
        super().__init__(num_classes, heads)
        self.spec = spec

    def add_training_heads(self, context_widths: Mapping[int, int]) -> None:
        """The heads that only training needs. context_widths: channels of what auxiliary heads read, by stride.

        Raises `StdcLabError` for a detail head where the family has no features.
        """
        if self.heads is None:
            return
        for stride in self.spec.auxiliary_strides if self.heads.auxiliary else ():
            self.auxiliary_heads[str(stride)] = Head(context_widths[stride], TRAINING_HEAD_WIDTH, self.num_classes)
        widths = self.spec.detail_widths
        for stride in self.heads.detail_strides:
            if stride not in widths:
                allowed = ", ".join(map(str, widths))
                raise StdcLabError(f"heads.detail_strides: got {stride}; allowed for {self.spec.family}: {allowed}")
            self.detail_heads[str(stride)] = Head(widths[stride], TRAINING_HEAD_WIDTH, 1)


class Classifier(OfSpec, nn.Module, ABC):
    """Images N×3×H×W → logits N×classes: what a backbone is pretrained in."""

    backbone: nn.Module

    def __init__(self, spec: ArchSpec, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """Its modules in the order in which they run, by the names of the graph's parts."""

    def released_form(self) -> nn.Module | None:
        """The same layers as the released code registers them, where a counter says something else of that; or None."""
        return None


def title_of(network: Segmenter | Classifier) -> str:
    """What tells a network from others, for people."""
    own = network.description.get("own_network")
    return f"network {own}" if own else f"arch_id {network.description['arch_id']}"
