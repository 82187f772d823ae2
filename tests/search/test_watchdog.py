"""A worker that hangs is told from one that is at work, or waits, by what it says; and its trial goes on."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stdc_lab.analysis.frame import load_study
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import CLASS_NAMES
from stdc_lab.nn import build_model
from stdc_lab.search import Crew, run_study, watchdog
from stdc_lab.search.candidate import Candidate, Judge
from stdc_lab.search.crew import STACKS_SIGNAL, Worker
from stdc_lab.search.messages import FromWorker, Lost, Profiled, Scored, Stepped, Waiting, Working
from stdc_lab.search.scoring import training
from stdc_lab.search.watchdog import Watchdog
from stdc_lab.search.worker import _asking
from stdc_lab.training import Progress
from tests.search.test_driver import Notes, study_config
from tests.training.run.tiny import SPEC, halves

CPU = torch.device("cpu")


def step(iteration: int, seconds: float, first: int = 0, score: float | None = None) -> Stepped:
    return Stepped(Progress(iteration, 100, 1.0, 0.1, seconds, score, first))


class Clock:
    """A watchdog that is looked at twice a second of a made-up clock."""

    def __init__(self) -> None:
        self.now, self.dog = 1000.0, Watchdog()

    def says(self, message: FromWorker) -> None:
        self.now += 0.5
        assert self.dog.look(self.now, message) is None

    def silent(self, seconds: float) -> float | None:
        """After how many seconds it is taken to hang; None if it is not."""
        for number in range(1, int(2 * seconds) + 1):
            self.now += 0.5
            if self.dog.look(self.now, None) is not None:
                return number / 2
        return None


def test_before_the_first_step_silence_says_nothing() -> None:
    clock = Clock()
    assert clock.silent(5000) is None  # the data are read
    clock.says(Profiled(None))  # type: ignore[arg-type]
    clock.says(Working())
    assert clock.silent(5000) is None  # the first step is compiled


def test_after_a_step_it_hangs_when_nothing_is_heard_for_a_minute() -> None:
    clock = Clock()
    clock.says(step(1, 40.0))
    for number in range(2, 8):
        assert clock.silent(59) is None
        clock.says(step(number, 38.0 + number))
    assert clock.silent(100) == 60
    reason = clock.dog.look(clock.now, None)
    assert reason == "nothing was heard of it for 60 s after iteration 7 (a step takes 1 s)"


def test_or_for_ten_median_steps_where_that_is_longer() -> None:
    clock = Clock()
    clock.says(step(21, 50.0, first=20))  # 50 s, of which some were for compiling
    assert clock.silent(499) is None
    clock.says(step(22, 70.0, first=20))
    assert clock.dog.limit_s == 200
    assert clock.silent(199) is None
    for number, seconds in ((24, 110.0), (25, 1110.0), (26, 1130.0)):  # an evaluation in between
        clock.says(step(number, seconds, first=20))
    assert clock.silent(1000) == 200


def test_an_evaluation_is_heard_of_and_a_lock_is_waited_for() -> None:
    clock = Clock()
    clock.says(step(1, 1.0))
    for _ in range(20):
        assert clock.silent(50) is None
        clock.says(Working())
    clock.says(Waiting())
    assert clock.silent(5000) is None
    clock.says(Working())
    assert clock.silent(100) == 60


def test_while_the_driver_itself_was_kept_busy_no_worker_was_silent() -> None:
    clock = Clock()
    clock.says(step(1, 1.0))
    for _ in range(30):
        clock.now += 100
        assert clock.dog.look(clock.now, None) is None
    clock.now += 0.5
    clock.says(step(2, 2.0))
    assert clock.silent(100) == 60


def test_a_worker_says_when_it_waits_and_when_it_is_at_work_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    now = [1000.0]
    monkeypatch.setattr("stdc_lab.search.worker.time", SimpleNamespace(monotonic=lambda: now[0]))
    judge = _asking(SimpleNamespace(send=said.append, recv=lambda: "enough"))  # type: ignore[arg-type]
    for number in range(10):
        now[0] += 0.11
        judge.progress(step(number + 1, 0.0).progress)
    assert [message.progress.iteration for message in said] == [1, 3, 5, 7, 9]
    said.clear()
    for _ in range(10):
        now[0] += 0.11
        judge.works()
    assert said == [Working()] * 5
    judge.waits()
    judge.works()
    judge.works()
    assert said[5:] == [Waiting(), Working()]
    scored = step(11, 0.0, score=0.5).progress
    judge.progress(scored)
    assert judge.score(scored) == "enough"
    assert said[7:] == [Stepped(scored), Scored(scored)]


def test_boundaries_are_scored_under_the_lock_and_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stdc_lab.training.evaluate.BATCH_SIZE", 1)
    heard: list[str] = []
    judge = Judge(works=lambda: heard.append("works"), waits=lambda: heard.append("waits"))
    network = build_model(SPEC, len(CLASS_NAMES))
    training._boundary_f(network, halves(), TrainConfig(precision="float32"), CPU, judge)
    assert heard == ["waits", "works", *["works"] * 3]


class Hangs(Notes):
    """Lets the worker hang, once: its process is stopped. It goes on just to say where it was, when it is ended."""

    def __init__(self, folder: Path, crew: Crew, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.folder, self.crew, self.patch, self.starts, self.log = folder, crew, patch, [-1], ""
        self.stopped: int | None = None
        kill = crew.kill

        def kill_what_was_stopped(worker: Worker, reason: str) -> Lost:
            assert worker.process is not None and worker.process.pid == self.stopped
            worker.process.send_signal(STACKS_SIGNAL)
            worker.process.send_signal(signal.SIGCONT)
            return kill(worker, reason)

        patch.setattr(crew, "kill", kill_what_was_stopped)

    def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
        if self.starts[-1] != progress.first_iteration:
            self.starts.append(progress.first_iteration)
        if progress.iteration >= 12 and self.stopped is None:
            [worker] = [worker for worker in self.crew.workers if worker.process is not None]
            assert worker.process is not None
            self.stopped = worker.process.pid
            worker.process.send_signal(signal.SIGSTOP)
            self.patch.setattr(watchdog, "HANG_S", 3.0)

    def trial_again(self, candidate: Candidate, reason: str) -> None:
        super().trial_again(candidate, reason)
        self.patch.undo()  # however slow the machine is just now
        [log] = self.folder.glob("runs/*/worker.log")
        self.log = log.read_text()


def test_a_worker_that_hangs_is_replaced_and_its_trial_goes_on_from_its_state(
    crew: Crew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"iterations": 40, "batch_size": 2, "warmup_iterations": 1, "evaluations": 4}
    notes = Hangs(tmp_path, crew, monkeypatch)
    run_study(study_config(train=train, trials=1), tmp_path, crew=crew, watcher=notes)
    [reason] = notes.again
    assert reason.startswith("the worker hung and was ended: nothing was heard of it for ")
    assert "most recent call first" in notes.log and "worker.py" in notes.log, "its log says where"
    assert notes.starts[1] == 0 and notes.starts[2] >= 8  # of the states that were written before
    assert load_study(tmp_path)["state"].tolist() == ["COMPLETE"]
