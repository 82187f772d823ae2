"""Where claims are found, and what the folder of one holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import filelock

from stdc_lab.analysis.claim_folder import CLAIM_FILE, Claim, table_path
from stdc_lab.analysis.trainings_table import TrainingRow, read_table
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.reading import find_claims, read_claim, yaml_text
from stdc_lab.errors import ConfigError, StudyError
from stdc_lab.files import write_text

CLAIMS = Path("studies/claims")


@dataclass(frozen=True)
class ClaimFolder:
    """What is kept of a claim: `claim.yaml`, the ledger, a CSV for each protocol."""

    claim: Claim
    path: Path

    def table(self, protocol: str) -> Path:
        """The trainings of a protocol, or the figures of a claim without trainings."""
        return table_path(self.path, protocol)

    def keep(self) -> None:
        """Write the claim as it is run."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / CLAIM_FILE, yaml_text(self.claim), StudyError)

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the claim alone; gives False where another process holds it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except filelock.Timeout:
            yield False
            return
        except OSError as error:
            raise StudyError(f"{self.path}: cannot be written: {error.strerror}; use another --out") from error
        try:
            yield True
        finally:
            lock.release()


def chosen_claims(
    names: Sequence[str],
    kinds: Sequence[str],
    out: Path,
    folder: Path = CLAIMS,
    problems: list[str] | None = None,
) -> list[ClaimFolder]:
    """The claims by their ids, or by the paths of their files, or all of a folder; of some kinds, or of all.

    problems: takes what is wrong with a file, so that the other claims are chosen all the same. Raises `ConfigError`
    for a name that is neither, two claims of one id, kinds that none is of, and without `problems` for a file's
    mistakes.
    """
    files = find_claims(folder)
    paths = []
    for name in names:
        if name.endswith((".yaml", ".yml")):
            paths.append(Path(name))
        elif name in files:
            paths.append(files[name])
        else:
            there = ", ".join(files) or f"none was found in {folder}"
            raise ConfigError(f"claim: got {name!r}; allowed: the path of a claim's YAML, or one of {there}")
    if not names and not files:
        raise ConfigError(f"{folder}: no claims here; run this where studies/claims is, or name the files of claims")
    claims = []
    for path in dict.fromkeys(paths or files.values()):
        try:
            claims.append(read_claim(path))
        except ConfigError as error:
            if problems is None:
                raise
            problems.append(str(error))
    ids = [claim.id for claim in claims]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice}: two claims of this id; give one of them another id")
    chosen = [ClaimFolder(claim, out / claim.id) for claim in claims if not kinds or claim.kind in kinds]
    if claims and not chosen:
        raise ConfigError(f"claim: none of these is {' or '.join(kinds)}: {', '.join(ids)}")
    return chosen


def known_trainings(out: Path) -> dict[str, TrainingRow]:
    """Every training in the tables of a folder of claims, by its key. Other files, and tables that are none any more,
    are passed over: who asks for their claim is told."""
    rows: dict[str, TrainingRow] = {}
    for path in sorted(out.glob("*/*.csv")):
        with suppress(StudyError):
            rows |= {row.trial_key: row for row in read_table(path)}
    return rows


def check_protocols(folders: Sequence[ClaimFolder], names: Sequence[str]) -> None:
    """Raise `ConfigError` for a protocol that no claim has."""
    claims = (folder.claim for folder in folders)
    there = list(dict.fromkeys(name for one in claims if isinstance(one, TrainedClaim) for name in one.protocols))
    for name in names:
        if name not in there:
            raise ConfigError(f"--protocol: got {name!r}; allowed: {', '.join(there) or 'none, no claim is trained'}")
