"""From an `ArchSpec` to torch modules."""

from stdc_lab.nn.checkpoints import load_checkpoint, load_released
from stdc_lab.nn.network import Classifier, Segmenter, SegOutput
from stdc_lab.nn.segmenter import build_classifier, build_model, deployed_view, strip_heads

__all__ = [
    "Classifier",
    "SegOutput",
    "Segmenter",
    "build_classifier",
    "build_model",
    "deployed_view",
    "load_checkpoint",
    "load_released",
    "strip_heads",
]
