"""What a scorer is given and gives, and how one is found: `SCORER` of the file in this folder that has its name."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import torch

from stdc_lab.config.study import ScorerConfig, StudyConfig
from stdc_lab.data import Dataset
from stdc_lab.errors import ConfigError
from stdc_lab.nn import Segmenter
from stdc_lab.records import TrainResult
from stdc_lab.search.candidate import Candidate, Judge


@dataclass(frozen=True)
class Workplace:
    """A study, and where its candidates are scored."""

    config: StudyConfig
    dataset: Dataset
    runs: Path
    """Candidates' files go into `<trial_key>/` of it."""
    device: torch.device
    judge: Judge
    """Who is told of what is done, and may end it."""


@dataclass(frozen=True)
class Score:
    """How well a candidate does."""

    result: TrainResult
    network: Segmenter
    """With the weights that were evaluated, on the device."""
    stopped: str | None = None
    """Why it was ended before its end; the result is then of the last evaluation before."""
    boundary_f: float | None = None
    """Boundary F-score of the validation set, where the study asks for it and a class has a boundary."""


class Scorer(Protocol):
    """Tells how well candidates do. One is made for every trial, and trials run in several processes."""

    def prepare(self, study: Workplace) -> None:
        """Called before a candidate is scored. What takes long is kept in the study's folder and found there again."""

    def score(self, candidate: Candidate, seed: int) -> Score:
        """Score a candidate. Raises `StdcLabError` for one that has no score: its trial has failed."""


def find_scorer(wanted: ScorerConfig, where: str | None = None) -> Scorer:
    """The scorer that a study asks for. Raises `ConfigError` if there is none of its name.

    where: the study's file or name, for the message.
    """
    package = import_module(__name__.rpartition(".")[0])
    names = sorted({one.name for one in pkgutil.iter_modules(package.__path__)} - {Path(__file__).stem})
    if wanted.name not in names:
        place = "" if where is None else f"{where}: "
        raise ConfigError(f"{place}scorer.name: got {wanted.name!r}; allowed: {', '.join(names)}")
    make: Callable[[], Scorer] = import_module(f"{package.__name__}.{wanted.name}").SCORER
    return make()
