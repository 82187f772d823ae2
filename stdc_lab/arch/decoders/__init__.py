"""Decoders: from the features of a backbone to what the head reads. A new one joins by being listed here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stdc_lab.arch.checks import check_choice, check_keys, field_names
from stdc_lab.arch.decoders.base import Decoder
from stdc_lab.arch.decoders.bisenet import DecoderSpec
from stdc_lab.arch.decoders.pp_liteseg import PpLiteSegDecoder

DECODERS: Mapping[str, type[Decoder]] = MappingProxyType({one.kind: one for one in (DecoderSpec, PpLiteSegDecoder)})


def decoder_from(values: Mapping[str, Any]) -> Decoder:
    """The decoder that a mapping of fields describes; its `kind` is BiSeNet's unless it says otherwise.

    Raises `SpecError` for a kind that there is none of, a key that no field has, or a value that none can have.
    """
    kind = values.get("kind", DecoderSpec.kind)
    check_choice("decoder.kind", kind, tuple(DECODERS))
    made = DECODERS[kind]
    fields = {name: value for name, value in values.items() if name != "kind"}
    check_keys("decoder.", fields, field_names(made))
    return made(**fields)


__all__ = ["DECODERS", "Decoder", "DecoderSpec", "PpLiteSegDecoder", "decoder_from"]
