"""`SearchSpace`: what may vary. A chooser goes in; an architecture and a training come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from stdc_lab.arch import ArchSpec, preset
from stdc_lab.config.bounds import LimitText
from stdc_lab.config.choosers import Chooser, EndChooser, FixedChooser, Scalar
from stdc_lab.config.conditions import activating, hint, in_order
from stdc_lab.config.keys import (
    check_key,
    check_together,
    stage_keys,
    value_at,
    with_architecture,
    with_training,
)
from stdc_lab.config.ranges import Choices, Schedules, Stages, Varied, Written, is_active, label
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Name, Value


class SearchSpace(Value):
    """What varies around a base architecture and a base training.

    Keys: the fields of the base's spec; `widths.stage1` … `depths.stage5` for single stages; `decoder.*`; and of the
    training `heads.*`, `loss.*`, `augmentation.*`, `train.*`. A kernel schedule shorter than a module is continued
    with its last kernel, a longer one is cut.
    """

    name: Name
    base: str = "stdc1"
    """The preset whose values hold where nothing else is said."""
    vary: Annotated[dict[str, Written], Field(min_length=1)]
    """What each key may be. With `when`, only where other keys have certain values; else it is as in the base."""
    fixed: dict[str, Scalar | tuple[int, ...] | tuple[float, ...]] = Field(default_factory=dict)
    """Keys that depart from the base and do not vary."""
    ties: dict[str, str] = Field(default_factory=dict)
    """Keys that always have the value of another key, which varies."""
    limits: tuple[LimitText, ...] = ()
    """What a network has to meet by theory, or it is not built: `macs <= 8e9 at 512x1024`, `num_params <= 10e6`."""

    @model_validator(mode="after")
    def _known_and_possible(self) -> Self:
        self._check_names()
        for key in self.parameters:
            activating(key, self.parameters)
        for point in self.samples():
            self.spec_of(point)
        return self

    @cached_property
    def base_spec(self) -> ArchSpec:
        """The network that the space is around. Raises `SpecError` if there is none of that name."""
        return preset(self.base)

    @cached_property
    def parameters(self) -> dict[str, Varied]:
        """The varied keys, what is written shorter spelled out, each after those that its conditions ask about.

        Raises ValueError if that cannot be.
        """
        spelled: dict[str, Varied] = {}
        for key, written in self.vary.items():
            more: Mapping[str, Varied]
            if isinstance(written, Stages):
                more = written.expanded(key, stage_keys(self.base_spec, key))
            elif isinstance(written, Schedules):
                if key not in self.base_spec.schedules:
                    raise ValueError(f"vary.{key}: type schedules is for {', '.join(self.base_spec.schedules)}")
                more = {key: written.expanded()}
            else:
                more = {key: written}
            twice = next((one for one in more if one in spelled), None)
            if twice is not None:
                raise ValueError(f"vary.{twice}: varied twice")
            spelled |= more
        return in_order(spelled)

    def samples(self) -> Iterator[dict[str, Any]]:
        """Points that show every value of every key, the other keys at either end of theirs."""
        for pick_last in (False, True):
            for key, varied in self.parameters.items():
                needed = {name: label(value) for name, value in activating(key, self.parameters).items()}  # type: ignore[arg-type]
                for value in varied.every():
                    yield self.choose(EndChooser(pick_last, {**needed, key: label(value)}))

    def choose(self, chooser: Chooser) -> dict[str, Any]:
        """A value for each varied key whose conditions hold; the others are absent."""
        chosen: dict[str, Any] = {}
        for key, varied in self.parameters.items():
            if is_active(varied, chosen):
                chosen[key] = varied.choose(key, chooser)
        return chosen

    def values_of(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The chosen values with what is fixed and what is tied to them."""
        tied = {key: chosen[source] for key, source in self.ties.items() if source in chosen}
        return {**self.fixed, **chosen, **tied}

    def spec_of(self, chosen: Mapping[str, Any]) -> ArchSpec:
        """The architecture that the chosen values describe. Raises `SpecError` if none can."""
        return with_architecture(self.base_spec, self.values_of(chosen))

    def training_of(self, chosen: Mapping[str, Any], base: TrainConfig) -> TrainConfig:
        """The base training with the chosen settings put in. Raises `ConfigError` for an impossible one."""
        return with_training(base, self.values_of(chosen), self.name)

    def parameters_of(self, spec: ArchSpec, train: TrainConfig) -> dict[str, Scalar] | None:
        """The point of this space that gives this architecture and training; None if it holds no such point."""
        point, chosen = self.read_off(spec, train), dict[str, Any]()
        for key, varied in self.parameters.items():
            if is_active(varied, chosen):
                if key not in point or not varied.holds(point[key]):
                    return None
                chosen[key] = varied.choose(key, FixedChooser(point))
        same = self.spec_of(chosen).arch_id == spec.arch_id and self.training_of(chosen, train) == train
        return {key: point[key] for key in chosen} if same else None

    def read_off(self, spec: ArchSpec, train: TrainConfig) -> dict[str, Scalar]:
        """The varied keys as this architecture and training have them, inside the space or not, as the storage
        names them; a key that they cannot tell is absent."""
        values = {key: self._value_at(key, spec, train) for key in self.parameters}
        return {key: label(value) for key, value in values.items() if value is not None}

    def _value_at(self, key: str, spec: ArchSpec, train: TrainConfig) -> Any:
        varied, value = self.parameters[key], value_at(key, spec, train)
        if key in spec.schedules and isinstance(varied, Choices):
            # Several schedules may be continued to the same kernels: the first one stands for them.
            return next((c for c in varied.values if spec.with_values({key: c}).value_at(key) == value), value)
        return value

    def _check_names(self) -> None:
        for where, keys in (("vary", self.parameters), ("fixed", self.fixed), ("ties", self.ties)):
            for key in keys:
                check_key(self.base_spec, where, key)
        everything = [*self.parameters, *self.fixed, *self.ties]
        twice = next((key for key in everything if everything.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice}: allowed: in one of vary, fixed and ties only")
        for key, source in self.ties.items():
            if source not in self.parameters:
                there = ", ".join(self.parameters)
                raise ValueError(f"ties.{key}: {source} does not vary{hint(source, self.parameters)}; allowed: {there}")
        check_together(self.base_spec, everything)
