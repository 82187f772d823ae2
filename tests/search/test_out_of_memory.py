"""A training that does not fit into memory: real workers whose address space is really too small."""

import os
import resource
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from stdc_lab.analysis.frame import load_study
from stdc_lab.data import load_dataset
from stdc_lab.records import ProfileResult, TrialRecord, trial_key
from stdc_lab.search import Crew, run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.driver import circumstances
from tests.search.kept_trainings import assert_every_training_is_kept
from tests.search.test_driver import Notes, study_config

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one process set another's limits")

HEADROOM_BYTES = 2**24
"""Enough for a thread and small things, much less than a step needs."""
ATTEMPTS = 6
"""Now and then the allocator has kept enough for a step, and the limit does not bite."""
CONFIG = study_config(
    trials=1,
    data={"size": [256, 512], "train_images": 16, "val_images": 1},
    train={"iterations": 1, "batch_size": 16, "warmup_iterations": 0, "evaluations": 1},
)


class Squeezes(Notes):
    """Leaves a worker no memory to train with, each time that a trial is timed, as often as told."""

    def __init__(self, crew: Crew, times: int) -> None:
        super().__init__()
        self.crew, self.times = crew, times
        self.parts: list[int] = []

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        super().trial_timed(candidate, cost)
        self.parts.append(candidate.train.accumulation)
        process = self.crew.workers[0].process
        if self.times and process is not None:
            self.times -= 1
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + HEADROOM_BYTES
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))


class Leaves(Squeezes):
    """Keeps the study's folder as a driver leaves it that is killed while the smaller parts are under way."""

    def __init__(self, crew: Crew, folder: Path, copy: Path) -> None:
        super().__init__(crew, times=1)
        self.folder, self.copy = folder, copy

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        super().trial_timed(candidate, cost)
        if candidate.retried is not None:  # the worker waits for an answer: nothing is being written
            shutil.copytree(self.folder, self.copy)


@pytest.fixture(scope="module")
def squeezed(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Leaves:
    """A study whose trial had too little memory once, and what a kill on its way would have left of it."""
    for _ in range(ATTEMPTS):
        folder = tmp_path_factory.mktemp("squeezed")
        crew.end(crew.workers)  # a worker keeps what its trainings freed, and would have that to train with
        notes = Leaves(crew, folder / "whole", folder / "killed")
        run_study(CONFIG, notes.folder, crew=crew, watcher=notes)
        if notes.parts == [1, 2] and "emory" in notes.again[0] and notes.trained:
            return notes
    pytest.skip(f"in {ATTEMPTS} studies no training ran out of memory: the allocator had kept enough")


def the_record(folder: Path) -> TrialRecord:
    (path,) = (folder / "runs").glob("*/trial.json")
    return TrialRecord.model_validate_json(path.read_bytes())


def check_smaller_parts(folder: Path) -> None:
    """One trial, complete, in parts of half the size, under the key of what was asked for."""
    (row,) = load_study(folder).to_dict("records")
    record = the_record(folder)
    assert (row["state"], row["trial_key"]) == ("COMPLETE", record.trial_key)
    assert (record.train.batch_size, record.train.accumulation, CONFIG.train.accumulation) == (16, 2, 1)
    assert record.retried == "out of memory in parts of 16 images: trained in parts of 8, gradients accumulated"
    asked_for = record.train.model_copy(update={"accumulation": 1})
    here = circumstances(load_dataset(CONFIG.data), torch.device("cpu"))
    assert record.trial_key == trial_key(record.arch, asked_for, CONFIG.data, record.seed, here)
    assert record.trial_key != trial_key(record.arch, record.train, CONFIG.data, record.seed, here)
    assert_every_training_is_kept(folder)


def test_without_the_memory_a_training_is_done_in_smaller_parts_and_its_record_says_so(squeezed: Leaves) -> None:
    assert len(squeezed.again) == 1 and "emory" in squeezed.again[0]
    assert (squeezed.parts, squeezed.trained, squeezed.failed) == ([1, 2], [0], [])
    check_smaller_parts(squeezed.folder)


def test_after_a_kill_it_goes_on_in_smaller_parts(squeezed: Leaves, crew: Crew, tmp_path: Path) -> None:
    folder = shutil.copytree(squeezed.copy, tmp_path / "study")
    assert load_study(folder)["state"].tolist() == ["RUNNING"]
    notes = Squeezes(crew, times=0)
    run_study(CONFIG, folder, crew=crew, watcher=notes)
    assert (notes.parts, notes.again) == ([2], [])
    check_smaller_parts(folder)


def test_a_second_lack_of_memory_is_a_failed_trial(crew: Crew, tmp_path: Path) -> None:
    class Ends(Squeezes):
        def trial_failed(self, candidate: Candidate, reason: str) -> None:
            super().trial_failed(candidate, reason)
            os.kill(os.getpid(), signal.SIGINT)  # so that no other trial follows

    for attempt in range(ATTEMPTS):
        folder, notes = tmp_path / str(attempt), Ends(crew, times=2)
        crew.end(crew.workers)
        with suppress(KeyboardInterrupt):
            run_study(CONFIG, folder, crew=crew, watcher=notes)
        assert len(notes.parts) <= 2, "it is retried once"
        if notes.failed and "emory" in notes.failed[0] and notes.parts == [1, 2]:
            break
    else:
        pytest.skip(f"in {ATTEMPTS} studies no training ran out of memory twice: the allocator had kept enough")
    (row,) = load_study(folder).to_dict("records")
    assert (row["state"], notes.parts, len(notes.again)) == ("FAIL", [1, 2], 1)
    assert notes.failed == [row["reason"]] and "emory" in row["reason"]
    assert not (folder / "runs" / row["trial_key"]).exists()
