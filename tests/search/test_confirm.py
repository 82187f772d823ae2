"""`study confirm`: fresh trainings of the front, through real workers and a real storage."""

import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from stdc_lab.analysis.frame import load_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import TrialRecord
from stdc_lab.search import Confirmation, Crew, run_study
from stdc_lab.search.confirm import FIRST_FRESH_SEED, enqueue_confirmation, next_confirmation
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.propose import make_sampler, next_trial
from stdc_lab.storage import Searched, open_study
from tests.search.test_driver import Notes, study_config
from tests.study_folder import add_complete, some_params
from tests.study_folder import open_study as open_made_up
from tests.study_folder import study_config as made_up_config

SEEDS = [FIRST_FRESH_SEED, FIRST_FRESH_SEED + 1]


TINY = {"base_width": 6, "decoder": {"context_width": 8, "fusion_width": 8, "head_width": 8}}


def config() -> StudyConfig:
    """MACs as the other objective: unlike a latency they put the same networks on the front every time. The reference
    is no larger than the others, so that its trainings take no longer."""
    return study_config(networks={"mine": TINY}, trials=4, objectives=["miou", "macs"])


def taken_again(folder: Path) -> list[int]:
    """The numbers of the networks that a confirmation trains again: the front, references and those drawn by lot."""
    study = open_study(config(), folder)
    enqueue_confirmation(study, config(), folder, Confirmation(1, tie=0.0))
    return sorted({trial.user_attrs["confirms"] for trial in study.trials if "confirms" in trial.user_attrs})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Path:
    folder = tmp_path_factory.mktemp("study") / "out"
    run_study(config(), folder, crew=crew)
    return folder


@pytest.fixture(scope="module")
def again(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    return taken_again(Path(shutil.copytree(searched, tmp_path_factory.mktemp("again") / "out")))


@pytest.fixture
def one_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is the only control: fewer trainings."""
    monkeypatch.setattr("stdc_lab.search.confirm.CONTROLS", 1)


@pytest.fixture(scope="module")
def confirmed(searched: Path, tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Path:
    folder = Path(shutil.copytree(searched, tmp_path_factory.mktemp("confirmed") / "out"))
    outcome = run_study(config(), folder, confirm=Confirmation(2, tie=0.0), crew=crew)
    assert (outcome.trained_before, outcome.trained, outcome.ended) == (0, outcome.wanted, None)
    return folder


def test_front_references_and_controls_all_get_the_same_fresh_seeds(
    searched: Path, confirmed: Path, again: list[int]
) -> None:
    before, after = load_study(searched), load_study(confirmed)
    members = again
    assert set(before.loc[before["on_front"], "number"]) <= set(members)
    assert set(before.loc[before["reference"].notna(), "number"]) <= set(members)
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
    assert rows["control"].all(), "as many as there are: the reference and three by lot"
    assert rows["on_front"].tolist() == before["on_front"].tolist()
    assert rows["miou"].tolist() == before["miou"].tolist()
    fresh = after[after["confirms"].notna()]
    assert not fresh["on_front"].any()
    for row in rows[rows["on_front"]].to_dict("records"):
        values = fresh.loc[fresh["confirms"] == row["number"], "miou"]
        assert row["confirmed_seeds"] == 2
        assert row["confirmed_miou"] == pytest.approx(sum(values) / 2)


def test_called_again_nothing_is_trained_and_with_more_seeds_only_those(
    confirmed: Path, tmp_path: Path, crew: Crew
) -> None:
    folder = Path(shutil.copytree(confirmed, tmp_path / "out"))
    again = Notes()
    outcome = run_study(config(), folder, confirm=Confirmation(2, tie=0.0), crew=crew, watcher=again)
    assert again.trained == []
    assert outcome.trained == outcome.wanted == outcome.trained_before
    networks = int((load_study(folder)["confirmed_seeds"] == 2).sum())
    run_study(config(), folder, confirm=Confirmation(3, tie=0.0), crew=crew, watcher=again)
    assert len(again.trained) == networks
    assert (load_study(folder)["confirmed_seeds"] == 3).sum() == networks


def told(study: optuna.Study, number_of_values: int) -> None:
    """Let the sampler propose and tell it made-up values, as the loop does: what it draws follows from what it sees."""
    for _ in range(number_of_values):
        study.sampler = make_sampler(learning(), len(Searched(study).get_trials(deepcopy=False)))
        trial = next_trial(study, learning())
        assert trial is not None
        width = trial.suggest_categorical("base_width", [4, 6, 8])
        blocks = trial.suggest_int("num_blocks", 2, 4)
        study.tell(trial, [width / 100 + blocks / 1000, width * blocks])


def learning(sampler: str = "tpe") -> StudyConfig:
    return study_config(objectives=["miou", "macs"], sampler={"name": sampler, "startup_trials": 4, "population": 4})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_do_not_see_confirmations(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposals are the same, number for number, whether fresh trainings were done, wait, or never were."""
    config = learning(sampler)
    monkeypatch.setattr("tests.search.test_confirm.learning", lambda: config)
    drawn = {}
    for kind in ("never", "done", "waiting"):
        study = optuna.create_study(directions=["maximize", "minimize"])
        told(study, 9)
        for number in (0, 3, 5) if kind != "never" else ():
            point = study.trials[number].params
            study.enqueue_trial(point, user_attrs={"confirms": number, "seed": 7})
            if kind == "done":  # far better than all else, so that whoever sees it goes there
                trial = next_confirmation(study)
                assert trial is not None
                for name, varied in study.trials[number].distributions.items():
                    trial._suggest(name, varied)
                study.tell(trial, [0.99, 1])
        told(study, 16)
        searched = Searched(study).get_trials()
        drawn[kind] = [trial.params for trial in searched]
        assert len(searched) == 25
        states = {trial.state for trial in study.trials if "confirms" in trial.user_attrs}
        assert states == {"never": set(), "done": {TrialState.COMPLETE}, "waiting": {TrialState.WAITING}}[kind]
    assert drawn["never"] == drawn["done"] == drawn["waiting"]


def test_a_search_goes_on_as_if_nothing_had_been_confirmed(
    searched: Path, confirmed: Path, tmp_path: Path, crew: Crew
) -> None:
    """It trains what it would have trained; fresh trainings that wait go on waiting."""
    plain, beside = (Path(shutil.copytree(of, tmp_path / of.parent.name)) for of in (searched, confirmed))
    study = open_study(config(), beside)
    waiting = enqueue_confirmation(study, config(), beside, Confirmation(3, tie=0.0))
    notes = Notes()
    for folder in (plain, beside):
        outcome = run_study(config(), folder, trials=5, crew=crew, watcher=notes)
        assert (outcome.trained_before, outcome.trained) == (4, 5)
    one, other = load_study(plain), load_study(beside)
    of_the_search = other[other["confirms"].isna()]
    assert of_the_search["arch_id"].tolist() == one["arch_id"].tolist()
    assert of_the_search["seed"].tolist() == one["seed"].tolist()
    fresh = other[other["confirms"].notna()]
    assert len(fresh) == waiting
    assert (fresh["state"] == "WAITING").sum() == waiting // 3


def test_broken_off_it_goes_on_where_it_was(searched: Path, tmp_path: Path, crew: Crew, one_control: None) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    members = len(taken_again(Path(shutil.copytree(searched, tmp_path / "counted"))))
    with pytest.raises(KeyboardInterrupt):
        run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew, watcher=Notes(interrupt_at=4))
    states = load_study(folder)["state"].tolist()[4:]
    assert states == ["WAITING"] * members
    notes = Notes()
    run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew, watcher=notes)
    assert len(notes.trained) == members
    assert load_study(folder)["state"].tolist()[4:] == ["COMPLETE"] * members


def test_a_confirmation_leaves_what_the_search_has_in_its_queue(
    searched: Path, tmp_path: Path, crew: Crew, one_control: None
) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    open_study(config(), folder).enqueue_trial({})
    run_study(config(), folder, confirm=Confirmation(1, tie=0.0), crew=crew)
    assert load_study(folder)["state"].tolist()[4] == "WAITING"


def test_fresh_trainings_count_for_no_search(confirmed: Path) -> None:
    ledger = Ledger(open_study(config(), confirmed))
    assert ledger.trained == 4
    assert ledger.confirmed == int((load_study(confirmed)["confirms"].notna()).sum())


def test_near_ties_come_along(searched: Path, tmp_path: Path, one_control: None) -> None:
    folder = Path(shutil.copytree(searched, tmp_path / "out"))
    study = open_study(config(), folder)
    assert enqueue_confirmation(study, config(), folder, Confirmation(1, tie=1.0)) == 4
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert sorted(trial.user_attrs["confirms"] for trial in waiting) == [0, 1, 2, 3]


def test_controls_are_the_references_and_a_lot_that_knows_no_score(tmp_path: Path) -> None:
    """The same networks are drawn whatever their scores were, and stay when more seeds are asked for."""
    drawn = []
    for best in (3, 8):
        made_up = made_up_config(references=["stdc1"])
        folder = tmp_path / str(best)
        with open_made_up(folder, made_up) as study:
            add_complete(study, folder, made_up, miou=0.9, latency_ms=90.0, reference="stdc1")
            for index in range(1, 10):
                miou = 0.9 if index == best else 0.1
                add_complete(
                    study, folder, made_up, miou=miou, latency_ms=50.0, params=some_params(index), record=False
                )
            enqueue_confirmation(study, made_up, folder, Confirmation(1, tie=0.0))
            fresh = [trial for trial in study.trials if "confirms" in trial.user_attrs]
            drawn.append({trial.user_attrs["confirms"] for trial in fresh if "control" in trial.user_attrs})
            assert {trial.user_attrs["confirms"] for trial in fresh} == {0, best} | drawn[-1]
            count = len({0, best} | drawn[-1])
            assert enqueue_confirmation(study, made_up, folder, Confirmation(2, tie=0.0)) == 2 * count
            later = {trial.user_attrs["confirms"] for trial in study.trials if "control" in trial.user_attrs}
            assert later == drawn[-1]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 3, "with the reference four"


@pytest.mark.parametrize(
    ("seeds", "tie", "message"),
    [
        (0, 0.01, "study confirm: got 0; allowed: a whole number from 1"),
        (1, -0.1, "--tie: got -0.1; allowed: mIoU from 0"),
    ],
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
