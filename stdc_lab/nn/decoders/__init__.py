"""Decoders as modules. A new one joins by being listed here, beside its spec in `arch.decoders`."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from stdc_lab.arch.decoders import Decoder
from stdc_lab.nn.decoders.base import DecoderModule
from stdc_lab.nn.decoders.bisenet import BisenetDecoder
from stdc_lab.nn.decoders.pp_liteseg import PpLiteSegDecoderModule

DECODER_MODULES: Mapping[str, Callable[[Any, Sequence[int]], DecoderModule]] = MappingProxyType(
    {"bisenet": BisenetDecoder, "pp_liteseg": PpLiteSegDecoderModule}
)


def make_decoder(options: Decoder, widths: Sequence[int]) -> DecoderModule:
    """The module of a decoder's spec. widths: channels of the backbone's features at 1/8, 1/16 and 1/32."""
    return DECODER_MODULES[options.kind](options, widths)


__all__ = ["DecoderModule", "make_decoder"]
