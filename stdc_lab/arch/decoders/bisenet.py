"""BiSeNet's decoder as STDC has it: attention refinement, feature fusion, head (section 3.2 of the paper)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from stdc_lab.arch.checks import MAX_WIDTH, check_bool, check_choice, check_int
from stdc_lab.arch.decoders.base import Decoder
from stdc_lab.arch.graph import Kind, Tensor, Tracer, pooled_of

INTERPOLATIONS = ("nearest", "bilinear")


class PathLayer(NamedTuple):
    """A ConvX of the spatial path."""

    width: int
    kernel: int
    stride: int


SPATIAL_PATH = (PathLayer(64, 7, 2), PathLayer(64, 3, 2), PathLayer(64, 3, 2), PathLayer(128, 1, 1))


@dataclass(frozen=True)
class DecoderSpec(Decoder):
    """From the features at 1/8, 1/16 and 1/32 to the classes (section 3.2, figure 4). Widths are in channels.

    context_width: attention refinement and the decoder features at 1/8 and 1/16 (released: 128).
    fusion_width: the feature fusion module's output (released: 256).
    head_width: the 3×3 convolution before the classes (released: 256).
    attention: whether the refinement weighs its channels by their global mean; without, it is its 3×3 ConvX alone.
    global_context: whether the globally pooled 1/32 features are added to the refined ones.
    spatial_path: whether the fusion gets BiSeNet's spatial path, three stride-2 ConvX from the image and a 1×1 ConvX,
        in place of stage 3. It is what detail guidance replaces (BiSeNet, section 3.1; the widths 64, 64, 64, 128 and
        the first kernel, 7, are those of its authors' code).
    interpolation: how features at 1/32 and 1/16 go up, `nearest` as released or `bilinear` (corners aligned).
    """

    kind: ClassVar[str] = "bisenet"
    auxiliary_strides: ClassVar[tuple[int, ...]] = (8, 16)

    context_width: int = 128
    fusion_width: int = 256
    head_width: int = 256
    attention: bool = True
    global_context: bool = True
    spatial_path: bool = False
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        for name in ("context_width", "fusion_width", "head_width"):
            check_int(f"decoder.{name}", getattr(self, name), low=4, high=MAX_WIDTH)
        for name in ("attention", "global_context", "spatial_path"):
            check_bool(f"decoder.{name}", getattr(self, name))
        check_choice("decoder.interpolation", self.interpolation, INTERPOLATIONS)

    @property
    def identity(self) -> dict[str, Any]:
        values, plain = dataclasses.asdict(self), DecoderSpec()
        return {name: one for name, one in values.items() if name.endswith("_width") or one != getattr(plain, name)}

    def facts(self) -> tuple[tuple[str, str], ...]:
        departs = [] if self.attention else ["no attention"]
        departs += [] if self.global_context else ["no global context"]
        departs += ["spatial path"] if self.spatial_path else []
        departs += [] if self.interpolation == "nearest" else [f"{self.interpolation} upsampling"]
        widths = f"context {self.context_width}, fusion {self.fusion_width}, head {self.head_width}"
        return (("Decoder", "; ".join(("BiSeNet's", widths, *departs))),)

    def trace(self, run: Tracer, images: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        stage3, stage4, stage5 = features
        up: Kind = "nearest upsampling" if self.interpolation == "nearest" else "bilinear upsampling"
        context32 = self._refinement(run, "decoder/refinement at 1/32", stage5)
        if self.global_context:
            path = "decoder/global context"
            pooled = run.conv_x(path, pooled_of(run, path, stage5), self.context_width, 1)
            context32 = run("sum", "decoder", context32, pooled)
        path = "decoder/smoothing of 1/32"  # called, as its module is, by the stride of what goes in
        context16 = run.conv_x(path, run(up, path, context32, size=stage4.size), self.context_width, 3)
        path = "decoder/smoothing of 1/16"
        both = run("sum", path, self._refinement(run, "decoder/refinement at 1/16", stage4), context16)
        context8 = run.conv_x(path, run(up, path, both, size=stage3.size), self.context_width, 3)
        detail = stage3
        if self.spatial_path:
            detail = images
            for number, (width, kernel, stride) in enumerate(SPATIAL_PATH, start=1):
                detail = run.conv_x(f"decoder/spatial path/conv {number}", detail, width, kernel, stride=stride)
        return self._fusion(run, "decoder/fusion", detail, context8), {8: context8, 16: context16}

    def _refinement(self, run: Tracer, path: str, features: Tensor) -> Tensor:
        if not self.attention:
            return run.conv_x(path, features, self.context_width, 3)
        features = run.conv_x(f"{path}/conv", features, self.context_width, 3)
        weights = run.conv(f"{path}/attention", pooled_of(run, path, features), self.context_width, 1)
        return run("product", path, features, run("sigmoid", path, weights))

    def _fusion(self, run: Tracer, path: str, detail: Tensor, context: Tensor) -> Tensor:
        width = self.fusion_width
        features = run.conv_x(f"{path}/conv", run.concatenate(path, detail, context), width, 1)
        squeezed = run.conv(f"{path}/squeeze", pooled_of(run, path, features), width // 4, 1, norm=False)
        weights = run.conv(f"{path}/excite", run("ReLU", path, squeezed), width, 1, norm=False)
        return run("sum", path, run("product", path, features, run("sigmoid", path, weights)), features)
