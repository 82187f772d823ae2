"""PP-LiteSeg's decoder: a simple pyramid pooling, then attention fusions whose widths shrink (arXiv 2204.02681)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from stdc_lab.arch.checks import MAX_WIDTH, check_choice, check_int, int_tuple, show
from stdc_lab.arch.decoders.base import Decoder
from stdc_lab.arch.graph import Tensor, Tracer, pooled_of
from stdc_lab.errors import SpecError

ATTENTIONS = ("spatial", "channel")
MAX_BINS = 64


@dataclass(frozen=True)
class PpLiteSegDecoder(Decoder):
    """Pyramid pooling of the features at 1/32, fused with the features at 1/32, 1/16 and 1/8 in turn.

    context_width: of the pyramid pooling (SPPM), whose branches are added.
    bins: sides of its pooled maps.
    widths: what the fusions at 1/8, 1/16 and 1/32 put out.
    attention: by what a fusion (UAFM) weighs its two inputs, `spatial` or `channel`, from their means and maxima.
    head_width: the 3×3 ConvX before the classes.

    Raises `SpecError` when there is no such decoder. Source: section 3 of the paper and PaddleSeg's code.
    """

    kind: ClassVar[str] = "pp_liteseg"
    auxiliary_strides: ClassVar[tuple[int, ...]] = (16, 32)

    context_width: int = 128
    bins: tuple[int, ...] = (1, 2, 4)
    widths: tuple[int, ...] = (32, 64, 128)
    attention: str = "spatial"
    head_width: int = 32

    def __post_init__(self) -> None:
        check_int("decoder.context_width", self.context_width, low=2, high=MAX_WIDTH)
        check_int("decoder.head_width", self.head_width, low=1, high=MAX_WIDTH)
        bins, widths = int_tuple("decoder.bins", self.bins), int_tuple("decoder.widths", self.widths)
        if not bins or list(bins) != sorted(set(bins)):
            raise SpecError(f"decoder.bins: got {show(bins)}; allowed: at least one number, in ascending order")
        for number in bins:
            check_int("decoder.bins", number, low=1, high=MAX_BINS)
        if len(widths) != 3:
            raise SpecError(f"decoder.widths: got {show(widths)}; allowed: three numbers, at 1/8, 1/16 and 1/32")
        for width in widths:
            check_int("decoder.widths", width, low=2, high=MAX_WIDTH)
        check_choice("decoder.attention", self.attention, ATTENTIONS)
        object.__setattr__(self, "bins", bins)
        object.__setattr__(self, "widths", widths)

    @property
    def identity(self) -> dict[str, Any]:
        return self.to_dict()

    def facts(self) -> tuple[tuple[str, str], ...]:
        pooling = f"bins {show(self.bins)} to {self.context_width}"
        fusions = f"{self.attention} attention, {show(self.widths)} at 1/8, 1/16, 1/32"
        return (("Decoder", f"PP-LiteSeg's; {pooling}; {fusions}; head {self.head_width}"),)

    def trace(self, run: Tracer, images: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        fused = self._pyramid(run, "decoder/pyramid pooling", features[-1])
        fusions: dict[int, Tensor] = {}
        for stride, width, detail in reversed(list(zip((8, 16, 32), self.widths, features, strict=True))):
            fused = fusions[stride] = self._fusion(run, f"decoder/fusion at 1/{stride}", detail, fused, width)
        return fused, fusions

    def _pyramid(self, run: Tracer, path: str, features: Tensor) -> Tensor:
        total: Tensor | None = None
        for side in self.bins:
            branch = f"{path}/bin {side}"
            pooled = run("global pooling" if side == 1 else "adaptive pooling", branch, features, size=(side, side))
            reduced = run.conv_x(branch, pooled, self.context_width, 1, bias=True)
            raised = run("bilinear upsampling", path, reduced, size=features.size)
            total = raised if total is None else run("sum", path, total, raised)
        assert total is not None  # there is at least one bin
        return run.conv_x(f"{path}/conv", total, self.context_width, 3, bias=True)

    def _fusion(self, run: Tracer, path: str, detail: Tensor, context: Tensor, width: int) -> Tensor:
        wide = context.channels
        detail = run.conv_x(f"{path}/detail", detail, wide, 3)
        if context.size != detail.size:
            context = run("bilinear upsampling", path, context, size=detail.size)
        weights = run("sigmoid", path, self._attention(run, path, detail, context))
        first = run("product", path, detail, weights)
        second = run("product", path, context, run("one minus", path, weights))
        return run.conv_x(f"{path}/conv", run("sum", path, first, second), width, 3)

    def _attention(self, run: Tracer, path: str, detail: Tensor, context: Tensor) -> Tensor:
        """What the weights are the sigmoid of: one map, or a number a channel."""
        sides = (detail, context)
        if self.attention == "spatial":
            both = [run(kind, path, one, channels=1) for one in sides for kind in ("channel mean", "channel maximum")]
            hidden = run.conv_x(f"{path}/attention 1", run.concatenate(path, *both), 2, 3)
            return run.conv(f"{path}/attention 2", hidden, 1, 3)
        means = [pooled_of(run, path, one) for one in sides]
        maxima = [run("global max pooling", path, one, size=(1, 1)) for one in sides]
        reduced = run.conv(
            f"{path}/attention 1", run.concatenate(path, *means, *maxima), max(1, detail.channels // 2), 1
        )
        hidden = run.in_place("leaky ReLU", f"{path}/attention 1", reduced)
        return run.conv(f"{path}/attention 2", hidden, detail.channels, 1)
