"""What every spec checks of its fields when it is made, with one form of message: what was got, what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from stdc_lab.errors import SpecError

MAX_WIDTH = 8192
MAX_DEPTH = 64


def check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(f"{name}: got {value!r}; allowed: {', '.join(allowed)}")


def check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SpecError(f"{name}: got {value!r}; allowed: true, false")


def show(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in values) or "nothing"


def int_tuple(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SpecError(f"{name}: got {value!r}; allowed: a list of whole numbers")
    return tuple(value)


def check_int(name: str, value: Any, *, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(f"{name}: got {value!r}; allowed: a whole number from {low} to {high}")


def field_names(made: type) -> list[str]:
    """The fields of a spec's or a decoder's class, each of which is a dataclass."""
    return [one.name for one in dataclasses.fields(made)]


def check_keys(prefix: str, values: Mapping[str, Any], allowed: list[str]) -> None:
    for key in values:
        if key not in allowed:
            close = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f" (did you mean {prefix}{close[0]}?)" if close else ""
            raise SpecError(f"{prefix}{key}: no such field{hint}; allowed: {', '.join(allowed)}")
