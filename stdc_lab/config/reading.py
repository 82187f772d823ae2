"""YAML → value. A mistake is answered with file, line, key, what was got and what is allowed."""

from __future__ import annotations

import difflib
import io
import json
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase

from stdc_lab.arch import ArchSpec
from stdc_lab.config.claim import ExactClaim, MeasuredClaim, TrainedClaim, model_of
from stdc_lab.config.data import kind_with
from stdc_lab.config.plan import PlanConfig, space_of_plan
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.values import Value, in_words, parse_arch, shown_value
from stdc_lab.config.yaml import MAX_YAML_BYTES, parse_yaml
from stdc_lab.errors import ConfigError, SpecError
from stdc_lab.files import read_bytes

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """What a YAML 1.2 file holds, with line numbers kept. Raises `ConfigError` if it cannot be read or parsed."""
    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    return parse_yaml(text, str(path))


def yaml_text(value: Value, *, flow: bool | None = None) -> str:
    """A value as YAML, its fields in order. flow: `[1, 2]` always or never; by default where nothing is nested."""
    text = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(value.model_dump(mode="json"), text)
    return text.getvalue()


def read_value(path: Path, model: type[Model], content: Any | None = None) -> Model:
    """A file's content (or what was made of it) as a value. Raises `ConfigError` that lists every mistake."""
    content = read_yaml(path) if content is None else content
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: got {shown_value(content)}; allowed: keys of a {model.__name__}")
    try:
        # By way of JSON: strict about types there, and still a list may stand for a tuple.
        return model.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        lines = [_explain(path, content, model, problem) for problem in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def read_study(path: Path) -> StudyConfig:
    """A study's YAML; a space given by name is read from a `search_spaces` folder beside or above the file, that of
    a plan follows from its arms."""
    content = read_yaml(path)
    if isinstance(content, dict) and isinstance(content.get("space"), str):
        content["space"] = read_space(content["space"], path).model_dump(mode="json")
    elif isinstance(content, dict) and "space" not in content and content.get("plan") is not None:
        plan = read_value(path, PlanConfig, content["plan"])
        content["space"] = space_of_plan(plan.arms).model_dump(mode="json")
    return read_value(path, StudyConfig, content)


def read_recipe(path: Path) -> RecipeConfig:
    """A whole training's YAML. Raises `ConfigError`."""
    return read_value(path, RecipeConfig)


def read_claim(path: Path) -> ExactClaim | MeasuredClaim | TrainedClaim:
    """A claim's YAML. Raises `ConfigError`."""
    content = read_yaml(path)
    try:
        model = model_of(content)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return typing.cast("ExactClaim | MeasuredClaim | TrainedClaim", read_value(path, model, content))


def find_claims(folder: Path) -> dict[str, Path]:
    """The claims of a folder: id → file, by name. The id of a claim is its file's name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_arch(path: Path) -> ArchSpec:
    """An architecture's file: its fields, or `base: stdc1` and what differs. Raises `ConfigError`."""
    content = read_yaml(path)
    try:
        return parse_arch(json.loads(json.dumps(content, default=str)))
    except SpecError as error:
        raise ConfigError(f"{path}: {error}") from error


def read_space(name: str, study: Path) -> SearchSpace:
    """The search space that a study's file names. Raises `ConfigError` with the names there are."""
    folders = [study.parent / "search_spaces", study.parent.parent / "search_spaces", Path("search_spaces")]
    spaces = {file.stem: file for folder in reversed(folders) for file in sorted(folder.glob("*.yaml"))}
    if name not in spaces:
        there = ", ".join(spaces) or f"none was found in {' or '.join(str(folder) for folder in folders)}"
        raise ConfigError(f"{study}: space: got {name!r}{_hint(name, spaces)}; allowed: {there}")
    return read_value(spaces[name], SearchSpace)


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(key, old, new) for every place in which two nested mappings differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif old != new:
        yield prefix, old, new


def _explain(path: Path, content: Any, model: type[BaseModel], problem: Any) -> str:
    location = _as_written(content, problem["loc"])
    line = _line_of(content, location)
    where = f"{path}:{line}" if line else str(path)
    said = in_words(problem | {"loc": location})
    if problem["type"] == "extra_forbidden":
        allowed = list(_fields_at(model, problem["loc"][:-1]))
        said += f"{_hint(str(location[-1]), allowed)}; allowed: {', '.join(allowed)}"
    return f"{where}: {said}"


def _as_written(content: Any, location: tuple[Any, ...]) -> list[Any]:
    """A location without the tags of union members, which pydantic puts in where the file has no such key."""
    node, written = content, []
    for part in location:
        if isinstance(node, dict) and part not in node and (node.get("type") == part or kind_with(str(part))):
            continue
        written.append(part)
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
    return written


def _line_of(content: Any, location: list[Any]) -> int | None:
    """The line (from 1) where a key stands, or the innermost of its parents that has one."""
    line, node = None, content
    for part in location:
        if not isinstance(node, CommentedBase):
            break
        try:
            line = node.lc.data[part][0] + 1
            node = node[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> Iterator[str]:
    """Names of the fields that a value at this place of a model may have."""
    models: list[Any] = [model]
    for part in location:
        if (kind := kind_with(str(part))) is not None:
            models = [kind]
            continue
        annotations = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        models = [inner for annotation in annotations for inner in _models_in(annotation)] or models
    seen: dict[str, None] = {}
    for candidate in models:
        seen |= dict.fromkeys(candidate.model_fields)
    yield from seen


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _hint(word: str, allowed: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
