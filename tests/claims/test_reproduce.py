"""Running what is missing of claims: it ends where they are decided, goes on where it stopped, and keeps a ledger."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stdc_lab.analysis.claim_folder import read_claims_folder
from stdc_lab.analysis.claim_verdict import judge_trained
from stdc_lab.analysis.ledger import Ledger
from stdc_lab.analysis.trainings_table import TrainingRow, read_table, write_table
from stdc_lab.claims import reproduce as reproduce_module
from stdc_lab.claims import trained as trained_module
from stdc_lab.claims.folder import chosen_claims
from stdc_lab.claims.reproduce import Reproduced, Wanted, reproduce
from stdc_lab.claims.trained import key_of
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.errors import ConfigError
from stdc_lab.training.stepper import DivergedError
from tests.claims.tiny import tiny_data, write_claim

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


class Trainings:
    """In place of trainings: what `scores` says, and a list of what was asked for."""

    def __init__(self, scores: dict[str, float], noise: float = 0.004) -> None:
        self.scores, self.noise = scores, noise
        self.asked: list[tuple[str, int]] = []
        self.stop_at: int | None = None

    def __call__(
        self, claim: TrainedClaim, protocol: str, arm: str, seed: int, dataset: object, bench: object
    ) -> TrainingRow:
        if self.stop_at == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append((arm, seed))
        key = key_of(claim, protocol, arm, seed)
        miou = self.scores[arm] + self.noise * ((3 * seed + 5 * (arm == "guided")) % 7 - 3)
        return TrainingRow(
            arm=arm, seed=seed, state="complete", miou=miou, class_iou={"road": miou}, iterations=2, seconds=10.0,
            precision="float32", processor="cpu", fingerprint=FINGERPRINT, training=key, trial_key=f"{key}h",
            contents=tiny_data().contents, date="2026-11-25T00:00:00Z",
        )  # fmt: skip


FINGERPRINT = reproduce_module.environment(CPU, 1).fingerprint


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    stands_in = Trainings({"neither": 0.3, "guided": 0.33})
    monkeypatch.setattr(reproduce_module, "train_arm", stands_in)
    return stands_in


ALL = Wanted()


def run(folder: Path, wanted: Wanted = ALL, claims: tuple[Path, ...] = ()) -> Reproduced:
    files = claims or (write_claim(folder, "max_seeds: 4", "max_seeds: 12"),)
    folders = chosen_claims([str(path) for path in files], (), folder / "out")
    return reproduce(folders, folder / "out", wanted, CPU, runs=folder / "runs")


def test_it_trains_pairs_until_the_claim_is_decided(tmp_path: Path, trainings: Trainings) -> None:
    done = run(tmp_path)
    (verdict,) = done.verdicts
    assert verdict.verdict == "supported"
    assert verdict.pairs == verdict.seeds < 12
    assert trainings.asked == [(arm, seed) for seed in range(verdict.seeds) for arm in ("neither", "guided")]
    assert done.trained == len(trainings.asked)
    ledger = Ledger(tmp_path / "out" / "tiny_details")
    assert [look.seeds for look in ledger.looks("scenes")] == list(range(1, verdict.seeds + 1))
    assert ledger.looks("scenes")[-1].verdict == "supported"
    beginning = ledger.beginning("scenes")
    assert beginning is not None
    assert set(beginning.inputs) == {"contents", "draws", "stdc_lab"}
    before = len(trainings.asked)
    again = run(tmp_path)
    assert len(trainings.asked) == before
    assert again.verdicts == done.verdicts
    assert len(Ledger(tmp_path / "out" / "tiny_details").entries) == len(ledger.entries)


def test_it_goes_on_after_an_interrupt(tmp_path: Path, trainings: Trainings) -> None:
    trainings.stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert len(read_table(tmp_path / "out" / "tiny_details" / "scenes.csv")) == 3
    trainings.stop_at = None
    done = run(tmp_path)
    assert len(set(trainings.asked)) == len(trainings.asked) == 2 * done.verdicts[0].seeds


def test_seeds_and_budget_are_limits(tmp_path: Path, trainings: Trainings) -> None:
    assert run(tmp_path, Wanted(seeds=2)).verdicts[0].verdict == "undecided"
    assert len(trainings.asked) == 4
    # A training took ten seconds: none fits into nine.
    assert run(tmp_path, Wanted(budget_s=9)).trained == 0
    assert run(tmp_path, Wanted(run=False)).trained == 0


def test_a_claim_that_is_not_decided_ends_at_its_plan(tmp_path: Path, trainings: Trainings) -> None:
    trainings.scores, trainings.noise = {"neither": 0.3, "guided": 0.305}, 0.02
    done = run(tmp_path)
    assert (done.verdicts[0].verdict, done.verdicts[0].pairs) == ("undecided", 12)


def test_a_changed_claim_is_reported_and_its_looks_are_exploratory(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=4))
    kept = (tmp_path / "out" / "tiny_details" / "claim.yaml").read_text()
    changed = write_claim(tmp_path / "changed", "max_seeds: 4", "max_seeds: 8")
    done = run(tmp_path, claims=(changed,))
    assert "the claim's file was changed" in str(done.verdicts[0].changed)
    looks = Ledger(tmp_path / "out" / "tiny_details").looks("scenes")
    assert [look.exploratory is not None for look in looks] == [False] * 4 + [True] * (len(looks) - 4)
    assert len(looks) > 4
    assert (tmp_path / "out" / "tiny_details" / "claim.yaml").read_text() == kept


def test_a_claim_that_cannot_be_decided_is_refused(
    tmp_path: Path, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_module, "seeds_that_would_do", lambda **_: 77)  # which simulates for seconds
    path = write_claim(tmp_path, "assumed_sd: 0.008", "assumed_sd: 0.03")
    done = run(tmp_path, claims=(path,))
    assert not done.verdicts
    (problem,) = done.problems
    assert "tiny_details/scenes: cannot be decided with 4 seeds at assumed_sd 0.03 and margin 0.01" in problem
    assert "77 seeds would do; --anyway" in problem
    assert not trainings.asked
    done = run(tmp_path, replace(Wanted(), anyway=True, seeds=1), (path,))
    assert len(trainings.asked) == 2
    beginning = Ledger(tmp_path / "out" / "tiny_details").beginning("scenes")
    assert beginning is not None
    assert beginning.anyway == "asked for by --anyway"


def test_other_claims_are_judged_beside_one_that_cannot_be_run(tmp_path: Path, trainings: Trainings) -> None:
    fine = write_claim(tmp_path, "max_seeds: 4", "max_seeds: 12")
    files = write_claim(tmp_path / "b", "{name: scenes, size: 32x32, train_images: 4, val_images: 2}", "{name: camvid}")
    files.write_text(
        files.read_text().replace("id: tiny_details", "id: of_files").replace("max_seeds: 4", "max_seeds: 12")
    )
    done = run(tmp_path, claims=(fine, files))
    assert [one.verdict for one in done.verdicts] == ["supported", "not run"]
    assert any("of_files/scenes: not run on: needs --data camvid=PATH" in one for one in done.problems)


def test_two_claims_of_one_id_and_unknown_names_are_refused(tmp_path: Path) -> None:
    one, other = write_claim(tmp_path / "a"), write_claim(tmp_path / "b")
    with pytest.raises(ConfigError, match="tiny_details: two claims of this id"):
        chosen_claims([str(one), str(other)], (), tmp_path)
    with pytest.raises(ConfigError, match="claim: got 'details'; allowed: the path of a claim's YAML, or one of"):
        chosen_claims(["details"], (), tmp_path, ROOT / "studies" / "claims")
    with pytest.raises(ConfigError, match="no claims here"):
        chosen_claims([], (), tmp_path, tmp_path / "none")


def test_the_folder_alone_gives_the_verdicts_again(tmp_path: Path, trainings: Trainings) -> None:
    done = run(tmp_path)
    (kept,) = read_claims_folder(tmp_path / "out")
    assert list(kept.verdicts) == done.verdicts


def test_a_training_is_really_run(tmp_path: Path) -> None:
    done = run(tmp_path, Wanted(seeds=1))
    rows = read_table(tmp_path / "out" / "tiny_details" / "scenes.csv")
    assert [(row.arm, row.seed, row.state) for row in rows] == [("neither", 0, "complete"), ("guided", 0, "complete")]
    assert done.verdicts[0].verdict == "undecided"


@pytest.mark.slow
def test_arms_are_trained_at_once_and_come_out_the_same(tmp_path: Path) -> None:
    one = run(tmp_path / "one", Wanted(seeds=1))
    both = run(tmp_path / "both", Wanted(seeds=1, jobs=2))
    tables = [read_table(tmp_path / name / "out" / "tiny_details" / "scenes.csv") for name in ("one", "both")]
    assert [(row.arm, row.miou, row.trial_key) for row in tables[0]] == [
        (row.arm, row.miou, row.trial_key) for row in tables[1]
    ]
    assert one.verdicts[0].effect == both.verdicts[0].effect


CLAIM = Path("out") / "tiny_details"


def test_an_interrupt_before_a_look_leaves_that_look_to_the_next_run(
    tmp_path: Path, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, Wanted(seeds=3))

    def interrupted(_claim: object, _protocol: object, rows: list[TrainingRow], *_args: object) -> object:
        if len(rows) == 8:
            raise KeyboardInterrupt
        return judge_trained(_claim, _protocol, rows, *_args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(reproduce_module, "judge_trained", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Wanted(seeds=4))
    before = len(trainings.asked)
    run(tmp_path, Wanted(seeds=4))
    assert len(trainings.asked) == before == 8
    assert [look.seeds for look in Ledger(tmp_path / CLAIM).looks("scenes")] == [1, 2, 3, 4]


def test_a_row_that_was_edited_after_a_look_is_told(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=3))
    table = tmp_path / CLAIM / "scenes.csv"
    as_it_was = table.read_text()
    table.write_text(as_it_was.replace("guided,1,complete,0.3", "guided,1,complete,0.4"))
    assert table.read_text() != as_it_was
    for done in (run(tmp_path, Wanted(run=False)), run(tmp_path)):
        assert "seed 1 was edited after the look of" in str(done.verdicts[0].changed)
    assert "seed 1 was edited" in str(Ledger(tmp_path / CLAIM).looks("scenes")[-1].exploratory)
    (kept,) = read_claims_folder(tmp_path / "out")
    assert "seed 1 was edited" in str(kept.verdicts[0].changed)


def test_a_ledger_that_was_taken_away_is_told(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=3))
    (tmp_path / CLAIM / "ledger.jsonl").unlink()
    assert "no line of the ledger" in str(run(tmp_path, Wanted(run=False)).verdicts[0].changed)
    assert "after 6 trainings" in str(run(tmp_path, Wanted(seeds=4)).verdicts[0].changed)


def test_judging_alone_writes_nothing(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=1))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    fresh = run(tmp_path / "fresh", Wanted(run=False))
    assert fresh.verdicts[0].verdict == "not run"
    assert not (tmp_path / "fresh" / "out").exists()
    exact = chosen_claims([str(ROOT / "studies" / "claims" / "stdc1_counts.yaml")], (), tmp_path / "out")
    (verdict,) = reproduce(exact, tmp_path / "out", Wanted(run=False), CPU).verdicts
    assert verdict.verdict == "not run"
    run(tmp_path, Wanted(run=False))
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_other_files_beside_the_tables_are_left_alone(tmp_path: Path, trainings: Trainings) -> None:
    other = tmp_path / "out" / "another"
    (other / "folder.csv").mkdir(parents=True)
    (other / "broken.csv").write_text("arm,trial_key\nneither,1\n")
    (other / "bytes.csv").write_bytes(bytes(range(256)))
    (other / "empty.csv").write_text("")
    done = run(tmp_path, Wanted(seeds=1))
    assert (done.trained, done.problems) == (2, [])


def test_arms_of_two_precisions_on_one_machine_are_refused(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=1))
    table = tmp_path / CLAIM / "scenes.csv"
    table.write_text(table.read_text().replace("float32", "bfloat16", 1))
    (problem,) = run(tmp_path).problems
    assert "scenes.csv: the arms of seed 0 were all trained here, and not in one precision" in problem
    assert len(trainings.asked) == 2


def test_a_training_that_diverges_is_in_the_precision_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_args: object, **_named: object) -> None:
        raise DivergedError("the loss is no number at iteration 2; lower the rate")

    monkeypatch.setattr(trained_module, "run_training", diverges)
    monkeypatch.setattr(trained_module, "choose_dtype", lambda *_: torch.bfloat16)
    done = run(tmp_path, Wanted(seeds=1))
    assert done.trained == 2
    assert (done.verdicts[0].verdict, done.verdicts[0].diverged) == ("undecided", {"neither": 1, "guided": 1})
    rows = read_table(tmp_path / CLAIM / "scenes.csv")
    assert [(row.state, row.precision, row.reason) for row in rows] == [
        ("diverged", "float32", "the loss is no number at iteration 2")
    ] * 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("margin: 0.01", "margin: 0.01\nmetric: boundary_f", "metric: boundary_f is not kept in the table of"),
        ("margin: 0.01", "margin: 0.01\nmetric: iou.cat", "metric: got class 'cat'; allowed: .*road"),
        (
            "  scenes:\n",
            "  scenes:\n    frequent_classes: [cat]\n",
            "frequent_classes: got class 'cat'; allowed: .*road",
        ),
    ],
)
def test_what_the_table_will_not_have_is_refused_before_a_training(
    tmp_path: Path, trainings: Trainings, old: str, new: str, said: str
) -> None:
    path = write_claim(tmp_path, old, new)
    path.write_text(path.read_text().replace("max_seeds: 4", "max_seeds: 12"))
    (problem,) = run(tmp_path, claims=(path,)).problems
    assert re.search(said, problem)
    assert not trainings.asked
    assert not (tmp_path / CLAIM / "ledger.jsonl").exists()


def test_past_the_plan_it_goes_on_where_more_seeds_are_asked_for(tmp_path: Path, trainings: Trainings) -> None:
    trainings.scores, trainings.noise = {"neither": 0.3, "guided": 0.305}, 0.02
    done = run(tmp_path, Wanted(seeds=14))
    assert (done.verdicts[0].verdict, done.verdicts[0].pairs) == ("undecided", 14)
    assert "past it only evidence counts" in str(done.verdicts[0].reason)


def test_a_broken_file_among_the_claims_leaves_the_others(tmp_path: Path) -> None:
    write_claim(tmp_path)
    (tmp_path / "broken.yaml").write_text("kind: trained\nid: ../x\n")
    problems: list[str] = []
    chosen = chosen_claims([], (), tmp_path / "out", tmp_path, problems)
    assert [one.claim.id for one in chosen] == ["tiny_details"]
    assert "broken.yaml:2: id: got '../x'" in problems[0]
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        chosen_claims([], (), tmp_path / "out", tmp_path)
    with pytest.raises(ConfigError, match="none of these is exact: tiny_details"):
        chosen_claims([str(tmp_path / "tiny_details.yaml")], ["exact"], tmp_path / "out")


def test_one_claim_named_twice_is_one(tmp_path: Path) -> None:
    path = str(write_claim(tmp_path))
    assert len(chosen_claims([path, path], (), tmp_path)) == 1


def test_a_claim_that_diverged_comes_after_what_can_be_decided(tmp_path: Path, trainings: Trainings) -> None:
    run(tmp_path, Wanted(seeds=1))
    table = tmp_path / CLAIM / "scenes.csv"
    (row, other) = read_table(table)
    write_table(table, [row, other.replace(state="diverged", miou=None, class_iou={})], ["neither", "guided"])
    (folder,) = chosen_claims([str(tmp_path / "tiny_details.yaml")], (), tmp_path / "out")
    assert isinstance(folder.claim, TrainedClaim)
    (work,) = reproduce_module._works(folder, folder.claim, Wanted())
    assert work.pairs_left(None) == 11
