"""The STDC family: its spec, its forward pass, its presets (sections 3.1 and 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from stdc_lab.arch.channels import split_channels, widths_of_base
from stdc_lab.arch.checks import (
    MAX_DEPTH,
    MAX_WIDTH,
    check_bool,
    check_choice,
    check_int,
    field_names,
    int_tuple,
    show,
)
from stdc_lab.arch.decoders import DECODERS, Decoder, DecoderSpec, decoder_from
from stdc_lab.arch.graph import Tensor, Tracer, strided, trace_head
from stdc_lab.arch.spec import ArchSpec, Traced
from stdc_lab.errors import SpecError

FUSIONS = ("cat", "add")
DOWNSAMPLES = ("depthwise", "strided")


@dataclass(frozen=True)
class StdcSpec(ArchSpec):
    """A network of STDC modules, with a decoder.

    widths: output channels of stages 1 to 5 (released: 32, 64, 256, 512, 1024).
    base_width: shorthand for them: base/2, base, 4·base, 8·base, 16·base.
    stem_depths: ConvX in stages 1 and 2, one or two; the first of a stage has stride 2 (the paper's: 1, 1).
    depths: STDC modules in stages 3, 4 and 5; the first module of a stage has stride 2.
    num_blocks: ConvX blocks in a module.
    channel_ratio: ratio of the widths of successive blocks, see `split_channels` (the paper's: 0.5).
    channel_multiple: block widths are multiples of it, 8 where a device wants that (released: 1).
    kernels: side of each block's convolution, odd (the paper's: 1, 3, 3, …).
    fusion: what a module makes of its blocks' outputs. `cat`: their concatenation. `add`: the released code's variant
        of that name, the concatenation plus the module's input.
    downsample: how a module halves its input. `depthwise`: a depthwise stride-2 convolution between blocks 1 and 2, as
        released. `strided`: block 2 has the stride, as the paper draws it.
    pool_counts_padding: whether the average pooling of a stride-2 module divides by the zeros that pad it too, as the
        released code does and PaddleSeg's, of which PP-LiteSeg is, does not.
    conv_last: whether the classifier's last 1×1 ConvX, max(1024, stage 5) wide, follows stage 5 (`use_conv_last`).
    decoder: see `DecoderSpec`.

    Raises `SpecError` when such a network cannot exist. Source: sections 3.1 and 3.2 of the paper.
    """

    family: ClassVar[str] = "stdc"
    classifies: ClassVar[bool] = True
    shorthand: ClassVar[Mapping[str, str]] = {"base_width": "widths"}
    stages: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "widths": (1, 2, 3, 4, 5), "stem_depths": (1, 2), "depths": (3, 4, 5)
    }  # fmt: skip
    schedules: ClassVar[tuple[str, ...]] = ("kernels",)

    base_width: InitVar[int | None] = None
    widths: tuple[int, ...] = ()
    stem_depths: tuple[int, ...] = (1, 1)
    depths: tuple[int, ...] = (2, 2, 2)
    num_blocks: int = 4
    channel_ratio: float = 0.5
    channel_multiple: int = 1
    kernels: tuple[int, ...] = ()
    fusion: str = "cat"
    downsample: str = "depthwise"
    pool_counts_padding: bool = True
    conv_last: bool = False
    decoder: Decoder = field(default_factory=DecoderSpec)

    def __post_init__(self, base_width: int | None) -> None:
        widths = int_tuple("widths", self.widths)
        if base_width is not None:
            widths = _expand(base_width, widths)
        widths = widths or widths_of_base(64)
        kernels = int_tuple("kernels", self.kernels)
        check_int("num_blocks", self.num_blocks, low=2, high=8)
        check_int("channel_multiple", self.channel_multiple, low=1, high=64)
        _check_widths(widths, self.num_blocks, self.channel_multiple)
        stem_depths = int_tuple("stem_depths", self.stem_depths)
        depths = int_tuple("depths", self.depths)
        _check_depths("stem_depths", stem_depths, first_stage=1, stages=2, high=2)
        _check_depths("depths", depths, first_stage=3, stages=3, high=MAX_DEPTH)
        ratio = self.channel_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 16:
            raise SpecError(f"channel_ratio: got {ratio!r}; allowed: a number above 0 and up to 16")
        kernels = kernels or default_kernels(self.num_blocks)
        _check_kernels(kernels, self.num_blocks)
        check_choice("fusion", self.fusion, FUSIONS)
        check_choice("downsample", self.downsample, DOWNSAMPLES)
        check_bool("pool_counts_padding", self.pool_counts_padding)
        check_bool("conv_last", self.conv_last)
        if not isinstance(self.decoder, Decoder):
            raise SpecError(f"decoder: got {self.decoder!r}; allowed: a decoder, such as DecoderSpec()")
        for name, value in (
            ("widths", widths),
            ("stem_depths", stem_depths),
            ("depths", depths),
            ("kernels", kernels),
            ("channel_ratio", float(ratio)),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def block_widths(self) -> tuple[tuple[int, ...], ...]:
        """Output channels of each block in the modules of stages 3, 4 and 5."""
        return tuple(
            split_channels(width, self.num_blocks, self.channel_ratio, self.channel_multiple)
            for width in self.widths[2:]
        )

    @property
    def conv_last_width(self) -> int:
        """Channels of the last 1×1 ConvX, which every classifier has, and a segmenter with `conv_last`."""
        return max(1024, self.widths[4])

    @property
    def auxiliary_strides(self) -> tuple[int, ...]:
        return self.decoder.auxiliary_strides

    @property
    def detail_widths(self) -> dict[int, int]:
        """At strides 2 to 16: the outputs of stages 1 to 4."""
        return dict(zip((2, 4, 8, 16), self.widths, strict=False))

    @property
    def identity(self) -> dict[str, Any]:
        """What the fields resolve to. A field that a later version adds enters only where it departs from the default,
        so that an identity once given stays."""
        resolved: dict[str, Any] = {
            "family": "stdc",
            "widths": self.widths[:2],
            "depths": self.depths,
            "block_widths": self.block_widths,
            "kernels": self.kernels,
            "decoder": self.decoder.identity,
        }
        for name, default in (
            ("stem_depths", (1, 1)), ("fusion", "cat"), ("downsample", "depthwise"), ("pool_counts_padding", True)
        ):  # fmt: skip
            if getattr(self, name) != default:
                resolved[name] = getattr(self, name)
        if self.conv_last:
            resolved["conv_last"] = True
        return resolved

    def replace(self, **changes: Any) -> StdcSpec:
        """A copy with some fields changed; of the decoder, a mapping changes what it names.

        A new `num_blocks` without new `kernels` takes the default kernels if they were the default ones.
        """
        values = {**self.to_dict(), **changes}
        if "kernels" not in changes and self.kernels == default_kernels(self.num_blocks):
            del values["kernels"]
        if "base_width" in changes and "widths" not in changes:
            del values["widths"]
        decoder = changes.get("decoder")
        if isinstance(decoder, Mapping) and decoder.get("kind", self.decoder.kind) == self.decoder.kind:
            values["decoder"] = {**self.decoder.to_dict(), **decoder}
        return StdcSpec.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "decoder": self.decoder.to_dict()}

    def derived(self) -> dict[str, Any]:
        return {"block widths": [list(widths) for widths in self.block_widths]}

    @property
    def unused_classifier_params(self) -> int:
        return 2 * self.conv_last_width

    @classmethod
    def decoder_keys(cls) -> tuple[str, ...]:
        fields = (name for kind in DECODERS.values() for name in field_names(kind))
        return tuple(f"decoder.{name}" for name in dict.fromkeys(("kind", *fields)))

    def with_values(self, values: Mapping[str, Any]) -> StdcSpec:
        """A kernel schedule shorter than a module goes on with its last kernel, a longer one is cut."""
        if "kernels" in values:
            blocks = values.get("num_blocks", self.num_blocks)
            values = {**values, "kernels": _continued(values["kernels"], blocks)}
        return super().with_values(values)

    def value_at(self, key: str) -> Any:
        if key == "base_width":
            return self.widths[1] if self.widths == widths_of_base(self.widths[1]) else None
        return super().value_at(key)

    def facts(self) -> tuple[tuple[str, str], ...]:
        decoder, plain = self.decoder, StdcSpec()
        widths = "; ".join(f"stage {stage}: {show(blocks)}" for stage, blocks in enumerate(self.block_widths, start=3))
        names = {"stem_depths": "convolutions in stages 1 and 2", "fusion": "fusion", "downsample": "downsample"}
        departs = [
            f"{words} {show(value) if isinstance(value, tuple) else value}"
            for name, words in names.items()
            if (value := getattr(self, name)) != getattr(plain, name)
        ]
        departs += [] if self.pool_counts_padding else ["padding left out of pooled means"]
        departs += ["conv_last"] if self.conv_last else []
        rows = (
            ("Widths of stages 1–5", show(self.widths)),
            ("Modules in stages 3–5", show(self.depths)),
            ("Blocks in a module", f"{self.num_blocks}, kernels {show(self.kernels)}"),
            ("Channel ratio", f"{self.channel_ratio:g}; block widths in {widths}"),
            *decoder.facts(),
        )
        return (*rows, ("Departs from STDC's form", "; ".join(departs))) if departs else rows

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> StdcSpec:
        decoder = values.get("decoder")
        if isinstance(decoder, Mapping):
            values = {**values, "decoder": decoder_from(decoder)}
        return super().from_fields(values)

    def trace_segmenter(self, run: Tracer, images: Tensor, num_classes: int) -> Traced:
        features = self._trace_backbone(run, images)
        deepest = features[-1]
        if self.conv_last:
            deepest = run.conv_x("conv_last", deepest, self.conv_last_width, 1)
        fused, contexts = self.decoder.trace(run, images, (*features[2:4], deepest))
        logits = trace_head(run, "head", fused, self.decoder.head_width, num_classes)
        return Traced(logits, contexts, dict(zip(self.detail_widths, features, strict=False)))

    def trace_classifier(self, run: Tracer, images: Tensor, num_classes: int) -> None:
        width = self.conv_last_width
        features = run.conv_x("conv_last", self._trace_backbone(run, images)[-1], width, 1)
        pooled = run("global mean", "hidden", run("square", "hidden", features), size=(1, 1))
        run.linear("classes", run("ReLU", "hidden", run.linear("hidden", pooled, width)), num_classes)

    def _trace_backbone(self, run: Tracer, images: Tensor) -> list[Tensor]:
        """Outputs of stages 1 to 5."""
        features, outputs = images, []
        for stage, depth in enumerate(self.stem_depths, start=1):
            for index in range(depth):
                path = f"stage {stage}/conv {index + 1}"
                features = run.conv_x(path, features, self.widths[stage - 1], 3, stride=1 if index else 2)
            outputs.append(features)
        for stage, depth in enumerate(self.depths, start=3):

            def module(number: int, features: Tensor, stage: int = stage) -> Tensor:
                return self._trace_module(run, f"stage {stage}/module {number}", stage, features, halves=number == 1)

            features = run.repeat(range(2, depth + 1), module(1, features), module)
            outputs.append(features)
        return outputs

    def _trace_module(self, run: Tracer, path: str, stage: int, features: Tensor, *, halves: bool) -> Tensor:
        """A module of a stage; the first one halves height and width."""
        widths, kernels = self.block_widths[stage - 3], self.kernels
        depthwise = halves and self.downsample == "depthwise"
        first = current = run.conv_x(f"{path}/block 1", features, widths[0], kernels[0])
        if depthwise:
            current = run.conv(f"{path}/downsample", first, widths[0], 3, stride=2, groups=widths[0])
        outputs = [current]
        if halves and not (depthwise and self.fusion == "add"):
            half = strided(first.size, 2)
            outputs = [run("average pooling", path, first, size=half, kernel=3, stride=2)]
        for block in range(1, self.num_blocks):
            stride = 2 if halves and not depthwise and block == 1 else 1
            current = run.conv_x(f"{path}/block {block + 1}", current, widths[block], kernels[block], stride=stride)
            outputs.append(current)
        fused = run.concatenate(path, *outputs)
        if self.fusion == "cat":
            return fused
        residual = features
        if halves:
            wide = features.channels
            if depthwise:
                residual = run.conv(f"{path}/residual downsample", residual, wide, 3, stride=2, groups=wide)
            else:
                half = strided(residual.size, 2)
                residual = run("average pooling", path, residual, size=half, kernel=3, stride=2)
            residual = run.conv(f"{path}/residual projection", residual, fused.channels, 1)
        return run("sum", path, fused, residual)


def default_kernels(num_blocks: int) -> tuple[int, ...]:
    """A 1×1 block, then 3×3 ones (section 3.1)."""
    return (1,) + (3,) * (num_blocks - 1)


def _continued(schedule: Any, num_blocks: Any) -> tuple[int, ...]:
    kernels = tuple(schedule) if isinstance(schedule, list | tuple) else ()
    if not kernels:
        raise SpecError(f"kernels: got {schedule!r}; allowed: a list of at least one odd number, such as [1, 3]")
    return (kernels + kernels[-1:] * int(num_blocks))[: int(num_blocks)]


def _expand(base_width: Any, widths: tuple[int, ...]) -> tuple[int, ...]:
    check_int("base_width", base_width, low=2, high=MAX_WIDTH // 16)
    if base_width % 2:
        raise SpecError(f"base_width: got {base_width}; allowed: an even number")
    expanded = widths_of_base(base_width)
    if widths and widths != expanded:
        raise SpecError(
            f"base_width: got {base_width}, which means widths {show(expanded)}, beside "
            f"widths {show(widths)}; allowed: one of the two"
        )
    return expanded


def _check_widths(widths: tuple[int, ...], num_blocks: int, multiple: int) -> None:
    if len(widths) != 5:
        raise SpecError(f"widths: got {show(widths)}; allowed: five numbers, one for each of stages 1 to 5")
    for stage, width in enumerate(widths, start=1):
        check_int(f"widths, stage {stage}", width, low=1, high=MAX_WIDTH)
    for stage, width in enumerate(widths[2:], start=3):
        if width % multiple:
            raise SpecError(
                f"widths, stage {stage}: got {width}; allowed: multiples of channel_multiple ({multiple}), "
                "which the blocks of a module share out"
            )
        if width < num_blocks * multiple:
            least = f"num_blocks ({num_blocks})" + (f" × channel_multiple ({multiple})" if multiple > 1 else "")
            what = "a channel" if multiple == 1 else f"{multiple} channels"
            raise SpecError(
                f"widths, stage {stage}: got {width}; allowed: at least {least}, {what} for each block of a module"
            )


def _check_depths(name: str, depths: tuple[int, ...], *, first_stage: int, stages: int, high: int) -> None:
    if len(depths) != stages:
        count = {2: "two", 3: "three"}[stages]
        joined = {2: "1 and 2", 3: "3 to 5"}[stages]
        raise SpecError(f"{name}: got {show(depths)}; allowed: {count} numbers, one for each of stages {joined}")
    for stage, depth in enumerate(depths, start=first_stage):
        check_int(f"{name}, stage {stage}", depth, low=1, high=high)


def _check_kernels(kernels: tuple[int, ...], num_blocks: int) -> None:
    if len(kernels) != num_blocks:
        raise SpecError(f"kernels: got {show(kernels)}; allowed: num_blocks ({num_blocks}) numbers, one for each block")
    for block, kernel in enumerate(kernels, start=1):
        check_int(f"kernels, block {block}", kernel, low=1, high=31)
        if kernel % 2 == 0:
            raise SpecError(f"kernels, block {block}: got {kernel}; allowed: odd numbers")
