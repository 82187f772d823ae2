"""A study whose driver and workers are killed again and again ends as if nobody had touched it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pandas as pd
import pytest

from stdc_lab.analysis.frame import load_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import TrialRecord
from stdc_lab.search import run_study
from tests.search.test_driver import study_config
from tests.search.test_workers import children_of, without_times

KILLS = 20
TRIALS = 14
ROOT = Path(__file__).parents[2]
SEARCH = """
import faulthandler, signal, sys
faulthandler.register(signal.SIGUSR1)
from pathlib import Path
from stdc_lab.config.study import StudyConfig
from stdc_lab.search import run_study
config = StudyConfig.model_validate_json(Path(sys.argv[1]).read_text())
run_study(config, sys.argv[2], jobs=int(sys.argv[3]))
"""


def config_of_the_test() -> StudyConfig:
    train = {"iterations": 60, "batch_size": 2, "warmup_iterations": 1, "evaluations": 3}
    return study_config(trials=TRIALS, references=["stdc1"], train=train)


class Search:
    """The search in a process of its own."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self.config = folder.with_name(f"{folder.name}.json")
        self.config.write_text(config_of_the_test().model_dump_json())
        self.errors = folder.with_name(f"{folder.name}.err")
        self.folder, self.jobs = folder, jobs
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.kill()
        self.driver.wait()

    def start(self) -> None:
        command = [sys.executable, "-c", SEARCH, str(self.config), str(self.folder), str(self.jobs)]
        with self.errors.open("a") as errors:
            self.driver = subprocess.Popen(command, cwd=ROOT, stderr=errors)

    def workers(self) -> list[int]:
        return children_of(self.driver.pid)

    def stacks(self) -> str:
        """Where the driver and its workers are; the workers end of it."""
        for worker in self.workers():
            os.kill(worker, signal.SIGABRT)
        os.kill(self.driver.pid, signal.SIGUSR1)
        time.sleep(1)
        files = (self.errors, *self.folder.glob("runs/*/worker.log"))
        return "\n".join(f"{path}\n{path.read_text()}" for path in files)

    def progress(self) -> tuple[int, int]:
        """How many trials there are, and how many bytes their curves: something that grows while it works."""
        size = sum(path.stat().st_size for path in self.folder.glob("runs/*/*.csv"))
        return finished(self.folder), size


def finished(folder: Path) -> int:
    if not (folder / "study.db").exists():
        return 0
    with sqlite3.connect(f"file:{folder / 'study.db'}?mode=ro", uri=True, timeout=60) as storage:
        try:
            return int(storage.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0])
        except sqlite3.OperationalError:  # no table yet
            return 0


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until_it_works(search: Search, limit_s: float = 300) -> None:
    """A kill while the interpreter still imports tells nothing: wait until something new has been written."""
    before, until = search.progress(), time.monotonic() + limit_s
    while search.progress() == before and search.driver.poll() is None:
        assert time.monotonic() < until, search.stacks()
        time.sleep(0.02)


def pause(search: Search, seconds: float) -> None:
    """Wait, but for no more than one trial's end: the study outlives more kills on a quick machine too."""
    before, until = finished(search.folder), time.monotonic() + seconds
    while time.monotonic() < until and finished(search.folder) <= before:
        time.sleep(0.02)


def check_records(folder: Path, frame: pd.DataFrame) -> None:
    assert set(frame["state"]) == {"COMPLETE"}
    assert frame["number"].tolist() == list(range(TRIALS))
    assert frame["trial_key"].is_unique
    assert frame["duplicate_of"].isna().all()
    for number, key in zip(frame["number"], frame["trial_key"], strict=True):
        record = TrialRecord.model_validate_json((folder / "runs" / key / "trial.json").read_bytes())
        assert record.number == number
        iterations = [point.iteration for point in record.result.curve]
        assert iterations == sorted(set(iterations)) and iterations[-1] == 60
        rows = (folder / "runs" / key / "curve.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, 61))
    assert not list(folder.rglob("state.pt"))
    assert {path.name for path in (folder / "runs").iterdir()} == set(frame["trial_key"])


def killed_again_and_again(search: Search, kills: int, draw: random.Random) -> list[str]:
    """Kill the driver or a worker at random moments; gives what was killed when."""
    log: list[str] = []
    kept: dict[str, str] = {}
    while len(log) < kills:
        wait_until_it_works(search)
        pause(search, draw.uniform(0, 2))
        workers = search.workers()
        if search.driver.poll() is not None:
            break
        victim = draw.choice(["driver", "worker"]) if workers else "driver"
        kill(search.driver.pid if victim == "driver" else draw.choice(workers))
        log.append(f"{victim} with {finished(search.folder)} finished")
        if victim == "driver":
            search.driver.wait()
            search.start()
            # What was finished stays, to the last bit.
            for path in search.folder.glob("runs/*/trial.json"):
                assert kept.setdefault(path.parent.name, path.read_text()) == path.read_text()
    return log


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_random_moments_a_study_ends_complete_and_unique(tmp_path: Path, jobs: int) -> None:
    with Search(tmp_path / "killed", jobs) as search:
        log = killed_again_and_again(search, KILLS // 2, random.Random(jobs))  # half of them with either number
        search.driver.wait(timeout=600)
        said = search.errors.read_text()
        assert search.driver.returncode == 0, said
    # A quick machine is through with the study before it was killed so often, and as complete.
    assert len(log) >= KILLS // 4, f"the study was over after {log}\n{said}"
    frame = load_study(search.folder)
    check_records(search.folder, frame)
    if jobs == 1:
        run_study(config_of_the_test(), tmp_path / "undisturbed")
        pd.testing.assert_frame_equal(without_times(load_study(tmp_path / "undisturbed")), without_times(frame))
    again = run_study(config_of_the_test(), search.folder)
    assert (again.trained_before, again.trained) == (TRIALS, TRIALS)
