"""What a network is: data and arithmetic, free of torch."""

from stdc_lab.arch.presets import preset, presets
from stdc_lab.arch.spec import ArchSpec, DecoderSpec
from stdc_lab.arch.theory import analyse, total_cost

__all__ = ["ArchSpec", "DecoderSpec", "analyse", "preset", "presets", "total_cost"]
