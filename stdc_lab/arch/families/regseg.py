"""RegSeg: one branch of dilated, grouped D-blocks, and a small decoder (Gao 2021, arXiv 2111.09957)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from stdc_lab.arch.checks import MAX_DEPTH, MAX_WIDTH, check_int, int_tuple, show
from stdc_lab.arch.graph import Tensor, Tracer, pooled_of, strided, trace_head
from stdc_lab.arch.spec import ArchSpec, Traced
from stdc_lab.errors import SpecError

SQUEEZE = 4
"""A block's squeeze-and-excitation has a quarter of the channels that the block reads."""


@dataclass(frozen=True)
class RegSegSpec(ArchSpec):
    """A network of D-blocks: 1×1, grouped 3×3 and 1×1 convolutions with squeeze-and-excitation and a shortcut.

    stem_width: channels of the 3×3 ConvX at 1/2.
    widths: channels of stages 2, 3 and 4, at 1/4, 1/8 and 1/16.
    last_width: channels of the last block of stage 4.
    depths: blocks in stages 2 and 3; the first block of every stage has stride 2.
    dilations: of the blocks of stage 4 behind its first. Where it is above 1, half of the block's groups have it and
        half have 1; the widths there are multiples of two group widths.
    group_width: channels of a group of the 3×3 convolutions, of which all widths are multiples.
    skip_width, lateral_width: of the decoder's 1×1 ConvX at 1/4; at 1/8 and 1/16, whose outputs are added.
    decoder_width: of its 3×3 ConvX at 1/8 and at 1/4, which the classes are told from.

    Raises `SpecError` when such a network cannot exist. Source: the paper and its author's code, where `regseg` is
    called exp48_decoder26 and `regseg_large` exp53_decoder29.
    """

    family: ClassVar[str] = "regseg"
    classifies: ClassVar[bool] = False
    stages: ClassVar[Mapping[str, tuple[int, ...]]] = {"widths": (2, 3, 4), "depths": (2, 3)}

    stem_width: int = 32
    widths: tuple[int, ...] = (48, 128, 256)
    last_width: int = 320
    depths: tuple[int, ...] = (1, 3)
    dilations: tuple[int, ...] = (1, 2, *(4,) * 4, *(14,) * 7)
    group_width: int = 16
    skip_width: int = 8
    lateral_width: int = 128
    decoder_width: int = 64

    def __post_init__(self) -> None:
        for name in ("stem_width", "skip_width", "lateral_width", "decoder_width", "group_width"):
            check_int(name, getattr(self, name), low=1, high=MAX_WIDTH)
        for name, count, what in (("widths", 3, "stages 2, 3 and 4"), ("depths", 2, "stages 2 and 3")):
            values = int_tuple(name, getattr(self, name))
            if len(values) != count:
                raise SpecError(f"{name}: got {show(values)}; allowed: {count} numbers, one for each of {what}")
            object.__setattr__(self, name, values)
        for stage, depth in zip((2, 3), self.depths, strict=True):
            check_int(f"depths, stage {stage}", depth, low=1, high=MAX_DEPTH)
        dilations = int_tuple("dilations", self.dilations)
        if not 1 <= len(dilations) <= MAX_DEPTH:
            raise SpecError(f"dilations: got {len(dilations)} blocks; allowed: 1 to {MAX_DEPTH}")
        for number, dilation in enumerate(dilations, start=1):
            check_int(f"dilations, block {number}", dilation, low=1, high=256)
        object.__setattr__(self, "dilations", dilations)
        self._check_groups()

    @property
    def detail_widths(self) -> dict[int, int]:
        return {2: self.stem_width, 4: self.widths[0], 8: self.widths[1], 16: self.last_width}

    @property
    def identity(self) -> dict[str, Any]:
        return self.to_dict()

    def facts(self) -> tuple[tuple[str, str], ...]:
        widths = f"{show((self.stem_width, *self.widths))}; last block {self.last_width}"
        decoder = f"1/4: {self.skip_width}, 1/8 and 1/16: {self.lateral_width}, then {self.decoder_width}"
        return (
            ("Widths of stages 1–4", widths),
            ("Blocks in stages 2–4", show((*self.depths, 1 + len(self.dilations)))),
            ("Dilations in stage 4", show((1, *self.dilations))),
            ("Width of a group", str(self.group_width)),
            ("Decoder", f"RegSeg's; {decoder}"),
        )

    def trace_segmenter(self, run: Tracer, images: Tensor, num_classes: int) -> Traced:
        stem = run.conv_x("stage 1", images, self.stem_width, 3, stride=2)
        stages = {2: stem}
        for stage, depth in zip((2, 3), self.depths, strict=True):
            features = stages[2 ** (stage - 1)]
            for index in range(depth):
                stride = 1 if index else 2
                features = self._trace_block(run, f"stage {stage}/block {index + 1}", features, stage, stride, 1)
            stages[2**stage] = features
        features = self._trace_block(run, "stage 4/block 1", stages[8], 4, 2, 1)
        *dilations, last = self.dilations
        for number, dilation in enumerate(dilations, start=2):
            features = self._trace_block(run, f"stage 4/block {number}", features, 4, 1, dilation)
        stages[16] = self._trace_block(run, f"stage 4/block {len(dilations) + 2}", features, 5, 1, last)
        return Traced(self._trace_decoder(run, stages, num_classes), {}, stages)

    def _trace_block(self, run: Tracer, path: str, features: Tensor, stage: int, stride: int, dilation: int) -> Tensor:
        """A D-block. Stage 5 stands for the last block of stage 4."""
        width = (*self.widths, self.last_width)[stage - 2]
        shortcut = features
        if stride > 1:
            size = strided(features.size, stride)
            shortcut = run("average pooling", f"{path}/shortcut", shortcut, size=size, kernel=stride, stride=stride)
        if stride > 1 or width != features.channels:
            shortcut = run.conv(f"{path}/shortcut", shortcut, width, 1)
        widened = run.conv_x(f"{path}/conv 1", features, width, 1)
        groups = width // self.group_width
        if dilation == 1:
            mixed = run.conv(f"{path}/conv 2", widened, width, 3, stride=stride, groups=groups, norm=False)
        else:
            near, far = run.split(widened, 2)
            halves = [
                run.conv(f"{path}/conv 2", half, width // 2, 3, dilation=rate, groups=groups // 2, norm=False)
                for half, rate in ((near, 1), (far, dilation))
            ]
            mixed = run.concatenate(f"{path}/conv 2", *halves)
        mixed = run.in_place("ReLU", f"{path}/conv 2", run("batch norm", f"{path}/conv 2", mixed))
        hidden = max(1, features.channels // SQUEEZE)
        squeezed = run.conv(f"{path}/squeeze", pooled_of(run, path, mixed), hidden, 1, norm=False, bias=True)
        squeezed = run.in_place("ReLU", path, squeezed)
        weights = run.conv(f"{path}/excite", squeezed, width, 1, norm=False, bias=True)
        weighed = run("product", path, mixed, run("sigmoid", path, weights))
        output = run("sum", path, run.conv(f"{path}/conv 3", weighed, width, 1), shortcut)
        return run.in_place("ReLU", path, output)

    def _trace_decoder(self, run: Tracer, stages: Mapping[int, Tensor], num_classes: int) -> Tensor:
        """Logits at 1/4."""
        coarse = run.conv_x("decoder/lateral at 1/16", stages[16], self.lateral_width, 1)
        middle = run.conv_x("decoder/lateral at 1/8", stages[8], self.lateral_width, 1)
        fine = run.conv_x("decoder/lateral at 1/4", stages[4], self.skip_width, 1)
        path = "decoder/fusion at 1/8"
        both = run("sum", path, middle, run("bilinear upsampling", path, coarse, size=middle.size))
        fused = run.conv_x(path, both, self.decoder_width, 3)
        joined = run.concatenate("head", run("bilinear upsampling", "head", fused, size=fine.size), fine)
        return trace_head(run, "head", joined, self.decoder_width, num_classes, bias=True)

    def _check_groups(self) -> None:
        unit = self.group_width
        dilated = any(dilation > 1 for dilation in self.dilations[:-1])
        for name, width, multiple in (
            ("widths, stage 2", self.widths[0], unit),
            ("widths, stage 3", self.widths[1], unit),
            ("widths, stage 4", self.widths[2], 2 * unit if dilated else unit),
            ("last_width", self.last_width, 2 * unit if self.dilations[-1] > 1 else unit),
        ):
            check_int(name, width, low=1, high=MAX_WIDTH)
            if width % multiple:
                what = "two groups" if multiple > unit else "a group"
                raise SpecError(f"{name}: got {width}; allowed: multiples of {multiple}, {what} of {unit} channels")


PRESETS: dict[str, tuple[ArchSpec, str]] = {
    "regseg": (RegSegSpec(), "RegSeg as released (exp48_decoder26), 3.3 M parameters"),
    "regseg_large": (
        RegSegSpec(
            widths=(48, 120, 336),
            last_width=384,
            depths=(2, 6),
            group_width=24,
            skip_width=16,
            lateral_width=256,
            decoder_width=128,
        ),
        "its larger form (exp53_decoder29)",
    ),
}
