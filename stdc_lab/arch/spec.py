"""`ArchSpec`: a segmentation network of the STDC family as a value, and its identity."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from stdc_lab.arch.channels import split_channels, widths_of_base
from stdc_lab.errors import SpecError

MAX_WIDTH = 8192
MAX_DEPTH = 64


FUSIONS = ("cat", "add")
DOWNSAMPLES = ("depthwise", "strided")
INTERPOLATIONS = ("nearest", "bilinear")


TRAINING_HEAD_WIDTH = 64
"""Channels of the 3×3 ConvX in auxiliary and detail heads, as released."""


class PathLayer(NamedTuple):
    """A ConvX of the spatial path."""

    width: int
    kernel: int
    stride: int


SPATIAL_PATH = (PathLayer(64, 7, 2), PathLayer(64, 3, 2), PathLayer(64, 3, 2), PathLayer(128, 1, 1))


@dataclass(frozen=True)
class DecoderSpec:
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

    context_width: int = 128
    fusion_width: int = 256
    head_width: int = 256
    attention: bool = True
    global_context: bool = True
    spatial_path: bool = False
    interpolation: str = "nearest"

    def __post_init__(self) -> None:
        for name in ("context_width", "fusion_width", "head_width"):
            _check_int(f"decoder.{name}", getattr(self, name), low=4, high=MAX_WIDTH)
        for name in ("attention", "global_context", "spatial_path"):
            _check_bool(f"decoder.{name}", getattr(self, name))
        _check_choice("decoder.interpolation", self.interpolation, INTERPOLATIONS)


@dataclass(frozen=True)
class ArchSpec:
    """The network that is deployed, and nothing else: no classes, no input size, no training.

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
        widths = _int_tuple("widths", self.widths)
        if base_width is not None:
            widths = _expand(base_width, widths)
        widths = widths or widths_of_base(64)
        kernels = _int_tuple("kernels", self.kernels)
        _check_int("num_blocks", self.num_blocks, low=2, high=8)
        _check_int("channel_multiple", self.channel_multiple, low=1, high=64)
        _check_widths(widths, self.num_blocks, self.channel_multiple)
        stem_depths = _int_tuple("stem_depths", self.stem_depths)
        depths = _int_tuple("depths", self.depths)
        _check_depths("stem_depths", stem_depths, first_stage=1, stages=2, high=2)
        _check_depths("depths", depths, first_stage=3, stages=3, high=MAX_DEPTH)
        ratio = self.channel_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 16:
            raise SpecError(f"channel_ratio: got {ratio!r}; allowed: a number above 0 and up to 16")
        kernels = kernels or default_kernels(self.num_blocks)
        _check_kernels(kernels, self.num_blocks)
        _check_choice("fusion", self.fusion, FUSIONS)
        _check_choice("downsample", self.downsample, DOWNSAMPLES)
        _check_bool("conv_last", self.conv_last)
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

    @cached_property
    def arch_id(self) -> str:
        """Twelve hexadecimal digits: equal for equal networks, however they were written down.

        A digest of what the fields resolve to. A field that a later version adds enters only where it
        departs from the default, so that an identity once given stays.
        """
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
        canonical = json.dumps(resolved, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def replace(self, **changes: Any) -> ArchSpec:
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
        return ArchSpec.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and dictionaries, with shorthand resolved; `from_dict` reads it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["decoder"] = dataclasses.asdict(self.decoder)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ArchSpec:
        """The spec that a mapping of field names describes.

        Raises `SpecError` for a key that no field has, or a value that no network can have.
        """
        names = ["base_width", *(f.name for f in dataclasses.fields(cls))]
        _check_keys("", values, names)
        plain = dict(values)
        decoder = plain.get("decoder")
        if isinstance(decoder, Mapping):
            _check_keys("decoder.", decoder, [f.name for f in dataclasses.fields(DecoderSpec)])
            plain["decoder"] = DecoderSpec(**decoder)
        return cls(**plain)


def default_kernels(num_blocks: int) -> tuple[int, ...]:
    """A 1×1 block, then 3×3 ones (section 3.1)."""
    return (1,) + (3,) * (num_blocks - 1)


def _expand(base_width: Any, widths: tuple[int, ...]) -> tuple[int, ...]:
    _check_int("base_width", base_width, low=2, high=MAX_WIDTH // 16)
    if base_width % 2:
        raise SpecError(f"base_width: got {base_width}; allowed: an even number")
    expanded = widths_of_base(base_width)
    if widths and widths != expanded:
        raise SpecError(
            f"base_width: got {base_width}, which means widths {_show(expanded)}, beside "
            f"widths {_show(widths)}; allowed: one of the two"
        )
    return expanded


def _check_widths(widths: tuple[int, ...], num_blocks: int, multiple: int) -> None:
    if len(widths) != 5:
        raise SpecError(f"widths: got {_show(widths)}; allowed: five numbers, one for each of stages 1 to 5")
    for stage, width in enumerate(widths, start=1):
        _check_int(f"widths, stage {stage}", width, low=1, high=MAX_WIDTH)
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
        raise SpecError(f"{name}: got {_show(depths)}; allowed: {count} numbers, one for each of stages {joined}")
    for stage, depth in enumerate(depths, start=first_stage):
        _check_int(f"{name}, stage {stage}", depth, low=1, high=high)


def _check_kernels(kernels: tuple[int, ...], num_blocks: int) -> None:
    if len(kernels) != num_blocks:
        raise SpecError(
            f"kernels: got {_show(kernels)}; allowed: num_blocks ({num_blocks}) numbers, one for each block"
        )
    for block, kernel in enumerate(kernels, start=1):
        _check_int(f"kernels, block {block}", kernel, low=1, high=31)
        if kernel % 2 == 0:
            raise SpecError(f"kernels, block {block}: got {kernel}; allowed: odd numbers")


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(f"{name}: got {value!r}; allowed: {', '.join(allowed)}")


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SpecError(f"{name}: got {value!r}; allowed: true, false")


def _show(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in values) or "nothing"


def _int_tuple(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SpecError(f"{name}: got {value!r}; allowed: a list of whole numbers")
    return tuple(value)


def _check_int(name: str, value: Any, *, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(f"{name}: got {value!r}; allowed: a whole number from {low} to {high}")


def _check_keys(prefix: str, values: Mapping[str, Any], allowed: list[str]) -> None:
    for key in values:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f" (did you mean {prefix}{close[0]}?)" if close else ""
            raise SpecError(f"{prefix}{key}: no such field{hint}; allowed: {', '.join(allowed)}")
