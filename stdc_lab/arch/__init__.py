"""What a network is: data and arithmetic, free of torch."""

from stdc_lab.arch.presets import preset, presets
from stdc_lab.arch.spec import ArchSpec, DecoderSpec

__all__ = ["ArchSpec", "DecoderSpec", "preset", "presets"]
