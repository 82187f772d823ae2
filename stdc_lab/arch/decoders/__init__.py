"""Decoders: from the features of a backbone to what the head reads."""

from stdc_lab.arch.decoders.bisenet import DecoderSpec

__all__ = ["DecoderSpec"]
