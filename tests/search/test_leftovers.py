"""What trials leave behind: those that failed why they did, those that were finished what others are judged by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from stdc_lab.data import CLASS_NAMES
from stdc_lab.hardware.environment import environment
from stdc_lab.records import Environment
from stdc_lab.search import Watcher
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.crew import Crew, Worker
from stdc_lab.search.folder import keep_config
from stdc_lab.search.loop import Running, Search
from stdc_lab.search.messages import Failed, Lost, Stepped
from stdc_lab.search.objective import keep_reasons
from stdc_lab.storage import open_study
from stdc_lab.training import Progress
from tests.search.test_driver import study_config
from tests.study_folder import make_record

STATES = ("state.pt", "last.pt", "best.pt", "training.yaml", "account.txt", "result.json", ".training.lock")
REASONS = {"worker.log", "curve.csv"}


class Stands:
    """A crew that gives nothing to anybody, and a watcher."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        one_point = {"base_width": {"type": "choice", "values": [4]}}
        space = {"name": "one", "vary": one_point}
        pruning = {"margin": 2.0, "finished": 3}
        config = study_config(space=space, pruning=pruning, **changes)
        self.worker = Worker("cpu")
        self.given: list[Candidate] = []
        crew = SimpleNamespace(workers=[self.worker], give=lambda worker, task: self.given.append(task.candidate))
        machines: dict[str, Environment] = {"cpu": environment(torch.device("cpu"), 1)}
        folder.mkdir(exist_ok=True)
        study = open_study(config, folder)
        keep_config(config, folder)
        self.search = Search(
            study, config, folder, 1, None, len(CLASS_NAMES), False, machines, cast(Crew, crew), Watcher()
        )

    def propose(self) -> None:
        self.search._propose(self.worker)


def test_a_record_that_is_found_judges_others_as_one_that_was_trained_here(tmp_path: Path) -> None:
    drawn = Stands(tmp_path / "drawn")
    drawn.propose()
    [candidate] = drawn.given
    found = Stands(tmp_path / "found")
    config = found.search.config
    record = make_record(0, candidate.spec, config, 0.5, 20.0, train=candidate.train)
    key = candidate.key(config)
    run = tmp_path / "found" / "runs" / key
    run.mkdir(parents=True)
    assert record.profile.latency is not None
    latency = record.profile.latency.replace(input_shape=config.latency.input_shape)
    cost = record.profile.replace(latency=latency, environment=found.search.machines["cpu"])
    (run / "trial.json").write_text(record.replace(trial_key=key, profile=cost).model_dump_json())
    assert found.search.pruner.finished == []
    found.propose()
    assert found.given == [] and found.search.ledger.trained == 1
    assert [course.number for course in found.search.pruner.finished] == [0]
    found.propose()  # proposed once more, it is told as a repetition, and judges no more than before
    assert found.search.ledger.repeats == 1
    assert [course.number for course in found.search.pruner.finished] == [0]


@pytest.mark.parametrize(
    "end",
    [Failed("the loss became nan", out_of_memory=False, ends=False), Lost("ended by SIGSEGV", killed=False)],
    ids=["diverged", "crashed"],
)
def test_a_failed_trial_keeps_why_it_failed_and_no_states(end: Failed | Lost, tmp_path: Path) -> None:
    stands = Stands(tmp_path)
    stands.propose()
    running: Running = stands.search.running[stands.worker]
    run = tmp_path / "runs" / running.key
    (run / "predictions").mkdir(parents=True)
    for name in (*STATES, *REASONS, "checkpoint.pt", "state.pt.partial", "events.out.tfevents.1", "predictions/0.png"):
        (run / name).write_text(name)
    stands.search._hear(running, end)
    assert {path.name for path in run.iterdir()} == REASONS
    assert stands.search.study.trials[0].user_attrs["reason"] == end.reason


def test_a_training_that_was_finished_before_its_worker_failed_is_kept(tmp_path: Path) -> None:
    for name in ("trial.json", "checkpoint.pt", "worker.log"):
        (tmp_path / name).write_text(name)
    keep_reasons(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    keep_reasons(tmp_path / "never_begun")


def test_a_trial_that_goes_on_in_another_worker_is_watched_anew(tmp_path: Path) -> None:
    stands = Stands(tmp_path)
    stands.propose()
    running = stands.search.running[stands.worker]
    progress = Progress(3, 100, 1.0, 0.1, 3.0, None)
    assert running.watchdog.look(0.0, Stepped(progress)) is None
    before = running.watchdog
    stands.search._hear(running, Lost("the worker hung and was ended", killed=True))
    assert len(stands.given) == 2 and stands.search.running[stands.worker] is running
    assert running.watchdog is not before and running.watchdog.step_s == 0
