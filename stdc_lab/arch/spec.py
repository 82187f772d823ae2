"""`ArchSpec`: a segmentation network of the STDC family as a value, and its identity."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import Any

from stdc_lab.errors import SpecError

MAX_WIDTH = 8192
MAX_DEPTH = 64


@dataclass(frozen=True)
class DecoderSpec:
    """Widths of the decoder, in channels.

    context_width: attention refinement and the decoder features at 1/8 and 1/16 (released: 128).
    fusion_width: the feature fusion module's output (released: 256).
    head_width: the 3×3 convolution before the classes (released: 256).
    """

    context_width: int = 128
    fusion_width: int = 256
    head_width: int = 256

    def __post_init__(self) -> None:
        for name in ("context_width", "fusion_width", "head_width"):
            _check_int(f"decoder.{name}", getattr(self, name), low=4, high=MAX_WIDTH)


@dataclass(frozen=True)
class ArchSpec:
    """The network that is deployed, and nothing else: no classes, no input size, no training.

    widths: output channels of stages 1 to 5 (released: 32, 64, 256, 512, 1024).
    base_width: shorthand for them: base/2, base, 4·base, 8·base, 16·base.
    depths: STDC modules in stages 3, 4 and 5; the first module of a stage has stride 2.
    num_blocks: ConvX blocks in a module.
    channel_ratio: ratio of the widths of successive blocks, see `split_channels` (the paper's: 0.5).
    kernels: side of each block's convolution, odd (the paper's: 1, 3, 3, …).
    decoder: the decoder's widths.

    Raises `SpecError` when such a network cannot exist. Source: sections 3.1 and 3.2 of the paper.
    """

    base_width: InitVar[int | None] = None
    widths: tuple[int, ...] = ()
    depths: tuple[int, ...] = (2, 2, 2)
    num_blocks: int = 4
    channel_ratio: float = 0.5
    kernels: tuple[int, ...] = ()
    decoder: DecoderSpec = field(default_factory=DecoderSpec)

    def __post_init__(self, base_width: int | None) -> None:
        widths = _int_tuple("widths", self.widths)
        if base_width is not None:
            _check_int("base_width", base_width, low=2, high=MAX_WIDTH // 16)
            if base_width % 2:
                raise SpecError(f"base_width: got {base_width}; allowed: an even number")
            expanded = widths_of_base(base_width)
            if widths and widths != expanded:
                raise SpecError(
                    f"base_width: got {base_width}, which means widths {_show(expanded)}, beside "
                    f"widths {_show(widths)}; allowed: one of the two"
                )
            widths = expanded
        widths = widths or widths_of_base(64)
        depths = _int_tuple("depths", self.depths)
        kernels = _int_tuple("kernels", self.kernels)
        _check_int("num_blocks", self.num_blocks, low=2, high=8)
        if len(widths) != 5:
            raise SpecError(f"widths: got {_show(widths)}; allowed: five numbers, one for each of stages 1 to 5")
        for stage, width in enumerate(widths, start=1):
            _check_int(f"widths, stage {stage}", width, low=1, high=MAX_WIDTH)
        for stage, width in enumerate(widths[2:], start=3):
            if width < self.num_blocks:
                raise SpecError(
                    f"widths, stage {stage}: got {width}; allowed: at least num_blocks ({self.num_blocks}), "
                    "a channel for each block of a module"
                )
        if len(depths) != 3:
            raise SpecError(f"depths: got {_show(depths)}; allowed: three numbers, one for each of stages 3 to 5")
        for stage, depth in enumerate(depths, start=3):
            _check_int(f"depths, stage {stage}", depth, low=1, high=MAX_DEPTH)
        ratio = self.channel_ratio
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 16:
            raise SpecError(f"channel_ratio: got {ratio!r}; allowed: a number above 0 and up to 16")
        kernels = kernels or (1,) + (3,) * (self.num_blocks - 1)
        if len(kernels) != self.num_blocks:
            raise SpecError(
                f"kernels: got {_show(kernels)}; allowed: num_blocks ({self.num_blocks}) numbers, one for each block"
            )
        for block, kernel in enumerate(kernels, start=1):
            _check_int(f"kernels, block {block}", kernel, low=1, high=31)
            if kernel % 2 == 0:
                raise SpecError(f"kernels, block {block}: got {kernel}; allowed: odd numbers")
        if not isinstance(self.decoder, DecoderSpec):
            raise SpecError(f"decoder: got {self.decoder!r}; allowed: a DecoderSpec")
        for name, value in (
            ("widths", widths),
            ("depths", depths),
            ("kernels", kernels),
            ("channel_ratio", float(ratio)),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def block_widths(self) -> tuple[tuple[int, ...], ...]:
        """Output channels of each block in the modules of stages 3, 4 and 5."""
        return tuple(split_channels(width, self.num_blocks, self.channel_ratio) for width in self.widths[2:])

    @cached_property
    def arch_id(self) -> str:
        """Twelve hexadecimal digits: equal for equal networks, however they were written down.

        A digest of what the fields resolve to. A field that a later version adds enters only where it
        departs from the default, so that an identity once given stays.
        """
        resolved = {
            "family": "stdc",
            "widths": self.widths[:2],
            "depths": self.depths,
            "block_widths": self.block_widths,
            "kernels": self.kernels,
            "decoder": dataclasses.asdict(self.decoder),
        }
        canonical = json.dumps(resolved, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def replace(self, **changes: Any) -> ArchSpec:
        """A copy with some fields changed.

        A new `num_blocks` without new `kernels` takes the default kernels if they were the default ones.
        """
        values = {**self.to_dict(), **changes}
        default_kernels = (1,) + (3,) * (self.num_blocks - 1)
        if "kernels" not in changes and self.kernels == default_kernels:
            del values["kernels"]
        if "base_width" in changes and "widths" not in changes:
            del values["widths"]
        return ArchSpec.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and dictionaries, with shorthand resolved; `from_dict` reads it back."""
        return {
            "widths": list(self.widths),
            "depths": list(self.depths),
            "num_blocks": self.num_blocks,
            "channel_ratio": self.channel_ratio,
            "kernels": list(self.kernels),
            "decoder": dataclasses.asdict(self.decoder),
        }

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


def widths_of_base(base_width: int) -> tuple[int, ...]:
    """Widths of stages 1 to 5 for a base width, as the released networks relate them (64: 32 … 1024)."""
    return (base_width // 2, base_width, 4 * base_width, 8 * base_width, 16 * base_width)


def split_channels(width: int, num_blocks: int, ratio: float) -> tuple[int, ...]:
    """Output channels of a module's blocks: integers in geometric proportion that sum to `width` exactly.

    Each block is `ratio` times as wide as the one before, except the last, which is as wide as the one
    before (section 3.1). Ratio 0.5 gives N/2, N/4, N/8, N/8 for four blocks, 1 gives equal widths.
    Shares are rounded by largest remainder; every block keeps at least one channel.
    """
    shares = [ratio**i for i in range(num_blocks - 1)]
    shares.append(shares[-1])
    total = sum(shares)
    exact = [width * share / total for share in shares]
    floors = [max(1, int(value + 1e-9)) for value in exact]
    by_remainder = sorted(range(num_blocks), key=lambda i: (-(exact[i] - floors[i]), i))
    missing = width - sum(floors)
    for i in range(missing):
        floors[by_remainder[i % num_blocks]] += 1
    for _ in range(-missing):
        floors[floors.index(max(floors))] -= 1
    return tuple(floors)


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
