"""The claims that are shipped and the one of the docs can be read, and trained ones can be decided."""

import re
from pathlib import Path

import pytest

from stdc_lab.claims.trained import refuse_undecidable
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.reading import find_claims, read_claim

ROOT = Path(__file__).parents[2]
CLAIMS = find_claims(ROOT / "studies" / "claims")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_shipped_claim_is_read_by_its_id(name: str) -> None:
    claim = read_claim(CLAIMS[name])
    assert claim.id == name
    if isinstance(claim, TrainedClaim):
        refuse_undecidable(claim, next(iter(claim.protocols)))


def test_the_claims_of_the_issue_are_there() -> None:
    kinds = [read_claim(path).kind for path in CLAIMS.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"exact": 8, "measured": 5, "trained": 12}


def test_the_claim_of_the_docs_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    (block,) = re.findall(r"```yaml\n(# studies/claims/.*?)```", text, flags=re.DOTALL)
    (tmp_path / "claim.yaml").write_text(block)
    claim = read_claim(tmp_path / "claim.yaml")
    assert isinstance(claim, TrainedClaim)
    refuse_undecidable(claim, "scenes")
