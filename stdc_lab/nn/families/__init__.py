"""The networks of every family. A new one joins by being listed here, beside its spec in `arch.families`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stdc_lab.nn.families.regseg import RegSegSegmenter
from stdc_lab.nn.families.stdc import StdcClassifier, StdcSegmenter
from stdc_lab.nn.network import Classifier, Segmenter

SEGMENTERS: Mapping[str, Callable[[Any, int, Any], Segmenter]] = MappingProxyType(
    {"stdc": StdcSegmenter, "regseg": RegSegSegmenter}
)
CLASSIFIERS: Mapping[str, Callable[[Any, int], Classifier]] = MappingProxyType({"stdc": StdcClassifier})

__all__ = ["CLASSIFIERS", "SEGMENTERS"]
