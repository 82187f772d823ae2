"""The workers' processes: started when there is work, replaced when they end, one trial at a time in each."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import torch

from stdc_lab.errors import StudyError
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.search.messages import Failed, FromWorker, Lost, Task
from stdc_lab.search.objective import LOG_FILE

GRACE_S = 30.0
"""How long a worker that is told to end may take to finish its step and write its state."""
STACKS_SIGNAL = signal.SIGUSR1 if sys.platform != "win32" else signal.SIGTERM
"""At which a worker writes into its log where it stands."""
STACKS_S = 1.0
"""How long it is given for that."""
_FATAL = "Fatal Python error: "
# A fresh interpreter that knows where its modules are, and nothing else of this one: no copied threads, locks or
# devices, and a script that calls the search need not be safe to import.
_START = "import sys; sys.path[:] = {paths}; import runpy; runpy.run_module('stdc_lab.search.worker', None, '__main__')"


@dataclass(eq=False)
class Worker:
    """A place for a trial, on a device; with a process in it once there is something to do."""

    device: str
    process: subprocess.Popen[bytes] | None = None
    connection: Connection | None = None
    lifeline: int = -1
    log: Path | None = field(default=None)
    """Where the process prints, of the trial that it is at."""


class Crew:
    """So many workers, shared out over the devices.

    Usable for one study after another; the processes stay until the block ends. Raises `StudyError` where processes
    cannot be given pipes (Windows).
    """

    def __init__(self, jobs: int = 1, devices: Sequence[torch.device] = (torch.device("cpu"),)) -> None:
        if sys.platform == "win32":
            raise StudyError("a search needs Linux or macOS: its workers are given pipes, which Windows does not do")
        self.workers = [Worker(str(devices[number % len(devices)])) for number in range(jobs)]
        on_cpu = sum(worker.device == "cpu" for worker in self.workers)
        # Trainings that share the processor would only wait for each other with all its cores each.
        self.threads = max(1, min(torch.get_num_threads(), usable_cores() // on_cpu)) if on_cpu > 1 else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(self.workers)

    def give(self, worker: Worker, task: Task) -> None:
        """Give an idle worker a trial."""
        worker.log = task.runs / task.candidate.key(task.study) / LOG_FILE
        if worker.connection is not None:
            try:
                worker.connection.send(task)
                return
            except OSError:  # it has ended since its last trial
                self._forget(worker)
        self._start(worker)
        assert worker.connection is not None
        worker.connection.send(task)

    def answer(self, worker: Worker, reason: str | None) -> None:
        """Answer what a worker asks; one that has ended meanwhile is heard of as lost."""
        with suppress(OSError):
            if worker.connection is not None:
                worker.connection.send(reason)

    def hear(self, timeout_s: float) -> list[tuple[Worker, FromWorker]]:
        """What the workers have said; waits until one does, or until the time is over."""
        speaking = {worker.connection: worker for worker in self.workers if worker.connection is not None}
        heard: list[tuple[Worker, FromWorker]] = []
        for ready in wait(list(speaking), timeout_s):
            worker = speaking[cast(Connection, ready)]
            try:
                message: FromWorker = cast(Connection, ready).recv()
            except (EOFError, OSError):
                message = self._lost(worker)
            if isinstance(message, Failed) and message.ends:
                assert worker.process is not None
                worker.process.kill()
                self._forget(worker)
            heard.append((worker, message))
        return heard

    def kill(self, worker: Worker, reason: str) -> Lost:
        """End a worker that hangs, when it has written into its log where; gives what is to be heard of it."""
        assert worker.process is not None
        worker.process.send_signal(STACKS_SIGNAL)
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(STACKS_S)
        worker.process.kill()
        self._forget(worker)
        return Lost(f"the worker hung and was ended: {reason}", killed=True)

    def end(self, workers: Sequence[Worker]) -> None:
        """End processes: trainings write their state; what has not ended after a while is killed."""
        running = [worker for worker in workers if worker.process is not None]
        for worker in running:
            assert worker.process is not None and worker.connection is not None
            with suppress(OSError):
                worker.process.send_signal(signal.SIGTERM)
            worker.connection.close()  # and whoever waits for an answer gets none
        deadline = time.monotonic() + GRACE_S
        for worker in running:
            assert worker.process is not None
            try:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
            self._forget(worker)

    def _start(self, worker: Worker) -> None:
        mine, theirs = socket.socketpair()
        watched, lifeline = os.pipe()
        paths = json.dumps([path or os.getcwd() for path in sys.path])
        arguments = (theirs.fileno(), watched, worker.device, self.threads)
        worker.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(paths=paths), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), watched),
            start_new_session=True,  # the terminal's Ctrl-C is for the driver
        )
        theirs.close()
        os.close(watched)
        worker.connection, worker.lifeline = Connection(mine.detach()), lifeline

    def _lost(self, worker: Worker) -> Lost:
        """Why a worker's process has ended, in words."""
        assert worker.process is not None
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(GRACE_S)
        if worker.process.returncode is None:
            worker.process.kill()
        status, said = worker.process.wait(), _last_words(worker.log)
        self._forget(worker)
        if status >= 0:
            return Lost(f"the worker ended with exit code {status}{said}", killed=False)
        name = signal.Signals(-status).name
        killed = name in ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
        memory = " (by hand, or by a system out of memory)" if name == "SIGKILL" else ""
        return Lost(f"the worker was ended by {name}{memory}{said}", killed)

    def _forget(self, worker: Worker) -> None:
        if worker.connection is not None:
            worker.connection.close()
        if worker.lifeline >= 0:
            os.close(worker.lifeline)
        if worker.process is not None:
            with suppress(subprocess.TimeoutExpired):  # of a system call that does not return, a kill has to wait
                worker.process.wait(GRACE_S)
        worker.process, worker.connection, worker.lifeline = None, None, -1


def _last_words(log: Path | None) -> str:
    """The line of a worker's log that says most of its end."""
    try:
        lines = [] if log is None else log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    lines = [line.strip() for line in lines if line.strip()]
    fatal = [line for line in lines if line.startswith(_FATAL)]
    said = (fatal or lines)[-1:]
    return f"; its last message: {said[0][:300]}" if said else ""
