"""`search --confirm`: fresh trainings of the front, through real workers and a real storage."""

import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState

from stdc_lab.analysis.frame import load_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import TrialRecord
from stdc_lab.search import Confirmation, Crew, run_study
from stdc_lab.search.confirm import FIRST_FRESH_SEED, enqueue_confirmation
from stdc_lab.search.folder import open_study
from stdc_lab.search.ledger import Ledger
from tests.search.test_driver import Notes, study_config

SEEDS = [FIRST_FRESH_SEED, FIRST_FRESH_SEED + 1]


def config() -> StudyConfig:
    """MACs as the other objective: unlike a latency they put the same networks on the front every time."""
    return study_config(references=["stdc1"], trials=4, objectives=["miou", "macs"])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Path:
    folder = tmp_path_factory.mktemp("study") / "out"
    run_study(config(), folder, crew=crew)
    return folder


@pytest.fixture(scope="module")
def confirmed(searched: Path, tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Path:
    folder = Path(shutil.copytree(searched, tmp_path_factory.mktemp("confirmed") / "out"))
    outcome = run_study(config(), folder, confirm=Confirmation(2, tie=0.0), crew=crew)
    assert (outcome.trained_before, outcome.trained, outcome.ended) == (0, outcome.wanted, None)
    return folder


def test_every_member_of_the_front_gets_the_same_fresh_seeds(searched: Path, confirmed: Path) -> None:
    before, after = load_study(searched), load_study(confirmed)
    members = before.loc[before["on_front"], "number"].tolist()
    fresh = after[after["confirms"].notna()]
    assert len(fresh) == 2 * len(members)
    assert fresh.groupby("confirms")["seed"].apply(sorted).to_dict() == dict.fromkeys(map(float, members), SEEDS)
    for row in fresh.to_dict("records"):
        record = TrialRecord.model_validate_json((confirmed / "runs" / row["trial_key"] / "trial.json").read_bytes())
        first = after.iloc[int(row["confirms"])]
        assert (record.arch_id, record.seed, record.confirms) == (first["arch_id"], row["seed"], row["confirms"])
        assert record.result.seed == row["seed"]
        assert row["latency_ms"] == first["latency_ms"], "an architecture is timed once"
    point = [name for name in before.columns if name.startswith(("base_width", "depths", "num_blocks"))]
    for row in fresh.to_dict("records"):
        assert [row[name] for name in point] == after.loc[int(row["confirms"]), point].tolist()


def test_both_values_are_there_and_the_first_front_stays(searched: Path, confirmed: Path) -> None:
    before, after = load_study(searched), load_study(confirmed)
    rows = after.iloc[: len(before)]
    assert rows["on_front"].tolist() == before["on_front"].tolist()
    assert rows["miou"].tolist() == before["miou"].tolist()
    fresh = after[after["confirms"].notna()]
    assert not fresh["on_front"].any()
    assert not fresh["on_confirmed_front"].any()
    for row in rows[rows["on_front"]].to_dict("records"):
        values = fresh.loc[fresh["confirms"] == row["number"], "miou"]
        assert row["confirmed_seeds"] == 2
        assert row["confirmed_miou"] == pytest.approx(sum(values) / 2)
    assert rows["on_confirmed_front"].any()
    assert not rows.loc[~rows["on_front"], "on_confirmed_front"].any()


def test_called_again_nothing_is_trained_and_with_more_seeds_only_those(
    confirmed: Path, tmp_path: Path, crew: Crew
) -> None:
    folder = Path(shutil.copytree(confirmed, tmp_path / "out"))
    again = Notes()
    outcome = run_study(config(), folder, confirm=Confirmation(2, tie=0.0), crew=crew, watcher=again)
    assert again.trained == []
    assert outcome.trained == outcome.wanted == outcome.trained_before
    members = int(load_study(folder)["on_front"].sum())
    run_study(config(), folder, confirm=Confirmation(3, tie=0.0), crew=crew, watcher=again)
    assert len(again.trained) == members
    assert (load_study(folder)["confirmed_seeds"] == 3).sum() == members


def test_a_search_goes_on_as_if_nothing_had_been_confirmed(confirmed: Path, tmp_path: Path, crew: Crew) -> None:
    folder = Path(shutil.copytree(confirmed, tmp_path / "out"))
    notes = Notes()
    before = load_study(folder)
    outcome = run_study(config(), folder, trials=5, crew=crew, watcher=notes)
    assert (outcome.trained_before, outcome.trained) == (4, 5)
    after = load_study(folder).iloc[len(before) :]
    assert after["number"].tolist() == notes.trained
    assert after["confirms"].isna().all()
    assert after["duplicate_of"].isna().tolist() == [False] * (len(after) - 1) + [True]
    assert after["trial_key"].iloc[-1] not in set(before["trial_key"])
    kept = load_study(folder).iloc[: len(before)]
    assert kept["confirmed_miou"].equals(before["confirmed_miou"])


def test_broken_off_it_goes_on_where_it_was(searched: Path, tmp_path: Path, crew: Crew) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    members = int(load_study(folder)["on_front"].sum())
    with pytest.raises(KeyboardInterrupt):
        run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew, watcher=Notes(interrupt_at=4))
    states = load_study(folder)["state"].tolist()[4:]
    assert states == ["WAITING"] * members
    notes = Notes()
    run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew, watcher=notes)
    assert len(notes.trained) == members
    assert load_study(folder)["state"].tolist()[4:] == ["COMPLETE"] * members


def test_a_confirmation_leaves_what_the_search_has_in_its_queue(searched: Path, tmp_path: Path, crew: Crew) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    open_study(config(), folder).enqueue_trial({})
    run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew)
    assert load_study(folder)["state"].tolist()[4] == "WAITING"


def test_fresh_trainings_count_for_no_search(confirmed: Path) -> None:
    ledger = Ledger(open_study(config(), confirmed))
    assert ledger.trained == 4
    assert ledger.confirmed == int((load_study(confirmed)["confirms"].notna()).sum())


def test_near_ties_come_along(searched: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    study = open_study(config(), folder)
    assert enqueue_confirmation(study, config(), folder, Confirmation(1, tie=1.0)) == 4
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [trial.user_attrs["confirms"] for trial in waiting] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("seeds", "tie", "message"),
    [(0, 0.01, "--confirm: got 0; allowed: a whole number from 1"), (1, -0.1, "--tie: got -0.1; allowed: mIoU from 0")],
)
def test_impossible_confirmations(seeds: int, tie: float, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Confirmation(seeds, tie)


def test_nothing_to_confirm(searched: Path, tmp_path: Path, crew: Crew) -> None:
    with pytest.raises(StudyError, match="no study to confirm; run the search first"):
        run_study(config(), tmp_path / "none", confirm=Confirmation(1), crew=crew)
    assert not (tmp_path / "none").exists()
    study = open_study(config(), searched)
    costs = config().model_copy(update={"objectives": config().objectives[1:]})
    with pytest.raises(StudyError, match="no objective of this study depends on a training: macs"):
        enqueue_confirmation(study, costs, searched, Confirmation(1))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StudyError, match="no finished trial to confirm"):
        enqueue_confirmation(open_study(config(), empty), config(), empty, Confirmation(1))
