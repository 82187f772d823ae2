"""What a network is: data and arithmetic, free of torch."""

from stdc_lab.arch.costs import analyse, total_cost
from stdc_lab.arch.decoders import DecoderSpec
from stdc_lab.arch.families.stdc import StdcSpec
from stdc_lab.arch.presets import preset, presets
from stdc_lab.arch.spec import ArchSpec

__all__ = ["ArchSpec", "DecoderSpec", "StdcSpec", "analyse", "preset", "presets", "total_cost"]
