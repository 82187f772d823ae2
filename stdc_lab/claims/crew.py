"""The arms of a seed trained at once, each in a process of its own with its share of the cores."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

import torch

from stdc_lab.analysis.trainings_table import TrainingRow
from stdc_lab.claims.trained import Bench, train_arm
from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.data import DataConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.errors import DataError, StdcLabError, StudyError
from stdc_lab.hardware.threads import default_threads


@dataclass(frozen=True)
class Task:
    """One training, so that another process can do it."""

    claim: TrainedClaim
    protocol: str
    arm: str
    seed: int
    contents: str
    """Of the data set, as the driver has seen it."""
    path: Path | None
    runs: Path
    device: str
    known: TrainingRow | None
    """The same training, where it is done already."""


Crew = ProcessPoolExecutor


@contextmanager
def crew_of(jobs: int) -> Iterator[Crew | None]:
    """So many processes that train; None for one job, which needs none. Left by an exception, they keep their
    trainings' states and end."""
    if jobs == 1:
        yield None
        return
    threads = max(1, default_threads() // jobs)
    crew = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (threads,))
    try:
        yield crew
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        crew.shutdown(cancel_futures=True)
        raise
    crew.shutdown()


def train_together(crew: Crew, tasks: Sequence[Task]) -> Iterator[TrainingRow]:
    """The rows of the tasks, in the order in which they end.

    Raises what a training raises, once the others have ended and been given; `StudyError` if a process was killed.
    """
    refused: StdcLabError | None = None
    try:
        for future in as_completed([crew.submit(_train, task) for task in tasks]):
            try:
                yield future.result()
            except StdcLabError as error:
                refused = error
    except BrokenProcessPool as error:
        raise StudyError(
            "a process that trains was killed, perhaps for want of memory; called again, it goes on (fewer --jobs)"
        ) from error
    if refused is not None:
        raise refused


def _train(task: Task) -> TrainingRow:
    dataset = _loaded(task.claim.protocols[task.protocol].data, task.path)
    if dataset.contents != task.contents:
        raise DataError(f"{dataset.name}: images or labels have changed since the claim was started")
    known = {} if task.known is None else {task.known.trial_key: task.known}
    bench = Bench(torch.device(task.device), task.runs, known)
    return train_arm(task.claim, task.protocol, task.arm, task.seed, dataset, bench)


@lru_cache(maxsize=4)
def _loaded(config: DataConfig, path: Path | None) -> Dataset:
    return load_dataset(config, path)


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
