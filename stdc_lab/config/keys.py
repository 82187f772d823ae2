"""The keys of a search space: which there are, what each changes in an architecture or a training, and reading off."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from stdc_lab.arch import ArchSpec
from stdc_lab.config.conditions import hint
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import ConfigError

TRAIN_PREFIXES = ("heads.", "loss.", "augmentation.", "train.")


def stage_keys(base: ArchSpec, field: str) -> list[str]:
    """`depths.stage3` … for a field with a value for each stage. Raises ValueError for another field."""
    if field not in base.stages:
        raise ValueError(f"vary.{field}: type stages is for {', '.join(base.stages)}")
    return [f"{field}.stage{stage}" for stage in base.stages[field]]


def check_key(base: ArchSpec, where: str, key: str) -> None:
    """Raise ValueError for a key that no space around this network can have, `ConfigError` for a training's setting
    that is none."""
    allowed = base.keys()
    if key.startswith(TRAIN_PREFIXES):
        _check_setting(where, key)
    elif key not in allowed:
        raise ValueError(
            f"{where}.{key}: no such parameter{hint(key, allowed)}; allowed: {', '.join(allowed)}, "
            "heads.*, loss.*, augmentation.*, train.*"
        )


def check_together(base: ArchSpec, keys: Collection[str]) -> None:
    """Raise ValueError for two keys that say the same thing."""
    for field in base.stages:
        stages = [key for key in stage_keys(base, field) if key in keys]
        if field in keys and stages:
            raise ValueError(f"either {field} as a whole or {stages[0]} …, each once")
    for short, field in base.shorthand.items():
        given = [key for key in keys if key == field or key.startswith(f"{field}.")]
        if short in keys and given:
            raise ValueError(f"either {short}, which gives all {field}, or {given[0]}")


def with_architecture(base: ArchSpec, values: Mapping[str, Any]) -> ArchSpec:
    """The base with the architecture's keys put in. Raises `SpecError` if there is no such network."""
    return base.with_values({key: value for key, value in values.items() if not key.startswith(TRAIN_PREFIXES)})


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
    if not key.startswith(TRAIN_PREFIXES):
        return spec.value_at(key)
    value: Any = train.model_dump()
    for part in key.removeprefix("train.").split("."):
        value = value[part]
    return value


def _check_setting(where: str, key: str) -> None:
    values: Any = TrainConfig().model_dump()
    *groups, name = key.removeprefix("train.").split(".")
    for group in groups:
        values = values.get(group) if isinstance(values, dict) else None
    if not isinstance(values, dict) or name not in values or isinstance(values[name], dict):
        names = [one for one in values if not isinstance(values[one], dict)] if isinstance(values, dict) else []
        allowed = f"{hint(name, names)}; allowed: {', '.join(names)}" if names else ""
        raise ConfigError(f"{where}.{key}: no such training setting{allowed}")
