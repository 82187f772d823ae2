"""`StudyConfig`: a question put to a search space."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.arch import preset
from stdc_lab.config.data import DataConfig
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Name, Value


class SamplerConfig(Value):
    """What proposes the next architecture."""

    name: Literal["tpe", "random"] = "tpe"
    startup_trials: Annotated[int, Field(ge=1)] = 8
    """tpe only: how many random proposals come before the model of the space is used."""


class StudyConfig(Value):
    """A multi-objective search: validation mIoU up, latency down; MACs and parameters recorded."""

    name: Name
    title: str = ""
    """A heading for the report."""
    space: SearchSpace
    """In a study's YAML: the name of a file in `search_spaces/`, or the space itself."""
    trials: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """How many trials are trained in all, references included."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of every training (so that trials are paired) and of the sampler."""
    references: tuple[str, ...] = ("stdc1", "stdc2")
    """Presets that are trained first, whether or not the space contains them."""
    sampler: SamplerConfig = SamplerConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    latency: LatencyConfig = LatencyConfig()

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for name in self.references:
            preset(name)
        if len(set(self.references)) != len(self.references):
            raise ValueError("references: the same preset twice")
        return self

    @model_validator(mode="after")
    def _space_fits_the_training(self) -> Self:
        for point in self.space.samples():
            self.space.training_of(point, self.train)
        return self
