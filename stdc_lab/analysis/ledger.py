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
PACKAGE = "stdc_lab"
"""The input that is the package's version."""


class Begun(Value):
    """Written before the first training of a protocol."""

    event: Literal["begun"] = "begun"
    date: str
    protocol: str
    claim: str
    """Digest of the claim's file, comments aside."""
    inputs: dict[str, str]
    """What else its figures depend on: contents of the data set, version of the draws. The version of the package is
    told, and not compared: what it changes of a training has a version of its own."""
    anyway: str | None = None
    """Why it was judged undecidable, where it was begun all the same."""
    trainings: int = 0
    """How many were in its table already: more than none if an earlier ledger was taken away."""


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
    """Why it proves nothing: the claim, an input, or what was seen before, is another than it was."""
    seen: dict[str, str] | None = None
    """What it rests on, with digests: each seed's rows, or the table of figures. None in ledgers of before."""


Entry = Begun | Look
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="event")])


class Ledger:
    """The ledger in a claim's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_FILE
        self.entries = _read(self.path)

    def begin(
        self, protocol: str, claim: str, inputs: Mapping[str, str], anyway: str | None = None, trainings: int = 0
    ) -> None:
        """Note what a protocol begins with, once. trainings: that are in its table already."""
        if self.beginning(protocol) is None:
            self._add(
                Begun(
                    date=now(), protocol=protocol, claim=claim, inputs=dict(inputs), anyway=anyway, trainings=trainings
                )
            )  # fmt: skip

    def look(
        self,
        protocol: str,
        claim: str,
        seeds: int,
        verdict: str,
        effect: float | None = None,
        interval: tuple[float, float] | None = None,
        e_value: float | None = None,
        *,
        inputs: Mapping[str, str] | None = None,
        seen: Mapping[str, str] | None = None,
    ) -> None:
        """Note a look, unless the last one at this protocol saw the same with the same result."""
        entry = Look(
            date=now(), protocol=protocol, claim=claim, seeds=seeds, verdict=verdict, effect=effect, interval=interval,
            e_value=e_value, exploratory=self.changed(protocol, claim, inputs, seen),
            seen=None if seen is None else dict(seen),
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

    def changed(
        self,
        protocol: str,
        claim: str,
        inputs: Mapping[str, str] | None = None,
        seen: Mapping[str, str] | None = None,
    ) -> str | None:
        """In words, what is no longer as it was when the protocol began, or when it was looked at; None if all is.

        seen: digests of what there is to judge. What a look has seen may be added to, not edited or taken away.
        """
        begun = self.beginning(protocol)
        if begun is None:
            return "no line of the ledger says what it began with" if seen or self.looks(protocol) else None
        if begun.trainings:
            return f"its ledger began on {begun.date[:10]}, after {begun.trainings} trainings"
        if begun.claim != claim:
            return f"the claim's file was changed after {begun.date[:10]} (was {begun.claim}, is {claim})"
        for name, value in (inputs or {}).items():
            if name != PACKAGE and name in begun.inputs and begun.inputs[name] != value:
                return f"{name} was {begun.inputs[name]} on {begun.date[:10]}, is {value}"
        return None if seen is None else self._edited(protocol, seen)

    def _edited(self, protocol: str, seen: Mapping[str, str]) -> str | None:
        for look in self.looks(protocol):
            for name, digest in (look.seen or {}).items():
                if seen.get(name) != digest:
                    what = "edited" if name in seen else "taken out of its table"
                    return f"{name} was {what} after the look of {look.date[:10]}"
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
