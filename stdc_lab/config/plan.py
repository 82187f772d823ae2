"""An ablation plan: every arm with every seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from stdc_lab.arch import ArchSpec, preset
from stdc_lab.config.choosers import Scalar
from stdc_lab.config.keys import check_key, check_together, with_architecture, with_training
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Name, Value

BASE = "base"
Setting = Scalar | tuple[int, ...] | tuple[float, ...]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class PlanConfig(Value):
    """Arms, each trained with each seed: complete, balanced and paired. More seeds or arms extend it later."""

    arms: Annotated[dict[Name, dict[str, Setting]], Field(min_length=1)]
    """What each arm changes, in the keys of a search space; `base: stdc2` begins with another preset than stdc1."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    control: Name | None = None
    """The arm that the others are compared with, seed by seed; the first one if absent. It changes no training."""

    @model_validator(mode="after")
    def _arms_exist(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: the same seed twice")
        for name, settings in self.arms.items():
            base = self._base_of(name)
            for key in _settings(settings):
                check_key(base, f"arms.{name}", key)
            check_together(base, settings.keys())
            self.spec_of(name)
        if self.control is not None and self.control not in self.arms:
            raise ValueError(f"control: got {self.control!r}; allowed: one of the arms, {', '.join(self.arms)}")
        return self

    @property
    def control_arm(self) -> str:
        """The arm that the others are compared with."""
        return self.control or next(iter(self.arms))

    def refuse_repetition(self, base: TrainConfig) -> None:
        """Raise ValueError for two arms that are one, `ConfigError` for one that cannot be trained from this base."""
        same: dict[str, str] = {}
        for name in self.arms:
            what = repr((self.spec_of(name).arch_id, self.training_of(name, base)))
            if what in same:
                raise ValueError(f"arms.{name}: the same as arms.{same[what]}: a comparison with itself says nothing")
            same[what] = name

    def pairs(self) -> Iterator[tuple[str, int]]:
        """(arm, seed), all arms of a seed before the next seed: broken off anywhere, it is as balanced as can be."""
        for seed in self.seeds:
            for arm in self.arms:
                yield arm, seed

    def spec_of(self, arm: str) -> ArchSpec:
        """The architecture of an arm. Raises `SpecError`."""
        return with_architecture(self._base_of(arm), _settings(self.arms[arm]))

    def _base_of(self, arm: str) -> ArchSpec:
        return preset(str(self.arms[arm].get(BASE, "stdc1")))

    def training_of(self, arm: str, base: TrainConfig) -> TrainConfig:
        """The training of an arm. Raises `ConfigError`."""
        return with_training(base, _settings(self.arms[arm]), f"arm {arm}")


def space_of_plan(arms: Mapping[str, Mapping[str, Any]]) -> SearchSpace:
    """What the arms vary as a search space, for the columns of the study's table: nothing is drawn from it.

    A key that no space can hold beside the others, for combinations that no arm has, is left out.
    """
    values: dict[str, list[Any]] = {}
    for settings in arms.values():
        for key, value in settings.items():
            there = values.setdefault(key, [])
            if key != BASE and value not in there:
                there.append(value)
    # A space varies something, be it over the one value that all arms have.
    space = _space_of({"num_blocks": {"type": "choice", "values": [4]}})
    vary: dict[str, Any] = {}
    for key, found in values.items():
        if found:
            with suppress(ValueError):
                space = _space_of({**vary, key: {"type": "choice", "values": found}})
                vary[key] = space.vary[key]
    return space


def _space_of(vary: Mapping[str, Any]) -> SearchSpace:
    return SearchSpace.model_validate({"name": "plan", "vary": vary})


def _settings(arm: Mapping[str, Setting]) -> dict[str, Setting]:
    return {key: value for key, value in arm.items() if key != BASE}
