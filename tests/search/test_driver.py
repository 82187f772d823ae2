import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch

from stdc_lab.analysis.frame import load_study
from stdc_lab.arch import presets
from stdc_lab.config.study import StudyConfig
from stdc_lab.data import load_dataset
from stdc_lab.errors import StudyError
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.records import Circumstances, ProfileResult, TrialRecord, trial_key
from stdc_lab.search import Crew, Watcher, retime_study, run_study
from stdc_lab.search import driver as driver_module
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.driver import circumstances
from stdc_lab.search.propose import enqueue_known
from stdc_lab.training import Progress

DECODER = {
    "decoder.context_width": {"type": "choice", "values": [8]},
    "decoder.fusion_width": {"type": "choice", "values": [8]},
    "decoder.head_width": {"type": "choice", "values": [8]},
}


def study_config(**changes: Any) -> StudyConfig:
    """A study whose real trials take about a second."""
    values: dict[str, Any] = {
        "name": "tiny",
        "space": {
            "name": "tiny",
            "vary": {
                "base_width": {"type": "choice", "values": [4, 6, 8]},
                "depths": {"type": "choice", "values": [[1, 1, 1], [2, 1, 1]]},
                "num_blocks": {"type": "int", "low": 2, "high": 4},
                "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
                **DECODER,
            },
        },
        "trials": 2,
        "references": [],
        "sampler": {"name": "random"},
        "data": {"size": [32, 64], "train_images": 4, "val_images": 2},
        "train": {"iterations": 2, "batch_size": 2, "warmup_iterations": 1, "evaluations": 1},
        "latency": {"size": [32, 64], "warmup_s": 0, "measure_s": 0.01, "min_repeats": 5, "attempts": 1, "threads": 1},
    }
    return StudyConfig.model_validate({**values, **changes})


class Notes(Watcher):
    """Remembers what it heard."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.again: list[str] = []
        self.trained: list[int] = []
        self.failed: list[str] = []
        self.timed: list[int] = []
        self.interrupt_at = interrupt_at

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        self.timed.append(candidate.number)

    def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
        if candidate.number == self.interrupt_at:
            raise KeyboardInterrupt

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        self.trained.append(candidate.number)

    def trial_failed(self, candidate: Candidate, reason: str) -> None:
        self.failed.append(reason)

    def trial_again(self, candidate: Candidate, reason: str) -> None:
        self.again.append(reason)


def test_a_study_leaves_what_the_house_promises(finished: Path) -> None:
    frame = load_study(finished)
    assert len(frame) == 3
    assert set(frame["state"]) == {"COMPLETE"}
    assert frame["reference"].tolist()[0] == "stdc1"
    assert frame["arch_id"].nunique() >= 2
    assert frame["miou"].between(0, 1).all()
    assert (frame[["latency_ms", "macs", "num_params"]] > 0).all().all()
    assert frame["on_front"].any()
    for key in frame["trial_key"]:
        run = finished / "runs" / key
        record = TrialRecord.model_validate_json((run / "trial.json").read_bytes())
        assert record.trial_key == key
        assert len(list((run / "predictions").glob("*.png"))) == 2
        stored = torch.load(run / "checkpoint.pt", weights_only=True)
        assert stored["arch"] == record.arch.to_dict()
    assert (finished / "trials.csv").read_text().count("\n") == 4
    assert not list(finished.rglob("*.partial"))


def test_the_record_and_the_storage_say_the_same(finished: Path) -> None:
    for row in load_study(finished).to_dict("records"):
        record = TrialRecord.model_validate_json((finished / "runs" / row["trial_key"] / "trial.json").read_bytes())
        assert record.result.miou == row["miou"]
        assert record.profile.latency is not None
        assert record.profile.latency.median_ms == row["latency_ms"]
        assert (record.profile.macs, record.profile.num_params) == (row["macs"], row["num_params"])


def test_called_again_it_does_nothing_and_with_a_larger_number_goes_on(crew: Crew, study: Path) -> None:
    config = study_config(references=["stdc1"], trials=3)
    notes = Notes()
    outcome = run_study(config, study, watcher=notes, crew=crew)
    assert (outcome.trained_before, outcome.trained, notes.trained) == (3, 3, [])
    outcome = run_study(config, study, trials=4, watcher=notes, crew=crew)
    assert (outcome.trained_before, outcome.trained, len(notes.trained)) == (3, 4, 1)
    assert load_study(study)["reference"].eq("stdc1").sum() == 1


def test_proposals_follow_from_the_seed_also_after_a_resume(crew: Crew, tmp_path: Path) -> None:
    config = study_config(trials=3)
    run_study(config, tmp_path / "once", crew=crew)
    for count in (1, 2, 3):
        run_study(config, tmp_path / "steps", trials=count, crew=crew)
    once, steps = load_study(tmp_path / "once"), load_study(tmp_path / "steps")
    assert once["arch_id"].tolist() == steps["arch_id"].tolist()
    assert once["miou"].tolist() == steps["miou"].tolist()


def test_what_was_trained_once_is_not_trained_again_nor_counted(crew: Crew, tmp_path: Path) -> None:
    vary = {
        "num_blocks": {"type": "choice", "values": [2, 3]},
        "base_width": {"type": "choice", "values": [4]},
        **DECODER,
    }
    config = study_config(space={"name": "two", "vary": vary}, trials=2)
    notes = Notes()
    run_study(config, tmp_path, watcher=notes, crew=crew)
    frame = load_study(tmp_path)
    trained = frame[frame["duplicate_of"].isna()]
    assert len(trained) == 2
    assert trained["arch_id"].nunique() == 2
    with pytest.raises(StudyError, match=r"2 of 3 trials trained, and nothing new is left: .* its 2 points were tried"):
        run_study(config, tmp_path, trials=3, crew=crew)
    repeated = load_study(tmp_path)
    repeated = repeated[repeated["duplicate_of"].notna()]
    assert len(repeated) >= 3
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_known_training_is_done_with_a_new_seed_where_the_study_says_so(crew: Crew, tmp_path: Path) -> None:
    vary = {"base_width": {"type": "choice", "values": [4]}, **DECODER}
    config = study_config(space={"name": "one", "vary": vary}, known_training="new_seed", trials=2, seed=5)
    run_study(config, tmp_path, crew=crew)
    run_study(config, tmp_path, trials=3, crew=crew)
    frame = load_study(tmp_path)
    assert frame["seed"].tolist() == [5, 6, 7]
    assert frame["duplicate_of"].isna().all()
    assert (frame["arch_id"].nunique(), frame["trial_key"].nunique(), frame["latency_ms"].nunique()) == (1, 3, 1)
    for key, seed in zip(frame["trial_key"], frame["seed"], strict=True):
        record = TrialRecord.model_validate_json((tmp_path / "runs" / key / "trial.json").read_bytes())
        assert record.seed == record.result.seed == seed


@pytest.mark.slow
def test_a_search_ends_when_the_front_no_longer_grows(crew: Crew, tmp_path: Path) -> None:
    vary = {"base_width": {"type": "choice", "values": [4]}, **DECODER}
    space = {"name": "one", "vary": vary}
    config = study_config(space=space, known_training="new_seed", trials=30, stale_trials=1)
    # One network, timed once: the front grows only by luck of the seed.
    outcome = run_study(config, tmp_path, crew=crew)
    assert outcome.trained < 30
    assert outcome.ended == "the last 1 trials have not made the front's hypervolume grow"
    scores = load_study(tmp_path)["miou"].tolist()
    assert all(later > before for before, later in itertools.pairwise(scores[:-1]))
    assert scores[-1] <= max(scores[:-1]) * 1.001
    assert run_study(config, tmp_path, crew=crew).trained == outcome.trained
    longer = study_config(space=space, known_training="new_seed", trials=30, stale_trials=2)
    assert run_study(longer, tmp_path, crew=crew).trained > outcome.trained


def test_one_architecture_is_timed_once(crew: Crew, tmp_path: Path) -> None:
    vary = {
        "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
        "base_width": {"type": "choice", "values": [4]},
        **DECODER,
    }
    run_study(study_config(space={"name": "heads", "vary": vary}, trials=2), tmp_path, crew=crew)
    frame = load_study(tmp_path)
    frame = frame[frame["duplicate_of"].isna()]
    assert frame["arch_id"].nunique() == 1
    assert frame["trial_key"].nunique() == 2
    assert frame["latency_ms"].nunique() == 1


def test_a_profile_is_not_used_again_where_its_ratio_is_to_another_network(crew: Crew, tmp_path: Path) -> None:
    decoder = {"context_width": 8, "fusion_width": 8, "head_width": 8}
    one, other = ({"base_width": width, "decoder": decoder} for width in (4, 6))
    asked = {"objectives": ["miou", "latency_ratio"]}
    run_study(study_config(**asked, networks={"one": one}, trials=1), tmp_path / "before", crew=crew)
    shutil.copytree(tmp_path / "before" / "profiles", tmp_path / "after" / "profiles")
    config = study_config(**asked, networks={"other": other, "one": one}, trials=2)
    run_study(config, tmp_path / "after", crew=crew)
    for key in load_study(tmp_path / "after")["trial_key"]:
        path = tmp_path / "after" / "runs" / key / "trial.json"
        latency = TrialRecord.model_validate_json(path.read_bytes()).profile.latency
        assert latency is not None and latency.reference == "other"


def test_a_reference_killed_before_it_was_drawn_is_not_requeued_as_a_random_network(crew: Crew, tmp_path: Path) -> None:
    vary = {"num_blocks": {"type": "int", "low": 2, "high": 6}}
    config = study_config(space={"name": "one", "vary": vary}, references=["stdc1"], trials=1)
    study = driver_module.open_study(config, tmp_path)
    enqueue_known(study, config)
    study.ask()  # and the process dies here, before anything is suggested
    run_study(config, tmp_path, crew=crew)
    row = load_study(tmp_path).query("state == 'COMPLETE'").iloc[0]
    assert (row["reference"], row["arch_id"]) == ("stdc1", presets["stdc1"].arch_id)


def test_a_key_knows_the_data_and_what_auto_is_here(finished: Path) -> None:
    config = study_config()
    dataset, cpu = load_dataset(config.data), torch.device("cpu")
    here = circumstances(dataset, cpu)
    assert here == Circumstances(dataset.contents, str(choose_dtype("auto", cpu)).removeprefix("torch."))
    for key in load_study(finished)["trial_key"]:
        record = TrialRecord.model_validate_json((finished / "runs" / key / "trial.json").read_bytes())
        assert key == trial_key(record.arch, record.train, config.data, record.seed, here)
        assert record.result.precision == here.auto_precision


def test_a_training_in_another_precision_is_not_taken_for_one_of_here(
    crew: Crew, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's trainings are there, its database is not: each would be found by its key."""
    here = Path(shutil.copytree(finished, tmp_path / "here"))
    there = Path(shutil.copytree(finished, tmp_path / "there"))
    config, trained = study_config(references=["stdc1"], trials=1), Notes()
    for folder in (here, there):
        (folder / "study.db").unlink()
    run_study(config, here, crew=crew, watcher=trained)
    assert trained.timed == []
    other = torch.bfloat16 if choose_dtype("auto", torch.device("cpu")) == torch.float32 else torch.float32
    monkeypatch.setattr(driver_module, "choose_dtype", lambda *_: other)
    run_study(config, there, crew=crew, watcher=trained)
    assert trained.timed == [0]


def test_retiming_replaces_the_latencies_and_keeps_the_first_ones(study: Path) -> None:
    before = load_study(study)
    shares: list[float] = []
    measured = retime_study(study, on_progress=shares.append)
    after = load_study(study)
    assert set(measured) == set(before["arch_id"])
    assert after["latency_ms"].tolist() == [measured[key].median_ms for key in after["arch_id"]]
    assert after["latency_ms_in_search"].tolist() == before["latency_ms"].tolist()
    assert after["miou"].tolist() == before["miou"].tolist()
    assert len({result.repeats for result in measured.values()}) == 1
    assert shares[-1] == 1
    stored = optuna.load_study(study_name="tiny", storage=f"sqlite:///{study / 'study.db'}").user_attrs
    assert stored["retimed"] == {key: json.loads(result.model_dump_json()) for key, result in measured.items()}
    assert set(measured) == set(before["arch_id"]) and after.attrs["retimed_at"] == stored["retimed_at"]
    rows = pd.read_csv(study / "trials.csv")
    assert rows["latency_ms"].tolist() == after["latency_ms"].tolist()


def test_retiming_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study.yaml in it; give a folder that `stdc-lab search` wrote"):
        retime_study(tmp_path)
    assert os.listdir(tmp_path) == []
