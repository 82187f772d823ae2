"""What is kept of a claim, and the verdicts that follow from that alone: nothing is run, nothing is typed in."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stdc_lab.analysis.claim_verdict import ClaimVerdict, judge_figures, judge_trained, with_holm
from stdc_lab.analysis.ledger import Ledger, digest_of
from stdc_lab.analysis.trainings_table import TrainingRow, digests_of, read_table
from stdc_lab.config.claim import ExactClaim, MeasuredClaim, TrainedClaim
from stdc_lab.config.reading import read_claim
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.files import read_bytes, write_text

CLAIM_FILE = "claim.yaml"
FIGURES = "figures"
"""The protocol of a claim without trainings."""
Claim = ExactClaim | MeasuredClaim | TrainedClaim


@dataclass(frozen=True)
class KeptClaim:
    """A claim as it was run, and all that came of it."""

    claim: Claim
    folder: Path
    ledger: Ledger
    rows: Mapping[str, list[TrainingRow]]
    """Trainings by protocol."""
    figures: pd.DataFrame | None
    verdicts: tuple[ClaimVerdict, ...]
    """One a protocol; the first stands for the claim."""


def table_path(folder: Path, protocol: str) -> Path:
    """The trainings of a protocol, or the figures of a claim without trainings."""
    return folder / f"{protocol}.csv"


def holds_claims(folder: Path) -> bool:
    """Whether claims are kept in folders of this one."""
    return any(folder.glob(f"*/{CLAIM_FILE}"))


def read_claim_folder(folder: Path) -> KeptClaim:
    """The claim that a folder holds, judged anew. Raises `StdcLabError` for what cannot be read or judged."""
    claim, ledger = read_claim(folder / CLAIM_FILE), Ledger(folder)
    digest = digest_of(claim)
    if not isinstance(claim, TrainedClaim):
        figures = read_figures(table_path(folder, FIGURES))
        seen = figures_seen(claim, folder)
        verdict = judge_figures(claim, figures, FIGURES, ledger.changed(FIGURES, digest, seen=seen))
        return KeptClaim(claim, folder, ledger, {}, figures, (verdict,))
    rows = {name: read_table(table_path(folder, name)) for name in claim.protocols}
    arms = list(claim.arms)
    verdicts = tuple(
        judge_trained(claim, name, found, ledger.changed(name, digest, seen=digests_of(found, arms)))
        for name, found in rows.items()
    )
    return KeptClaim(claim, folder, ledger, rows, None, verdicts)


def figures_seen(claim: ExactClaim | MeasuredClaim, folder: Path) -> dict[str, str]:
    """What a look at measured figures rests on: their table, with a digest. Computed ones are computed every time."""
    path = table_path(folder, FIGURES)
    if isinstance(claim, ExactClaim) or not path.exists():
        return {}
    try:
        content = read_bytes(path).replace(b"\r\n", b"\n")
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    return {"the table of figures": hashlib.sha256(content).hexdigest()[:8]}


def read_claims_folder(folder: Path) -> list[KeptClaim]:
    """All claims that a folder of claims holds, by name. Raises `StudyError` if there is none, or one in a folder of
    another name: it would be one claim with two verdicts."""
    kept = [read_claim_folder(path.parent) for path in sorted(folder.glob(f"*/{CLAIM_FILE}"))]
    for one in kept:
        if one.folder.name != one.claim.id:
            raise StudyError(f"{one.folder}: holds the claim {one.claim.id}; allowed: a folder of that name")
    if not kept:
        raise StudyError(f"{folder}: no claims here: stdc-lab reproduce puts them into reports/claims")
    judged = iter(with_holm([verdict for one in kept for verdict in one.verdicts]))
    return [
        KeptClaim(one.claim, one.folder, one.ledger, one.rows, one.figures, tuple(next(judged) for _ in one.verdicts))
        for one in kept
    ]


def others_kept(folder: Path, known: Collection[str]) -> list[ClaimVerdict]:
    """The verdicts on the claims of a folder but for some, by id; those that cannot be judged are left out."""
    verdicts: list[ClaimVerdict] = []
    for path in sorted(folder.glob(f"*/{CLAIM_FILE}")):
        if path.parent.name not in known:
            with suppress(StdcLabError):
                verdicts += read_claim_folder(path.parent).verdicts
    return verdicts


def write_figures(path: Path, figures: pd.DataFrame) -> None:
    """Write the figures of a claim without trainings as CSV, with all their digits."""
    text = io.StringIO()
    figures.to_csv(text, index=False, lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue(), StudyError)


def read_figures(path: Path) -> pd.DataFrame | None:
    """What `write_figures` wrote; None if nothing is there. Raises `StudyError`."""
    if not path.exists():
        return None
    try:
        return pd.read_csv(io.BytesIO(read_bytes(path)))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: no table of figures: {error}; restore it, or move it away") from error
