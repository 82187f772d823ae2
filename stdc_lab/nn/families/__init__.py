"""The networks of every family. A new one joins by being listed here, as its spec does in `arch.families`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from stdc_lab.nn.families import regseg, stdc
from stdc_lab.nn.network import Classifier, FamilySegmenter

NETWORKS: Mapping[str, tuple[Callable[[Any, int, Any], FamilySegmenter], Callable[[Any, int], Classifier] | None]] = (
    MappingProxyType(
        {
            "stdc": (stdc.StdcSegmenter, stdc.StdcClassifier),
            "regseg": (regseg.RegSegSegmenter, None),
        }
    )
)
"""A line a family: its segmenter, and its classifier if it has one."""

__all__ = ["NETWORKS"]
