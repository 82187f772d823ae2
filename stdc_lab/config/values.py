"""What every configuration value has in common, and the few types that several of them use."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from stdc_lab.arch import ArchSpec, preset
from stdc_lab.errors import ConfigError, SpecError


class Value(BaseModel):
    """A frozen value that allows no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def replace(self, **changes: Any) -> Self:
        """The same value but for some fields, checked as a new one is. Raises `ConfigError` that lists each mistake."""
        kept = {name: getattr(self, name) for name in self.model_fields_set if name not in changes}
        try:
            return self.model_validate(kept | changes)
        except ValidationError as error:
            raise ConfigError("\n".join(map(in_words, error.errors(include_url=False)))) from error


def in_words(problem: Any) -> str:
    """One of a `ValidationError`'s problems: the key, what was got, what is allowed."""
    key = ".".join(str(part) for part in problem["loc"])
    kind, message = problem["type"], str(problem["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"{key}: no such key"
    if kind == "missing":
        return f"{key}: missing"
    if kind in ("value_error", "union_tag_invalid", "union_tag_not_found"):
        return f"{key + ': ' if key else ''}{message}"
    return f"{key}: got {shown_value(problem['input'])}; allowed: {message[0].lower() + message[1:]}"


def shown_value(value: Any) -> str:
    """A value as JSON, for a message; a long one is cut."""
    text = json.dumps(value, default=str) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def parse_size(value: Any) -> Any:
    """`"180x240"` (height x width) or a pair of numbers as a tuple; raises ValueError otherwise."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", value)
        if match is None:
            raise ValueError("a size is HEIGHTxWIDTH in pixels, such as 180x240")
        return int(match[1]), int(match[2])
    return tuple(value) if isinstance(value, list) else value


def show_size(size: tuple[int, int]) -> str:
    """`(180, 240)` as `180x240`."""
    return f"{size[0]}x{size[1]}"


def parse_arch(value: Any) -> ArchSpec:
    """A preset's name or a mapping of fields as a spec. A mapping may start from a preset: `base: stdc1`."""
    if isinstance(value, ArchSpec):
        return value
    if isinstance(value, str):
        return preset(value)
    if isinstance(value, dict):
        fields = dict(value)
        base = fields.pop("base", None)
        return ArchSpec.from_dict(fields) if base is None else preset(str(base)).replace(**fields)
    raise SpecError(f"architecture: got {value!r}; allowed: a preset's name or a mapping of fields")


Side = Annotated[int, Field(ge=32, le=8192)]
Size = Annotated[tuple[Side, Side], BeforeValidator(parse_size), PlainSerializer(show_size)]
Extent = Annotated[tuple[int, int], BeforeValidator(parse_size), PlainSerializer(show_size)]
Arch = Annotated[ArchSpec, PlainValidator(parse_arch), PlainSerializer(lambda spec: spec.to_dict())]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
