"""What happened to a claim, in order: what it was when it began, and every look at it.

A line a happening, only ever added to. So a claim that was changed once somebody had looked is told from one that was
not, and its later looks are exploratory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from stdc_lab.config.values import Value
from stdc_lab.errors import StudyError
from stdc_lab.files import append_text, read_bytes

LEDGER_FILE = "ledger.jsonl"


class Begun(Value):
    """Written before the first training of a protocol."""

    event: Literal["begun"] = "begun"
    date: str
    protocol: str
    claim: str
    """Digest of the claim's file, comments aside."""
    inputs: dict[str, str]
    """What else its figures depend on: contents of the data set, version of the draws, of the package."""
    anyway: str | None = None
    """Why it was judged undecidable, where it was begun all the same."""


class Look(Value):
    """A moment at which a claim was judged."""

    event: Literal["look"] = "look"
    date: str
    protocol: str
    claim: str
    seeds: int
    verdict: str
    effect: float | None = None
    interval: tuple[float, float] | None = None
    e_value: float | None = None
    exploratory: str | None = None
    """Why it proves nothing: the claim, or an input, is another than when it began."""


Entry = Begun | Look
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="event")])


class Ledger:
    """The ledger in a claim's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE
        self.entries = _read(self.path)

    def begin(self, protocol: str, claim: str, inputs: Mapping[str, str], anyway: str | None = None) -> None:
        """Note what a protocol begins with, once."""
        if self.beginning(protocol) is None:
            self._add(Begun(date=now(), protocol=protocol, claim=claim, inputs=dict(inputs), anyway=anyway))

    def look(
        self,
        protocol: str,
        claim: str,
        seeds: int,
        verdict: str,
        effect: float | None = None,
        interval: tuple[float, float] | None = None,
        e_value: float | None = None,
    ) -> None:
        """Note a look, unless the last one at this protocol saw the same seeds with the same result."""
        entry = Look(
            date=now(), protocol=protocol, claim=claim, seeds=seeds, verdict=verdict, effect=effect,
            interval=interval, e_value=e_value, exploratory=self.changed(protocol, claim),
        )  # fmt: skip
        last = next((one for one in reversed(self.looks(protocol))), None)
        if last is None or last.replace(date=entry.date) != entry:
            self._add(entry)

    def beginning(self, protocol: str) -> Begun | None:
        """What the protocol began with."""
        return next((one for one in self.entries if isinstance(one, Begun) and one.protocol == protocol), None)

    def looks(self, protocol: str) -> list[Look]:
        """All looks at a protocol, in order."""
        return [one for one in self.entries if isinstance(one, Look) and one.protocol == protocol]

    def changed(self, protocol: str, claim: str, inputs: Mapping[str, str] | None = None) -> str | None:
        """In words, what is no longer as it was when the protocol began; None if all is, or nothing has begun."""
        begun = self.beginning(protocol)
        if begun is None:
            return None
        if begun.claim != claim:
            return f"the claim's file was changed after {begun.date[:10]} (was {begun.claim}, is {claim})"
        for name, value in (inputs or {}).items():
            if name in begun.inputs and begun.inputs[name] != value:
                return f"{name} was {begun.inputs[name]} on {begun.date[:10]}, is {value}"
        return None

    def _add(self, entry: Entry) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        append_text(self.path, entry.model_dump_json() + "\n", StudyError)
        self.entries.append(entry)


def digest_of(claim: Value) -> str:
    """Of what a claim's file says: sixteen hexadecimal digits. Comments, the order of keys and what is said only to be
    the default do not count, so that a later version's settings leave it as it is."""
    canonical = json.dumps(claim.model_dump(mode="json", exclude_defaults=True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def now() -> str:
    """This moment as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    try:
        lines = read_bytes(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: no ledger: {error}; restore it") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError as error:
            raise StudyError(f"{path}:{number}: no entry of a ledger; restore the file") from error
    return entries
