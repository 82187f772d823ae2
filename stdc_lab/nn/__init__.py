"""From an `ArchSpec` to torch modules."""

from stdc_lab.nn.backbone import StdcClassifier
from stdc_lab.nn.checkpoints import load_checkpoint, load_released
from stdc_lab.nn.segmenter import SegOutput, StdcSegmenter, build_classifier, build_model, deployed_view, strip_heads

__all__ = [
    "SegOutput",
    "StdcClassifier",
    "StdcSegmenter",
    "build_classifier",
    "build_model",
    "deployed_view",
    "load_checkpoint",
    "load_released",
    "strip_heads",
]
