"""YAML within limits: what would take forever, or ends in a traceback, is answered with its line."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.parser import RoundTripParser

from stdc_lab.errors import ConfigError

MAX_YAML_BYTES = 2**18
MAX_NODES = 10_000
"""Keys, values, lists and mappings; those that an alias stands for count each time."""
MAX_DEPTH = 32
MAX_DIGITS = 40
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def parse_yaml(text: str, where: str) -> Any:
    """What a YAML 1.2 text holds, with line numbers kept. Raises `ConfigError` that begins with `where` and the line.

    Limits keep it within a second: at most 10,000 nodes (what an alias stands for counts each time), nested 32 deep.
    """
    reader = YAML(typ="rt", pure=True)
    reader.Parser, reader.Constructor = _Parser, _Constructor
    try:
        return reader.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = str(getattr(error, "problem", None) or error).strip().splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {_short(problem)}") from error
    except Exception as error:  # odd comments and tags end in as many ways as the library has corners
        raise ConfigError(f"{where}: not valid YAML: {_short(str(error) or type(error).__name__)}") from error


class _Parser(RoundTripParser):
    """Counts what it reads, before anything is made of it."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader)
        self._nodes = 0
        self._open: list[tuple[str | None, int]] = []
        """Of each list and mapping around: its anchor, and the nodes before it."""
        self._sizes: dict[str | None, int] = {}

    def get_event(self) -> Any:
        """The next part of the text. Raises `ConstructorError` beyond a limit."""
        event = super().get_event()
        if isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                raise _refused(
                    f"got *{event.anchor} inside what it stands for; allowed: aliases of what is whole", event
                )
            self._nodes += self._sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent):
            self._nodes += 1
            self._sizes[event.anchor] = 1
        elif isinstance(event, SequenceStartEvent | MappingStartEvent):
            self._open.append((event.anchor, self._nodes))
            self._nodes += 1
            if len(self._open) > MAX_DEPTH:
                raise _refused(f"got lists or mappings nested {len(self._open)} deep; allowed: {MAX_DEPTH}", event)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            anchor, before = self._open.pop()
            self._sizes[anchor] = self._nodes - before
        if self._nodes > MAX_NODES:
            what = "keys and values, those behind aliases counted each time"
            raise _refused(f"got more than {MAX_NODES:,} {what}; allowed: at most that", event)
        return event


class _Constructor(RoundTripConstructor):
    """Says the line of a value that cannot be."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A node's value. Raises `ConstructorError`."""
        if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise _refused(f"got a number of {len(node.value):,} characters; allowed: at most {MAX_DIGITS}", node)
        try:
            return super().construct_object(node, deep)
        except YAMLError:
            raise
        except Exception as error:
            kind = str(node.tag).rpartition(":")[2]
            kind = "a date that there is not" if kind == "timestamp" else f"no {kind}"
            got = f"got {_short(node.value)!r}" if isinstance(node.value, str) else "got a value"
            raise _refused(f"{got}, which is {kind}; allowed: text in quotes, or a value of that kind", node) from error

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        """Whether the key is new. Raises `ConstructorError` if it is not, or no plain one."""
        if not isinstance(key, str | int | float | None):
            what = {"SequenceNode": "a list", "MappingNode": "a mapping"}.get(type(key_node).__name__, "a date")
            raise _refused(f"got {what} as a key; allowed: text, in quotes if need be", key_node)
        return bool(super().check_mapping_key(node, key_node, mapping, key, value))


def _refused(problem: str, place: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, place.start_mark)


def _short(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else line[:199] + "…"
