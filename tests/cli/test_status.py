import fcntl
import io
import json
import threading
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from stdc_lab.analysis.frame import load_study
from stdc_lab.cli.status import is_at_work, print_status, sparkline
from stdc_lab.cli.watching import ConsoleWatcher
from stdc_lab.errors import StudyError
from stdc_lab.records import ProfileResult
from stdc_lab.search import Crew, run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.folder import driver_lock
from stdc_lab.storage import open_study
from tests.cli import in_process
from tests.search.test_driver import study_config
from tests.study_folder import add_complete, add_unfinished, some_params
from tests.study_folder import open_study as made_up_study
from tests.study_folder import study_config as made_up_config


def said(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_status(folder, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_sparkline_goes_from_the_lowest_to_the_highest_and_no_wider_than_asked() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3.0, float("nan"), 1.0, float("inf")]) == "█▁"
    assert sparkline([2, 2]) == "▁▁"
    assert sparkline([]) == ""
    line = sparkline(range(1000), 10)
    assert len(line) == 10 and line[0] == "▁" and line[-1] == "█"


class Looks(ConsoleWatcher):
    """Looks at the study's status, as from another terminal, while a trial is under way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Console(file=io.StringIO(), force_terminal=True, width=150))
        self.study, self.seen = folder, ""

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        super().trial_timed(candidate, cost)
        if candidate.number == 1:
            self.seen = said(self.study)


def test_the_status_of_a_study_before_during_and_after(crew: Crew, tmp_path: Path) -> None:
    config = study_config(references=["stdc1"], trials=2)
    watcher = Looks(tmp_path)
    with watcher:
        run_study(config, tmp_path, crew=crew, watcher=watcher)
    assert "1 of 2 trials trained (1 running); a search is at work on 1" in watcher.seen
    assert "trial   1  " in watcher.seen
    assert "left: 1 trainings, 1 at a time" in watcher.seen
    assert "stdc1" in watcher.seen
    after = said(tmp_path)
    assert "2 of 2 trials trained; no search is at work on it" in after
    assert "left" not in after
    assert isinstance(watcher.console.file, io.StringIO)
    drawn = watcher.console.file.getvalue()
    assert "GMACs" in drawn and "trial 1" in drawn  # the front and the trial under way
    told = tmp_path / "status.json"
    shown = in_process.stdc_lab("study", "status", tmp_path, "--json", told)
    assert shown.returncode == 0 and "2 of 2 trials trained" in " ".join(shown.stdout.split())
    assert json.loads(told.read_text())["states"] == {"COMPLETE": 2}


def test_what_another_timing_has_to_decide_is_said(tmp_path: Path) -> None:
    config = made_up_config(constraints=["latency_ms <= 20"])
    open_ends = {"latency_ms_low": 19.0, "latency_ms_high": 21.0}
    with made_up_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=19.8, params=some_params(1), **open_ends)
        add_complete(study, tmp_path, config, miou=0.4, latency_ms=12.0, params=some_params(2))
    assert "screened out" not in said(tmp_path)
    with made_up_study(tmp_path, config) as study:
        add_unfinished(
            study, config, TrialState.PRUNED, screened=True, latency_ms=45.0, latency_spread=0.4, params=some_params(3)
        )
    after = said(tmp_path)
    assert " 19.8? " in after
    assert " 12.0 " in after
    assert "? 1 trained: another timing has to say whether a bound on latency is met: study retime" in after
    assert "1 screened out on a noisy timing: study retime times them, and queues what may do" in after


def test_the_status_as_json_holds_what_is_printed_and_null_for_what_was_not_measured(tmp_path: Path) -> None:
    config = made_up_config(objectives=["miou", "macs"], constraints=["latency_ms <= 20"], trials=9)
    with made_up_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=19.0, reference="stdc1")
        add_complete(study, tmp_path, config, miou=0.25, latency_ms=12.0, params=some_params(2))
        add_unfinished(study, config, TrialState.FAIL, reason="diverged")
    done = in_process.stdc_lab("study", "status", tmp_path, "--json", "-")
    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert (status["trained"], status["wanted"], status["at_work"]) == (2, 9, False)
    assert status["states"] == {"COMPLETE": 2, "FAIL": 1}
    assert status["running"] == [] and status["arms"] == []
    assert status["seconds_left"] == pytest.approx(7 * load_study(tmp_path)["train_seconds"].median())
    fast, known = status["networks"]
    assert (fast["reference"], fast["miou"], fast["latency_ms"], fast["network_seeds"]) == (None, 0.25, 12.0, 1)
    assert fast["network_low"] is None and fast["confirmed_miou"] is None
    assert known["reference"] == "stdc1" and known["macs"] == load_study(tmp_path)["macs"][0]


def test_the_status_of_a_plan_as_json_has_its_arms(tmp_path: Path) -> None:
    config = made_up_config(plan={"arms": {"a": {}, "b": {"heads.detail_strides": []}}, "seeds": [0, 1]})
    with made_up_study(tmp_path, config) as study:
        for seed, miou in enumerate((0.5, 0.25)):
            add_complete(study, tmp_path, config, miou=miou, latency_ms=19.0, arm="a", seed=seed)
    status = json.loads(in_process.stdc_lab("study", "status", tmp_path, "--json", "-").stdout)
    arms = {arm["arm"]: arm for arm in status["arms"]}
    assert (arms["a"]["miou"], arms["a"]["seeds"], arms["a"]["control"]) == (0.375, 2, True)
    assert (arms["b"]["miou"], arms["b"]["seeds"], arms["b"]["miou_difference"]) == (None, 0, None)


def test_a_study_that_was_killed_is_not_at_work_and_the_status_changes_nothing(tmp_path: Path) -> None:
    config = study_config(trials=1)
    with driver_lock(tmp_path):
        study = open_study(config, tmp_path)
        study.ask()
    space = "{name: s, vary: {num_blocks: {type: int, low: 2, high: 3}}}"
    (tmp_path / "study.yaml").write_text(f"name: tiny\nspace: {space}\n")
    before = (tmp_path / "study.db").read_bytes()
    assert "0 of 20 trials trained (1 running); no search is at work on it" in said(tmp_path)
    assert (tmp_path / "study.db").read_bytes() == before


def test_whoever_looks_keeps_no_driver_from_starting_and_takes_no_other_for_one(tmp_path: Path) -> None:
    with driver_lock(tmp_path):
        assert is_at_work(tmp_path)
    assert not is_at_work(tmp_path)
    looking = (tmp_path / ".driver.lock").open("rb")
    fcntl.flock(looking, fcntl.LOCK_SH)  # as is_at_work does, and for longer than it
    assert not is_at_work(tmp_path)
    ends = threading.Timer(0.2, looking.close)
    ends.start()
    with driver_lock(tmp_path):
        assert is_at_work(tmp_path)
    ends.join()


def test_the_status_of_what_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study.yaml in it; give a folder that `stdc-lab search` wrote"):
        print_status(tmp_path)
    done = in_process.stdc_lab("study", "status", tmp_path)
    assert done.returncode == 2
    assert "no study.yaml in it; give a folder that `stdc-lab search` wrote" in done.stderr
