"""stdc_lab: which design decisions of a real-time segmentation network are worth their cost?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stdc_lab.analysis.frame import load_study
    from stdc_lab.analysis.judge import judge
    from stdc_lab.analysis.surrogate import Surrogate
    from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec, analyse, presets, total_cost
    from stdc_lab.config import DataConfig, LatencyConfig, StudyConfig, TrainConfig, TrainingHeads
    from stdc_lab.config.reading import read_study
    from stdc_lab.data import load_dataset
    from stdc_lab.nn import SegOutput, build_classifier, build_model, load_checkpoint, load_released, strip_heads
    from stdc_lab.profiling import profile
    from stdc_lab.reporting import render_report
    from stdc_lab.search import retime_study, run_study
    from stdc_lab.training import train

__version__ = "0.1.0"

_HOMES = {
    "stdc_lab.analysis.frame": ("load_study",),
    "stdc_lab.analysis.judge": ("judge",),
    "stdc_lab.analysis.surrogate": ("Surrogate",),
    "stdc_lab.arch": ("ArchSpec", "DecoderSpec", "StdcSpec", "analyse", "presets", "total_cost"),
    "stdc_lab.config": ("DataConfig", "LatencyConfig", "StudyConfig", "TrainConfig", "TrainingHeads"),
    "stdc_lab.config.reading": ("read_study",),
    "stdc_lab.data": ("load_dataset",),
    "stdc_lab.nn": (
        "SegOutput",
        "build_classifier",
        "build_model",
        "load_checkpoint",
        "load_released",
        "strip_heads",
    ),
    "stdc_lab.profiling": ("profile",),
    "stdc_lab.reporting": ("render_report",),
    "stdc_lab.search": ("retime_study", "run_study"),
    "stdc_lab.training": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ArchSpec",
    "DataConfig",
    "DecoderSpec",
    "LatencyConfig",
    "SegOutput",
    "StdcSpec",
    "StudyConfig",
    "Surrogate",
    "TrainConfig",
    "TrainingHeads",
    "analyse",
    "build_classifier",
    "build_model",
    "judge",
    "load_checkpoint",
    "load_dataset",
    "load_released",
    "load_study",
    "presets",
    "profile",
    "read_study",
    "render_report",
    "retime_study",
    "run_study",
    "strip_heads",
    "total_cost",
    "train",
]


def __getattr__(name: str) -> Any:
    """Names are imported when they are first used (PEP 562), so that a command loads only what it needs."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
