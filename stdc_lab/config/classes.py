"""`classes.yaml`: what the masks of a data set of one's own mean."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stdc_lab.config.values import Value


def parse_colour(value: Any) -> Any:
    """`"#804080"` as three numbers from 0 to 255; anything else as it is. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", value)
        if match is None:
            raise ValueError(f"got {value!r}; allowed: red, green, blue as [128, 64, 128] or '#804080' in quotes")
        return tuple(int(channel, 16) for channel in match.groups())
    return tuple(value) if isinstance(value, list) else value


def _one_line(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError(f"got {name!r}; allowed: printable characters on one line, no space at the ends")
    return name


Channel = Annotated[int, Field(ge=0, le=255)]
Colour = Annotated[tuple[Channel, Channel, Channel], BeforeValidator(parse_colour)]
ClassName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_one_line)]


class ClassEntry(Value):
    """A class: its name, and its colour in pictures and in masks that are coloured."""

    name: ClassName
    colour: Colour
    """Red, green, blue."""


class ClassesFile(Value):
    """The classes of a data set, in the order of their ids from 0, and what counts as unlabelled."""

    classes: tuple[ClassEntry, ...]
    """2 to 255 of them."""
    ignore_id: Annotated[int, Field(ge=0, le=255)] | None = None
    """What masks of class ids hold where nothing counts."""
    ignore_colour: Colour | None = None
    """What coloured masks hold where nothing counts."""

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        # Not by Field: it would count an entry that is wrong as one too few, and say so beside what is wrong.
        if not 2 <= len(self.classes) <= 255:
            raise ValueError(f"classes: got {len(self.classes)}; allowed: 2 to 255 of them")
        for what, values in (
            ("name", [entry.name for entry in self.classes]),
            ("colour", [entry.colour for entry in self.classes]),
        ):
            if (twice := _repeated(values)) is not None:
                raise ValueError(f"classes: {what} {twice!r} twice; allowed: each once")
        if self.ignore_id is not None and self.ignore_id < len(self.classes):
            name = self.classes[self.ignore_id].name
            raise ValueError(
                f"ignore_id: {self.ignore_id} is the class {name!r}; allowed: {len(self.classes)} to 255, "
                "for classes count from 0"
            )
        for entry in self.classes:
            if entry.colour == self.ignore_colour:
                raise ValueError(f"ignore_colour: {entry.colour} is the class {entry.name!r}; allowed: another colour")
        return self


def _repeated(values: Iterable[Hashable]) -> Hashable | None:
    seen: set[Hashable] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
