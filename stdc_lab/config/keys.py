"""The keys of a search space: which there are, what each changes in an architecture or a training, and reading off."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from stdc_lab.arch import ArchSpec, DecoderSpec
from stdc_lab.arch.channels import widths_of_base
from stdc_lab.config.conditions import hint
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import ConfigError, SpecError

ARCH_KEYS = (
    "base_width",
    "num_blocks",
    "channel_ratio",
    "channel_multiple",
    "kernels",
    "widths",
    "stem_depths",
    "depths",
    "fusion",
    "downsample",
    "conv_last",
)
STAGES = {"widths": (1, 2, 3, 4, 5), "stem_depths": (1, 2), "depths": (3, 4, 5)}
STAGE_KEYS = {
    f"{field}.stage{stage}": (field, index) for field, stages in STAGES.items() for index, stage in enumerate(stages)
}
DECODER_KEYS = tuple(f"decoder.{field.name}" for field in dataclasses.fields(DecoderSpec))
TRAIN_PREFIXES = ("heads.", "loss.", "augmentation.", "train.")


def stage_keys(field: str) -> list[str]:
    """`depths.stage3` … for a field with a value for each stage. Raises ValueError for another field."""
    if field not in STAGES:
        raise ValueError(f"vary.{field}: type stages is for {', '.join(STAGES)}")
    return [f"{field}.stage{stage}" for stage in STAGES[field]]


def check_key(where: str, key: str) -> None:
    """Raise ValueError for a key that no space can have, `ConfigError` for a training's setting that is none."""
    allowed = (*ARCH_KEYS, *STAGE_KEYS, *DECODER_KEYS)
    if key.startswith(TRAIN_PREFIXES):
        _check_setting(where, key)
    elif key not in allowed:
        raise ValueError(
            f"{where}.{key}: no such parameter{hint(key, allowed)}; allowed: {', '.join(allowed)}, "
            "heads.*, loss.*, augmentation.*, train.*"
        )


def check_together(keys: Collection[str]) -> None:
    """Raise ValueError for two keys that say the same thing."""
    for field in STAGES:
        stages = [key for key in stage_keys(field) if key in keys]
        if field in keys and stages:
            raise ValueError(f"either {field} as a whole or {stages[0]} …, each once")
    widths = [key for key in ("widths", *stage_keys("widths")) if key in keys]
    if "base_width" in keys and widths:
        raise ValueError(f"either base_width, which gives all widths, or {widths[0]}")


def with_architecture(base: ArchSpec, values: Mapping[str, Any]) -> ArchSpec:
    """The base with the architecture's keys put in. Raises `SpecError` if there is no such network.

    A kernel schedule shorter than a module is continued with its last kernel, a longer one is cut.
    """
    changes = {key: values[key] for key in ARCH_KEYS if key in values}
    for key, (field, index) in STAGE_KEYS.items():
        if key in values:
            stages = list(changes.get(field, getattr(base, field)))
            stages[index] = values[key]
            changes[field] = stages
    if "kernels" in changes:
        changes["kernels"] = continued(changes["kernels"], changes.get("num_blocks", base.num_blocks))
    decoder = {key.split(".")[1]: values[key] for key in DECODER_KEYS if key in values}
    if decoder:
        changes["decoder"] = decoder
    return base.replace(**changes)


def with_training(base: TrainConfig, values: Mapping[str, Any], space: str) -> TrainConfig:
    """The base training with the settings put in. Raises `ConfigError` for an impossible one."""
    settings = {key: value for key, value in values.items() if key.startswith(TRAIN_PREFIXES)}
    if not settings:
        return base
    content = base.model_dump()
    for key, value in settings.items():
        *groups, name = key.removeprefix("train.").split(".")
        target = content
        for group in groups:
            target = target[group]
        target[name] = value
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"search space {space}: {where + ': ' if where else ''}{message}") from error


def value_at(key: str, spec: ArchSpec, train: TrainConfig) -> Any:
    """What an architecture and a training have at a key; None if they cannot tell."""
    if key == "base_width":
        return spec.widths[1] if spec.widths == widths_of_base(spec.widths[1]) else None
    if key in STAGE_KEYS:
        field, index = STAGE_KEYS[key]
        return getattr(spec, field)[index]
    if key in DECODER_KEYS:
        return getattr(spec.decoder, key.split(".")[1])
    if key in ARCH_KEYS:
        return getattr(spec, key)
    value: Any = train.model_dump()
    for part in key.removeprefix("train.").split("."):
        value = value[part]
    return value


def continued(schedule: Any, num_blocks: int) -> tuple[int, ...]:
    """A kernel schedule for so many blocks. Raises `SpecError` for an empty one."""
    kernels = tuple(schedule) if isinstance(schedule, list | tuple) else ()
    if not kernels:
        raise SpecError(f"kernels: got {schedule!r}; allowed: a list of at least one odd number, such as [1, 3]")
    return (kernels + kernels[-1:] * num_blocks)[:num_blocks]


def _check_setting(where: str, key: str) -> None:
    values: Any = TrainConfig().model_dump()
    *groups, name = key.removeprefix("train.").split(".")
    for group in groups:
        values = values.get(group) if isinstance(values, dict) else None
    if not isinstance(values, dict) or name not in values or isinstance(values[name], dict):
        names = [one for one in values if not isinstance(values[one], dict)] if isinstance(values, dict) else []
        allowed = f"{hint(name, names)}; allowed: {', '.join(names)}" if names else ""
        raise ConfigError(f"{where}.{key}: no such training setting{allowed}")
