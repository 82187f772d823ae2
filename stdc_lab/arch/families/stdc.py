"""The STDC family: its spec, its forward pass, its presets (sections 3.1 and 3.2 of the paper)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
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
    check_keys,
    int_tuple,
    show,
)
from stdc_lab.arch.decoders.bisenet import TRAINING_HEAD_WIDTH, DecoderSpec, trace_head
from stdc_lab.arch.graph import Tensor, Tracer, strided
from stdc_lab.arch.spec import ArchSpec, HeadName
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
    conv_last: whether the classifier's last 1×1 ConvX, max(1024, stage 5) wide, follows stage 5 (`use_conv_last`).
    decoder: see `DecoderSpec`.

    Raises `SpecError` when such a network cannot exist. Source: sections 3.1 and 3.2 of the paper.
    """

    family: ClassVar[str] = "stdc"
    auxiliary_strides: ClassVar[tuple[int, ...]] = (8, 16)
    classifies: ClassVar[bool] = True

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
    conv_last: bool = False
    decoder: DecoderSpec = field(default_factory=DecoderSpec)

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
        check_bool("conv_last", self.conv_last)
        if not isinstance(self.decoder, DecoderSpec):
            raise SpecError(f"decoder: got {self.decoder!r}; allowed: a DecoderSpec")
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
    def detail_widths(self) -> dict[int, int]:
        """At strides 2 to 16: the outputs of stages 1 to 4."""
        return dict(zip((2, 4, 8, 16), self.widths, strict=False))

    @property
    def identity(self) -> dict[str, Any]:
        """What the fields resolve to. A field that a later version adds enters only where it departs from the default,
        so that an identity once given stays."""
        decoder, plain = dataclasses.asdict(self.decoder), DecoderSpec()
        resolved: dict[str, Any] = {
            "family": "stdc",
            "widths": self.widths[:2],
            "depths": self.depths,
            "block_widths": self.block_widths,
            "kernels": self.kernels,
            "decoder": {
                name: value
                for name, value in decoder.items()
                if name.endswith("_width") or value != getattr(plain, name)
            },
        }
        for name, default in (("stem_depths", (1, 1)), ("fusion", "cat"), ("downsample", "depthwise")):
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
        if isinstance(changes.get("decoder"), Mapping):
            values["decoder"] = {**dataclasses.asdict(self.decoder), **changes["decoder"]}
        return StdcSpec.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and dictionaries, with shorthand resolved; `from_dict` reads it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["decoder"] = dataclasses.asdict(self.decoder)
        return {
            "family": self.family,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StdcSpec:
        """The spec that a mapping of field names describes.

        Raises `SpecError` for a key that no field has, or a value that no network can have.
        """
        plain = dict(values)
        check_choice("family", plain.pop("family", cls.family), (cls.family,))
        check_keys("", plain, ["base_width", *(f.name for f in dataclasses.fields(cls))])
        decoder = plain.get("decoder")
        if isinstance(decoder, Mapping):
            check_keys("decoder.", decoder, [f.name for f in dataclasses.fields(DecoderSpec)])
            plain["decoder"] = DecoderSpec(**decoder)
        return cls(**plain)

    def trace(
        self,
        run: Tracer,
        images: Tensor,
        num_classes: int,
        *,
        head: HeadName = "seg",
        auxiliary: bool = False,
        detail_strides: Collection[int] = (),
    ) -> None:
        features = self._trace_backbone(run, images)
        if head == "cls" or self.conv_last:
            features[-1] = run.conv_x("conv_last", features[-1], self.conv_last_width, 1)
        if head == "cls":
            _trace_classifier(run, features[-1], self.conv_last_width, num_classes)
            return
        decoder = self.decoder
        fused, contexts = decoder.trace(run, images, features[2:])
        trace_head(run, "head", fused, decoder.head_width, num_classes, images.size)
        for stride in self.auxiliary_strides if auxiliary else ():
            path = f"auxiliary head at 1/{stride}"
            trace_head(run, path, contexts[stride], TRAINING_HEAD_WIDTH, num_classes, images.size)
        for stride in detail_strides:
            stage = dict(zip(self.detail_widths, features, strict=False))[stride]
            trace_head(run, f"detail head at 1/{stride}", stage, TRAINING_HEAD_WIDTH, 1)

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


def _trace_classifier(run: Tracer, features: Tensor, width: int, num_classes: int) -> None:
    pooled = run("global mean", "hidden", run("square", "hidden", features), size=(1, 1))
    run.linear("classes", run("ReLU", "hidden", run.linear("hidden", pooled, width)), num_classes)


_STDC1 = StdcSpec(base_width=64, depths=(2, 2, 2))
_STDC2 = StdcSpec(base_width=64, depths=(4, 5, 3))
_SPATIAL_PATH = {"spatial_path": True}

# Name: (spec, what it is or which claim it is an arm of).
PRESETS: dict[str, tuple[ArchSpec, str]] = {
    "stdc1": (_STDC1, "STDC1-Seg as released (813M classifier)"),
    "stdc2": (_STDC2, "STDC2-Seg as released (1446M classifier)"),
    "stdc1_spatial_path": (
        _STDC1.replace(decoder=_SPATIAL_PATH),
        "BiSeNet's way: a spatial path, which detail guidance is to replace",
    ),
    "stdc2_spatial_path": (
        _STDC2.replace(decoder=_SPATIAL_PATH),
        "the same on STDC2",
    ),
    "stdc1_blocks2": (_STDC1.replace(num_blocks=2), "two blocks in a module; four are claimed to be best"),
    "stdc1_blocks3": (_STDC1.replace(num_blocks=3), "three blocks in a module"),
    "stdc1_blocks5": (_STDC1.replace(num_blocks=5), "five blocks in a module"),
    "stdc1_blocks6": (_STDC1.replace(num_blocks=6), "six blocks in a module"),
    "stdc2_blocks2": (_STDC2.replace(num_blocks=2), "two blocks in a module; four are claimed to be best"),
    "stdc2_blocks3": (_STDC2.replace(num_blocks=3), "three blocks in a module"),
    "stdc2_blocks5": (_STDC2.replace(num_blocks=5), "five blocks in a module"),
    "stdc2_blocks6": (_STDC2.replace(num_blocks=6), "six blocks in a module"),
    "stdc1_uniform": (
        _STDC1.replace(channel_ratio=1.0),
        "equal channels in all blocks, not halved from block to block",
    ),
    "stdc1_growing": (_STDC1.replace(channel_ratio=2.0), "more channels in higher blocks, claimed to be redundant"),
    "stdc1_add": (_STDC1.replace(fusion="add"), "the released residual; concatenation is claimed to be efficient"),
    "stdc2_add": (_STDC2.replace(fusion="add"), "the same on STDC2"),
    "stdc1_strided": (_STDC1.replace(downsample="strided"), "stride on block 2, as the paper draws it"),
    "stdc2_strided": (_STDC2.replace(downsample="strided"), "the same on STDC2"),
    "stdc1_stem2": (_STDC1.replace(stem_depths=(2, 2)), "two convolutions in stages 1 and 2; one is claimed enough"),
    "stdc1_conv_last": (_STDC1.replace(conv_last=True), "the classifier's last convolution in the segmenter"),
}
