"""What every configuration value has in common, and the few types that several of them use."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from stdc_lab.arch import ArchSpec, preset
from stdc_lab.errors import SpecError


class Value(BaseModel):
    """A frozen value that allows no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


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
