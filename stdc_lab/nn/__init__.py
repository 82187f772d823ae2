"""From an `ArchSpec` to torch modules."""

from stdc_lab.nn.checkpoints import load_checkpoint, load_released
from stdc_lab.nn.network import Classifier, FamilySegmenter, Segmenter, SegOutput, title_of
from stdc_lab.nn.own import OwnNetwork, OwnSegmenter, build_own, find_own
from stdc_lab.nn.segmenter import build_classifier, build_model, deployed_view, strip_heads

__all__ = [
    "Classifier",
    "FamilySegmenter",
    "OwnNetwork",
    "OwnSegmenter",
    "SegOutput",
    "Segmenter",
    "build_classifier",
    "build_model",
    "build_own",
    "deployed_view",
    "find_own",
    "load_checkpoint",
    "load_released",
    "strip_heads",
    "title_of",
]
