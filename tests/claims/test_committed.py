"""The verdicts that are committed follow from the tables that are, to the last digit, and the README tells the same."""

import json
from pathlib import Path
from typing import Any

from stdc_lab.analysis.claim_folder import read_claims_folder
from stdc_lab.cli.tables import as_markdown
from stdc_lab.cli.verdicts import verdict_table
from stdc_lab.config.reading import find_claims, read_claim

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports" / "claims"
KEPT = read_claims_folder(REPORTS)
VERDICTS = [verdict for one in KEPT for verdict in one.verdicts]


def same_digits(value: Any) -> Any:
    """Numbers to ten digits: another processor may add in another order."""
    if isinstance(value, dict):
        return {key: same_digits(one) for key, one in value.items()}
    if isinstance(value, list):
        return [same_digits(one) for one in value]
    return f"{value:.10g}" if isinstance(value, float) else value


def test_the_verdicts_are_recomputed_to_the_digit() -> None:
    told = json.loads((REPORTS / "verdicts.json").read_text())
    found = [verdict.model_dump(mode="json") for verdict in VERDICTS]
    assert same_digits(found) == same_digits(told)


def test_no_claim_was_changed_after_it_began() -> None:
    files = find_claims(ROOT / "studies" / "claims")
    for one in KEPT:
        assert read_claim(files[one.claim.id]) == one.claim
    assert [verdict.claim for verdict in VERDICTS if verdict.changed is not None] == []


def test_the_readme_tells_what_the_tables_say() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    run = [verdict for verdict in VERDICTS if verdict.verdict != "not run"]
    rows = [line for line in as_markdown(verdict_table(run)).splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(run)
    assert [row for row in rows if row not in lines] == []


def test_no_image_of_a_data_set_is_there() -> None:
    endings = {path.suffix for path in REPORTS.rglob("*") if path.is_file() and not path.name.endswith(".lock")}
    assert endings <= {".csv", ".jsonl", ".json", ".yaml", ".html", ".png", ".md"}
    pictures = {path.stem.rpartition("-")[2] for path in REPORTS.rglob("*.png")}
    assert pictures <= {"looks", "classes"}
