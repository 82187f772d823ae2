"""`SearchSpace`: what may vary. A chooser goes in; an architecture and a training come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, ValidationError, model_validator

from stdc_lab.arch import ArchSpec, DecoderSpec, preset
from stdc_lab.arch.channels import widths_of_base
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Name, Value
from stdc_lab.errors import ConfigError, SpecError

Scalar = bool | int | float | str
ARCH_KEYS = (
    "base_width",
    "num_blocks",
    "channel_ratio",
    "channel_multiple",
    "kernels",
    "stem_depths",
    "depths",
    "fusion",
    "downsample",
    "conv_last",
)
STAGE_KEYS = {"depths.stage3": 0, "depths.stage4": 1, "depths.stage5": 2}
DECODER_KEYS = tuple(f"decoder.{field.name}" for field in dataclasses.fields(DecoderSpec))
TRAIN_PREFIXES = ("heads.", "loss.", "augmentation.", "train.")


class Chooser(Protocol):
    """What picks values: an Optuna trial, or anything with these three methods."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None: ...


class IntRange(Value):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an empty range: low {self.low} is above high {self.high}")
        if (self.high - self.low) % self.step:
            raise ValueError(f"high {self.high} is no whole number of steps ({self.step}) above low {self.low}")
        return self

    def choose(self, name: str, chooser: Chooser) -> int:
        return chooser.suggest_int(name, self.low, self.high, step=self.step)

    def every(self) -> Iterable[int]:
        return range(self.low, self.high + 1, self.step)

    def holds(self, value: Any) -> bool:
        """Whether the range holds a value."""
        return isinstance(value, int) and self.low <= value <= self.high and (value - self.low) % self.step == 0


class FloatRange(Value):
    """Numbers from `low` to `high`; evenly in the logarithm with `log`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"an empty range: low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low above 0, got {self.low}")
        return self

    def choose(self, name: str, chooser: Chooser) -> float:
        return chooser.suggest_float(name, self.low, self.high, log=self.log)

    def every(self) -> Iterable[float]:
        return (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Whether the range holds a value."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(Value):
    """One of a few values; a value may be a list, such as a kernel schedule."""

    type: Literal["choice"]
    values: Annotated[tuple[Scalar | tuple[int, ...], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = [_label(value) for value in self.values]
        if len(set(labels)) != len(labels):
            raise ValueError("the same value twice")
        return self

    def choose(self, name: str, chooser: Chooser) -> Scalar | tuple[int, ...]:
        labels = [_label(value) for value in self.values]
        picked = chooser.suggest_categorical(name, labels)
        return next(value for value, label in zip(self.values, labels, strict=True) if label == picked)

    def every(self) -> Iterable[Scalar | tuple[int, ...]]:
        return self.values

    def holds(self, value: Any) -> bool:
        """Whether a value, as the storage names it, is one of the choices."""
        return value in [_label(choice) for choice in self.values]


Varied = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]


class SearchSpace(Value):
    """What varies around a base architecture and a base training.

    Keys of `vary`: the fields of `ArchSpec` but `widths`, `depths.stage3` … `depths.stage5` in place of `depths`,
    and `decoder.*`; and of the training `heads.*`, `loss.*`, `augmentation.*`, `train.*`.
    A kernel schedule shorter than a module is continued with its last kernel, a longer one is cut.
    """

    name: Name
    base: str = "stdc1"
    vary: Annotated[dict[str, Varied], Field(min_length=1)]

    @model_validator(mode="after")
    def _known_and_possible(self) -> Self:
        preset(self.base)
        allowed = (*ARCH_KEYS, *STAGE_KEYS, *DECODER_KEYS)
        for key in self.vary:
            if key not in allowed and not key.startswith(TRAIN_PREFIXES):
                raise ValueError(
                    f"vary.{key}: no such parameter; allowed: {', '.join(allowed)}, "
                    "heads.*, loss.*, augmentation.*, train.*"
                )
        if "depths" in self.vary and any(key in self.vary for key in STAGE_KEYS):
            raise ValueError("vary: either depths as a whole or depths.stage3 … depths.stage5")
        for point in self.samples():
            self.spec_of(point)
        for key in self.vary:
            if key.startswith(TRAIN_PREFIXES):
                self._check_setting(key)
        return self

    def samples(self) -> Iterator[dict[str, Any]]:
        """Points that show every value of every key, the other keys at either end of theirs."""
        for pick_last in (False, True):
            ends = self.choose(_End(pick_last))
            for key, varied in self.vary.items():
                for value in varied.every():
                    yield {**ends, key: value}

    def _check_setting(self, key: str) -> None:
        values: Any = TrainConfig().model_dump()
        *groups, name = key.removeprefix("train.").split(".")
        for group in groups:
            values = values.get(group) if isinstance(values, dict) else None
        if not isinstance(values, dict) or name not in values:
            allowed = f"; allowed: {', '.join(values)}" if isinstance(values, dict) else ""
            raise ConfigError(f"vary.{key}: no such training setting{allowed}")

    def choose(self, chooser: Chooser) -> dict[str, Any]:
        """A value for each varied key."""
        return {key: varied.choose(key, chooser) for key, varied in self.vary.items()}

    def spec_of(self, chosen: Mapping[str, Any]) -> ArchSpec:
        """The architecture that the chosen values describe. Raises `SpecError` if none can."""
        base = preset(self.base)
        changes = {key: chosen[key] for key in ARCH_KEYS if key in chosen and key != "kernels"}
        depths = list(changes.get("depths", base.depths))
        for key, index in STAGE_KEYS.items():
            if key in chosen:
                depths[index] = chosen[key]
        changes["depths"] = depths
        decoder = {key.split(".")[1]: chosen[key] for key in DECODER_KEYS if key in chosen}
        if decoder:
            changes["decoder"] = decoder
        spec = base.replace(**changes)
        if "kernels" in chosen:
            spec = spec.replace(kernels=_continued(chosen["kernels"], spec.num_blocks))
        return spec

    def training_of(self, chosen: Mapping[str, Any], base: TrainConfig) -> TrainConfig:
        """The base training with the chosen settings put in. Raises `ConfigError` for an impossible one."""
        values = base.model_dump()
        for key, value in chosen.items():
            if not key.startswith(TRAIN_PREFIXES):
                continue
            *groups, name = key.removeprefix("train.").split(".")
            target = values
            for group in groups:
                target = target[group]
            target[name] = value
        try:
            return TrainConfig.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"search space {self.name}: {error.errors()[0]['msg']}") from error

    def parameters_of(self, spec: ArchSpec, train: TrainConfig) -> dict[str, Scalar] | None:
        """The point of this space that gives this architecture and training; None if it holds no such point."""
        point = self.read_off(spec, train)
        if not all(key in point and varied.holds(point[key]) for key, varied in self.vary.items()):
            return None
        chosen = self.choose(_Fixed(point))
        same = self.spec_of(chosen).arch_id == spec.arch_id and self.training_of(chosen, train) == train
        return point if same else None

    def read_off(self, spec: ArchSpec, train: TrainConfig) -> dict[str, Scalar]:
        """The varied keys as this architecture and training have them, inside the space or not, as the storage
        names them; a key that they cannot tell is absent."""
        values = {key: self._value_at(key, spec, train) for key in self.vary}
        return {key: _label(value) for key, value in values.items() if value is not None}

    def _value_at(self, key: str, spec: ArchSpec, train: TrainConfig) -> Any:
        varied = self.vary[key]
        if key == "base_width":
            return spec.widths[1] if spec.widths == widths_of_base(spec.widths[1]) else None
        if key in STAGE_KEYS:
            return spec.depths[STAGE_KEYS[key]]
        if key in DECODER_KEYS:
            return getattr(spec.decoder, key.split(".")[1])
        if key == "kernels" and isinstance(varied, Choices):
            # Several schedules may be continued to the same kernels: the first one stands for them.
            return next((c for c in varied.values if _continued(c, spec.num_blocks) == spec.kernels), spec.kernels)
        if key in ARCH_KEYS:
            return getattr(spec, key)
        value: Any = train.model_dump()
        for part in key.removeprefix("train.").split("."):
            value = value[part]
        return value


class _End:
    """A chooser that takes the first or the last of everything: both ends of a space must be possible."""

    def __init__(self, last: bool) -> None:
        self.last = last

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return high if self.last else low

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return high if self.last else low

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        return choices[-1 if self.last else 0]


class _Fixed:
    """A chooser that answers from a mapping."""

    def __init__(self, point: Mapping[str, Any]) -> None:
        self.point = point

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return int(self.point[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self.point[name])

    def suggest_categorical(self, name: str, choices: Sequence[Scalar | None]) -> Scalar | None:
        value: Scalar = self.point[name]
        return value


def _label(value: Scalar | tuple[int, ...]) -> Scalar:
    """A choice as Optuna stores it: a list becomes text, such as `1-3-3`; an empty one `none`."""
    if isinstance(value, tuple):
        return "-".join(str(item) for item in value) or "none"
    return value


def _continued(schedule: Any, num_blocks: int) -> tuple[int, ...]:
    kernels = tuple(schedule) if isinstance(schedule, list | tuple) else ()
    if not kernels:
        raise SpecError(f"kernels: got {schedule!r}; allowed: a list of at least one odd number, such as [1, 3]")
    return (kernels + kernels[-1:] * num_blocks)[:num_blocks]
