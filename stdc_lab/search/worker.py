"""A worker: a process that runs one trial after another, and says over its pipe what comes of them.

It never touches the storage. It ends when its driver does, and takes nothing with it: whatever it writes appears whole
or not at all, and the state of a training is on the disk.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

import torch

from stdc_lab.config.data import DataConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.errors import DataError, StdcLabError
from stdc_lab.files import open_regular
from stdc_lab.hardware.memory import is_out_of_memory
from stdc_lab.records import ProfileResult
from stdc_lab.search.candidate import Judge
from stdc_lab.search.crew import STACKS_SIGNAL
from stdc_lab.search.messages import Failed, Finished, FromWorker, Profiled, Scored, Stepped, Task, Waiting, Working
from stdc_lab.search.objective import LOG_FILE, run_trial
from stdc_lab.training import DivergedError, Progress

SAY_EVERY_S = 0.2
EXIT_DRIVER_GONE = 75
log = logging.getLogger(__name__)


def work(pipe: int, lifeline: int, device: str, threads: int) -> None:
    """Run what comes over the pipe, until it is closed.

    pipe, lifeline: file descriptors, inherited; the other end of the lifeline is the driver's, and closes when it
    dies. threads: CPU threads of a training; 0 for as many as PyTorch takes.
    """
    # Ctrl-C is for the driver to hear; from SIGTERM a training keeps its state.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_the_driver, args=(lifeline,), daemon=True).start()
    if threads:
        torch.set_num_threads(threads)
    datasets: dict[tuple[DataConfig, Path | None], Dataset] = {}
    with Connection(pipe) as connection:
        while True:
            try:
                task: Task = connection.recv()
            except (EOFError, OSError):
                return
            try:
                _run(task, connection, torch.device(device), datasets)
            except KeyboardInterrupt:
                return


def _run(
    task: Task,
    connection: Connection,
    device: torch.device,
    datasets: dict[tuple[DataConfig, Path | None], Dataset],
) -> None:
    try:
        _log_into(task.runs / task.candidate.key(task.study) / LOG_FILE)
        run_trial(
            task.candidate, task.study, _loaded(task, datasets), task.runs, device,
            known_profile=task.known_profile, beside=task.beside, judge=_asking(connection),
        )  # fmt: skip
    except Exception as error:
        log.exception("trial %d failed", task.candidate.number)
        known = isinstance(error, StdcLabError)
        reason = str(error) if known else f"{type(error).__name__}: {error}".removesuffix(": ")
        # After another error memory may be in pieces, and a GPU that met one answers nothing any more.
        diverged = isinstance(error, DivergedError)
        _send(connection, Failed(reason, out_of_memory=is_out_of_memory(error), ends=not known, diverged=diverged))
        if not known:
            raise SystemExit(1) from error
    else:
        _send(connection, Finished())


def _loaded(task: Task, datasets: dict[tuple[DataConfig, Path | None], Dataset]) -> Dataset:
    """The data of a trial, kept for the next one. Raises `DataError` if it is not what the driver has seen."""
    data, here = (task.study.data, task.data_path), task.candidate.here
    wanted = None if here is None else here.contents
    if data not in datasets or wanted not in (
        None,
        datasets[data].contents,
    ):  # files may have changed since the last study
        datasets[data] = load_dataset(*data)
    if wanted not in (None, datasets[data].contents):
        raise DataError(f"{task.study.data.name}: images or labels have changed since the search was started")
    return datasets[data]


def _asking(connection: Connection) -> Judge:
    """A judge who asks the driver."""
    said_at = 0.0

    def cost(cost: ProfileResult) -> str | None:
        return ask(Profiled(cost))

    def progress(progress: Progress) -> None:
        nonlocal said_at
        now = time.monotonic()
        if progress.score is not None or now - said_at > SAY_EVERY_S:
            said_at = now
            _send(connection, Stepped(progress))

    def score(progress: Progress) -> str | None:
        return ask(Scored(progress))

    def works() -> None:
        nonlocal said_at
        now = time.monotonic()
        if now - said_at > SAY_EVERY_S:
            said_at = now
            _send(connection, Working())

    def waits() -> None:
        nonlocal said_at
        said_at = 0.0  # that the wait is over is said at once
        _send(connection, Waiting())

    def ask(question: Profiled | Scored) -> str | None:
        _send(connection, question)
        try:
            answer: str | None = connection.recv()
        except (EOFError, OSError) as error:
            raise KeyboardInterrupt from error
        return answer

    return Judge(cost, progress, score, works, waits)


def _send(connection: Connection, message: FromWorker) -> None:
    """Say something. To be no longer heard is to be told to end: a training then keeps its state."""
    try:
        connection.send(message)
    except OSError as error:
        raise KeyboardInterrupt from error


def _log_into(path: Path) -> None:
    """Send all that this process prints, libraries' last words included, to a file that goes with the trial."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    faulthandler.enable(sys.stderr)
    faulthandler.register(STACKS_SIGNAL, sys.stderr)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_the_driver(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(EXIT_DRIVER_GONE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    work(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
