"""The pages of claims: verdict first, from the tables alone, and nothing in them that is not theirs."""

import json
import re
from pathlib import Path

import pytest

from stdc_lab.analysis.claim_folder import table_path, write_figures
from stdc_lab.analysis.ledger import Ledger, digest_of
from stdc_lab.analysis.stated import frame_of
from stdc_lab.analysis.trainings_table import TrainingRow, write_table
from stdc_lab.config.claim import ExactClaim, TrainedClaim
from stdc_lab.config.reading import yaml_text
from stdc_lab.errors import StudyError
from stdc_lab.reporting import render_claims
from stdc_lab.reporting.claim_figures import class_differences, looks_of

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'too' {{ 7 * 7 }}"
ARMS = {"plain": {"heads.detail_strides": ()}, "guided": {"heads.detail_strides": (8,)}}
HEAD = {"statement": "Guided is better.", "source": "section 3.3", "replication": {"recipe": "none"}}


def trained(**changes: object) -> TrainedClaim:
    content = {
        **HEAD, "id": "guidance", "kind": "trained", "title": "Guidance", "arms": ARMS, "control": "plain",
        "treatment": "guided", "margin": 0.01, "assumed_sd": 0.008, "protocols": {"scenes": {}},
    }  # fmt: skip
    return TrainedClaim.model_validate(content | changes)


def rows_of(seeds: int, effect: float = 0.03, arms: tuple[str, ...] = tuple(ARMS)) -> list[TrainingRow]:
    rows = []
    for seed in range(seeds):
        for arm in arms:
            miou = 0.4 + 0.01 * seed + (effect + 0.001 * (seed % 3)) * (arm == "guided")
            rows.append(
                TrainingRow(
                    arm=arm, seed=seed, state="complete", miou=miou, class_iou={"road": miou, "<b>pole": None},
                    iterations=2, precision="float32", processor="<i>cpu", fingerprint="f", training="t",
                    trial_key=f"{arm}{seed}", contents="c", date="2026-11-25T00:00:00Z",
                )
            )  # fmt: skip
    return rows


def keep(out: Path, claim: TrainedClaim | ExactClaim, rows: list[TrainingRow] | None = None) -> Path:
    """A folder of claims with this one, as `reproduce` leaves it."""
    folder = out / claim.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "claim.yaml").write_text(yaml_text(claim))
    if isinstance(claim, TrainedClaim):
        for protocol in claim.protocols:
            Ledger(folder).begin(protocol, digest_of(claim), {"contents": "c"})
            write_table(table_path(folder, protocol), rows or [], list(claim.arms))
    return folder


def counts(verdict: float = 1) -> ExactClaim:
    return ExactClaim.model_validate(
        {**HEAD, "id": "counts", "kind": "exact", "title": "Counts", "computes": "c", "stated": {"weights": verdict}}
    )


def test_the_verdict_comes_first_with_its_pictures_and_links(tmp_path: Path) -> None:
    keep(tmp_path, trained(), rows_of(8))
    write_figures(table_path(keep(tmp_path, counts(2)), "figures"), frame_of({"weights": 1}))
    overview = render_claims(tmp_path)
    page = (tmp_path / "guidance" / "index.html").read_text()
    assert "<h1>Supported: Guidance</h1>" in page
    assert page.index("<h1>") < page.index("<h2>")
    assert page.count('<img src="data:image/png;base64,') == 2
    assert {path.name for path in (tmp_path / "guidance").glob("*.png")} == {"scenes-looks.png", "scenes-classes.png"}
    assert 'href="../index.html"' in page
    assert "stdc-lab reproduce guidance --judge-only" in page
    assert "<h1>Contradicted: Counts</h1>" in (tmp_path / "counts" / "index.html").read_text()
    links = re.findall(r'href="([^"#]+)"', overview.read_text())
    assert links == ["counts/index.html", "guidance/index.html"]
    assert all((tmp_path / link).is_file() for link in links)
    verdicts = json.loads((tmp_path / "verdicts.json").read_text())
    assert [one["verdict"] for one in verdicts] == ["contradicted", "supported"]


def test_nothing_is_asked_of_another_place(tmp_path: Path) -> None:
    keep(tmp_path, trained(), rows_of(4))
    render_claims(tmp_path)
    for path in (tmp_path / "index.html", tmp_path / "guidance" / "index.html"):
        page = path.read_text()
        assert "default-src 'none'" in page
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
        assert "@import" not in page


def test_what_a_claim_says_is_text_and_no_markup(tmp_path: Path) -> None:
    claim = trained(title=HOSTILE + "x" * 3000, statement=HOSTILE, source=HOSTILE, replication={"recipe": HOSTILE})
    keep(tmp_path, claim, rows_of(5))
    overview = render_claims(tmp_path).read_text()
    for page in (overview, (tmp_path / "guidance" / "index.html").read_text()):
        assert "<script>alert" not in page and "<i>cpu" not in page and "<b>pole" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page
        assert "{{ 7 * 7 }}" in page and "x" * 3000 in page


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    keep(tmp_path, trained(), rows_of(6))
    written = []
    for _ in range(2):
        render_claims(tmp_path)
        written.append({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    render_claims(tmp_path, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "index.html").read_bytes() == (tmp_path / "index.html").read_bytes()


def test_a_claim_without_a_run_has_its_page(tmp_path: Path) -> None:
    keep(tmp_path, trained())
    keep(tmp_path, counts())
    overview = render_claims(tmp_path).read_text()
    assert "not run" in overview
    page = (tmp_path / "guidance" / "index.html").read_text()
    assert "<h1>Not run: Guidance</h1>" in page
    assert "<img" not in page
    assert not list((tmp_path / "guidance").glob("*.png"))


def test_a_folder_without_claims_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no claims here: stdc-lab reproduce puts them into reports/claims"):
        render_claims(tmp_path)


def test_two_folders_of_one_claim_are_refused(tmp_path: Path) -> None:
    folder = keep(tmp_path, trained(), rows_of(4))
    folder.rename(tmp_path / "of_before")
    keep(tmp_path, trained(), rows_of(4, -0.03))
    with pytest.raises(StudyError, match="of_before: holds the claim guidance; allowed: a folder of that name"):
        render_claims(tmp_path)


def test_trainings_that_diverged_have_a_page(tmp_path: Path) -> None:
    rows = [
        row.replace(state="diverged", miou=None, class_iou={}) if row.arm == "guided" and row.seed < 2 else row
        for row in rows_of(6)
    ]
    keep(tmp_path, trained(), rows)
    keep(tmp_path, trained(id="all"), [row.replace(state="diverged", miou=None, class_iou={}) for row in rows])
    render_claims(tmp_path)
    page = (tmp_path / "guidance" / "index.html").read_text()
    assert "<h1>Undecided: Guidance</h1>" in page and "diverged 2 of 12" in page
    assert "<h1>Undecided: Guidance</h1>" in (tmp_path / "all" / "index.html").read_text()


def test_the_picture_shows_the_pairs_that_the_verdict_rests_on() -> None:
    claim = trained(arms={**ARMS, "beside": {"heads.auxiliary": False}}, secondary={"b": {"beside": 1, "plain": -1}})
    rows = [
        row.replace(state="diverged", miou=None, class_iou={}) if row.arm == "beside" and row.seed == 1 else row
        for row in rows_of(6, arms=("plain", "guided", "beside"))
    ]
    looks = looks_of(claim, "scenes", rows)
    assert looks.seeds == (0, 1, 2, 3, 4, 5)
    assert len(looks.apart) == 6
    assert [one.name for one in class_differences(claim, rows)] == ["road", "<b>pole"]


def test_an_edit_is_on_the_page(tmp_path: Path) -> None:
    folder = keep(tmp_path, trained(), rows_of(6))
    ledger = Ledger(folder)
    ledger.look("scenes", digest_of(trained()), 6, "supported", seen={"seed 2": "edited"})
    overview = render_claims(tmp_path).read_text()
    assert "(exploratory)" in overview
    assert "Exploratory: seed 2 was edited after the look of" in (folder / "index.html").read_text()
