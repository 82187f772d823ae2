"""What becomes of a trial whose worker, driver or user has enough of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stdc_lab.analysis.frame import load_study
from stdc_lab.errors import StudyError
from stdc_lab.records import ProfileResult
from stdc_lab.search import Crew, run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.loop import MAX_LOST_WORKERS
from stdc_lab.training import Progress
from tests.search.test_driver import DECODER, Notes, study_config

LONGER = {"iterations": 40, "batch_size": 2, "warmup_iterations": 1, "evaluations": 4}


class Sends(Notes):
    """Sends a signal to a process, once at each of some points: (trial, iteration at least), iteration 0 being when
    the trial has been timed."""

    def __init__(self, number: int, at: list[tuple[int, int]], crew: Crew | None = None) -> None:
        super().__init__()
        self.number, self.at, self.crew = number, list(at), crew
        self.first_iterations: dict[int, list[int]] = {}
        self.stops: list[int] = []

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        super().trial_timed(candidate, cost)
        self._at(candidate.number, 0)

    def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
        starts = self.first_iterations.setdefault(candidate.number, [])
        if progress.first_iteration not in starts:
            starts.append(progress.first_iteration)
        self._at(candidate.number, progress.iteration)

    def stopping(self, running: int) -> None:
        self.stops.append(running)

    def _at(self, trial: int, iteration: int) -> None:
        if self.at and self.at[0][0] == trial and iteration >= self.at[0][1]:
            del self.at[0]
            process = None if self.crew is None else self.crew.workers[0].process
            os.kill(os.getpid() if process is None else process.pid, self.number)


def states(folder: Path) -> list[str]:
    return [str(state) for state in load_study(folder)["state"]]


def without_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["number", "state", "arch_id", "trial_key", "seed", "miou", "macs", "num_params"]]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_training_goes_on_exactly(crew: Crew, tmp_path: Path) -> None:
    config = study_config(train=LONGER, trials=2)
    run_study(config, tmp_path / "undisturbed", crew=crew)
    notes = Sends(signal.SIGKILL, [(0, 12), (1, 0)], crew)
    run_study(config, tmp_path / "killed", crew=crew, watcher=notes)
    assert [reason.split(";")[0] for reason in notes.again] == [
        "the worker was ended by SIGKILL (by hand, or by a system out of memory)"
    ] * 2
    assert notes.failed == []
    assert notes.first_iterations[0][0] == 0
    assert notes.first_iterations[0][1] >= 8  # of the states that were written before the kill
    pd.testing.assert_frame_equal(
        without_times(load_study(tmp_path / "undisturbed")), without_times(load_study(tmp_path / "killed"))
    )
    for key in load_study(tmp_path / "killed")["trial_key"]:
        curves = [(tmp_path / name / "runs" / key / "curve.csv").read_text() for name in ("undisturbed", "killed")]
        assert curves[0] == curves[1]
        assert not (tmp_path / "killed" / "runs" / key / "state.pt").exists()


@pytest.mark.slow
def test_a_trial_whose_workers_are_killed_before_they_get_anywhere_fails(tmp_path: Path) -> None:
    killed: list[int] = []
    with Crew() as crew:

        def kill() -> None:
            while len(killed) < MAX_LOST_WORKERS:
                process = crew.workers[0].process
                if process is not None and process.pid not in killed:
                    killed.append(process.pid)
                    process.kill()
                time.sleep(0.01)

        notes = Notes()
        killer = threading.Thread(target=kill)
        killer.start()
        run_study(study_config(trials=1), tmp_path, crew=crew, watcher=notes)
        killer.join()
    frame = load_study(tmp_path)
    assert frame["state"].tolist() == ["FAIL", "COMPLETE"]
    assert frame["reason"].tolist()[0].startswith("the worker was ended by SIGKILL")
    assert len(notes.again) == MAX_LOST_WORKERS - 1


@pytest.mark.slow
def test_a_trial_that_gets_further_outlives_any_number_of_workers(crew: Crew, tmp_path: Path) -> None:
    notes = Sends(signal.SIGKILL, [(0, 1), (0, 10), (0, 20)], crew)
    run_study(study_config(train=LONGER, trials=1), tmp_path, crew=crew, watcher=notes)
    assert states(tmp_path) == ["COMPLETE"]
    assert len(notes.again) == 3


def test_a_crash_is_a_failed_trial_with_its_signal_and_the_study_goes_on(crew: Crew, tmp_path: Path) -> None:
    notes = Sends(signal.SIGSEGV, [(0, 1)], crew)
    run_study(study_config(train=LONGER, trials=1), tmp_path, crew=crew, watcher=notes)
    frame = load_study(tmp_path)
    assert frame["state"].tolist() == ["FAIL", "COMPLETE"]
    assert (
        frame["reason"]
        .tolist()[0]
        .startswith("the worker was ended by SIGSEGV; its last message: Fatal Python error: Segmentation fault")
    )
    assert "Current thread" in (tmp_path / "runs" / frame["trial_key"][0] / "worker.log").read_text()


@pytest.mark.slow
def test_trials_that_fail_in_a_row_end_the_study_and_references_among_them_come_back(
    crew: Crew, tmp_path: Path
) -> None:
    config = study_config(references=["stdc1"], trials=3)
    notes = Sends(signal.SIGABRT, [(0, 0), (1, 0), (2, 0)], crew)
    with pytest.raises(StudyError, match="3 trials failed in a row, the last one: the worker was ended by SIGABRT"):
        run_study(config, tmp_path, crew=crew, watcher=notes)
    assert states(tmp_path) == ["FAIL"] * 3
    run_study(config, tmp_path, crew=crew)
    done = load_study(tmp_path).query("state == 'COMPLETE'")
    assert done["reference"].eq("stdc1").sum() == 1
    assert len(done) == 3


@pytest.mark.slow
def test_a_training_that_diverges_is_a_failed_trial_and_its_worker_stays(crew: Crew, tmp_path: Path) -> None:
    wild = {**LONGER, "iterations": 100, "learning_rate": 10.0, "weight_decay": 1.0}
    notes = Notes()
    run_study(study_config(trials=1, train=LONGER), tmp_path / "warm", crew=crew)
    process = crew.workers[0].process
    with pytest.raises(StudyError, match=r"3 trials failed in a row, the last one: the (loss|weights)"):
        run_study(study_config(train=wild, trials=1), tmp_path / "wild", crew=crew, watcher=notes)
    assert states(tmp_path / "wild") == ["FAIL"] * 3
    assert all("try a lower train.learning_rate" in reason for reason in notes.failed)
    assert crew.workers[0].process is process


def test_ctrl_c_finishes_the_trial_under_way_and_the_same_call_goes_on(crew: Crew, tmp_path: Path) -> None:
    config = study_config(train=LONGER, trials=2)
    notes = Sends(signal.SIGINT, [(0, 1)])
    with pytest.raises(KeyboardInterrupt):
        run_study(config, tmp_path, crew=crew, watcher=notes)
    assert notes.stops == [1]
    assert states(tmp_path) == ["COMPLETE"]
    assert (tmp_path / "trials.csv").read_text().count("COMPLETE") == 1
    assert run_study(config, tmp_path, crew=crew).trained == 2


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_stopped_at_once_a_trial_is_given_back_with_its_state(crew: Crew, tmp_path: Path, number: int) -> None:
    config = study_config(train=LONGER, trials=1)
    times = [(0, 7), (0, 9)] if number == signal.SIGINT else [(0, 7)]
    with pytest.raises(KeyboardInterrupt):
        run_study(config, tmp_path, crew=crew, watcher=Sends(number, times))
    before = load_study(tmp_path)
    assert before["state"].tolist() == ["WAITING"]
    notes = Sends(number, [])
    run_study(config, tmp_path, crew=crew, watcher=notes)
    assert notes.first_iterations[0][0] >= 7
    after = load_study(tmp_path)
    assert after["state"].tolist() == ["COMPLETE"]
    assert after["arch_id"].tolist() == before["arch_id"].tolist()


@pytest.mark.slow
def test_a_search_ends_in_time_and_gives_back_what_is_under_way(crew: Crew, tmp_path: Path) -> None:
    config = study_config(train={**LONGER, "iterations": 4000}, trials=1)
    run_study(study_config(trials=1), tmp_path / "warm", crew=crew)
    outcome = run_study(config, tmp_path / "out", crew=crew, max_hours=2 / 3600)
    assert (outcome.trained, outcome.ended) == (0, "the time is over")
    assert states(tmp_path / "out") == ["WAITING"]
    with pytest.raises(StudyError, match="--max-hours: got 0; allowed: a number above 0"):
        run_study(config, tmp_path / "out", crew=crew, max_hours=0)


SEARCH = """
import os, signal, sys
from pathlib import Path
from tests.search.test_driver import Notes, study_config
from stdc_lab.search import run_study
class Killer(Notes):
    def __init__(self): super().__init__(); print(os.getpid(), flush=True)
    def trial_progress(self, candidate, progress):
        if candidate.number == 1 and progress.iteration > 12:
            os.kill(os.getpid(), signal.SIGKILL)
train = {"iterations": 40, "batch_size": 2, "warmup_iterations": 1, "evaluations": 4}
run_study(study_config(references=["stdc1"], trials=3, train=train), Path(sys.argv[1]), watcher=Killer())
"""


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in f" {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]}"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_killed_driver_takes_its_worker_along_and_the_same_call_goes_on(crew: Crew, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SEARCH, str(tmp_path)]
    workers: set[int] = set()
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as driver:
        while driver.poll() is None:
            workers |= set(children_of(driver.pid))
            time.sleep(0.05)
    assert driver.returncode == -signal.SIGKILL
    assert len(workers) == 1
    until = time.monotonic() + 5
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
    before = load_study(tmp_path)
    assert before["state"].tolist() == ["COMPLETE", "RUNNING"]
    notes = Sends(signal.SIGKILL, [])
    config = study_config(references=["stdc1"], trials=3, train=LONGER)
    run_study(config, tmp_path, crew=crew, watcher=notes)
    after = load_study(tmp_path)
    assert after["state"].tolist() == ["COMPLETE"] * 3
    assert after["arch_id"].tolist()[:2] == before["arch_id"].tolist()
    assert after["trial_key"].is_unique
    assert notes.first_iterations[1][0] >= 12
    assert notes.trained == [1, 2]


def test_what_was_trained_but_not_told_is_told_and_not_trained_again(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    config = study_config(trials=1)
    with monkeypatch.context() as patch:  # as by SIGKILL once the record is there: nothing more reaches the storage
        patch.setattr("stdc_lab.search.loop.tell", killed)
        with pytest.raises(Killed):
            run_study(config, tmp_path, crew=crew)
    before = load_study(tmp_path)
    assert before["state"].tolist() == ["RUNNING"]
    [run] = (tmp_path / "runs").iterdir()
    (run / "state.pt").write_bytes(b"what a killed worker had not yet removed")
    record = (run / "trial.json").read_bytes()
    notes = Notes()
    outcome = run_study(config, tmp_path, crew=crew, watcher=notes)
    assert (outcome.trained_before, outcome.trained) == (0, 1)
    frame = load_study(tmp_path)
    assert (frame["state"].tolist(), notes.timed, notes.trained) == (["COMPLETE"], [], [0])
    assert frame["trial_key"].tolist() == before["trial_key"].tolist() == [run.name]
    assert frame["duplicate_of"].isna().all()
    assert [run] == list((tmp_path / "runs").iterdir())
    assert (run / "trial.json").read_bytes() == record
    assert not (run / "state.pt").exists()


@pytest.fixture(scope="module")
def pair(own_lock_and_cache: object) -> Iterator[Crew]:
    with Crew(2) as pair:
        yield pair


@pytest.mark.slow
def test_two_jobs_train_what_one_would_and_never_one_too_many(pair: Crew, crew: Crew, tmp_path: Path) -> None:
    config = study_config(trials=4, references=["stdc1"], train=LONGER)
    most: list[int] = []

    class Counts(Notes):
        def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
            most.append(sum(worker.process is not None for worker in pair.workers))

    run_study(config, tmp_path / "two", crew=pair, watcher=Counts())
    assert max(most) == 2
    run_study(config, tmp_path / "one", crew=crew)
    frame = load_study(tmp_path / "two")
    pd.testing.assert_frame_equal(without_times(load_study(tmp_path / "one")), without_times(frame))
    assert (frame["state"] == "COMPLETE").sum() == len(frame) == 4
    assert frame["trial_key"].is_unique
    with pytest.raises(StudyError, match="--jobs: got 0; allowed: a whole number from 1"):
        run_study(config, tmp_path / "two", jobs=0)


def test_the_same_proposal_while_its_twin_is_under_way_waits_for_it(pair: Crew, tmp_path: Path) -> None:
    vary: dict[str, Any] = {
        "base_width": {"type": "choice", "values": [4]},
        "num_blocks": {"type": "int", "low": 2, "high": 3},
        **DECODER,
    }
    space = {"name": "one", "vary": vary}
    config = study_config(space=space, trials=2)
    run_study(config, tmp_path, crew=pair)
    frame = load_study(tmp_path)
    assert set(frame["state"]) == {"COMPLETE"}
    trained = frame[frame["duplicate_of"].isna()]
    assert len(trained) == 2 and trained["trial_key"].is_unique
