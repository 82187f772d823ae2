"""From an `ArchSpec` to torch modules."""

from stdc_lab.nn.checkpoints import load_released
from stdc_lab.nn.segmenter import SegOutput, StdcSegmenter, build_model

__all__ = ["SegOutput", "StdcSegmenter", "build_model", "load_released"]
