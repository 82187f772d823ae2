import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from stdc_lab.errors import StdcLabError
from stdc_lab.files import LOCKS
from stdc_lab.machine import machine_lock
from tests.cli.in_child import context


class Holder:
    """Another process that takes the lock, and holds it until it is told to let it go."""

    def __init__(self, kind: str) -> None:
        self._mine, theirs = context.Pipe()
        self._process = context.Process(target=hold, args=(theirs, kind == "alone", dict(os.environ)))
        self._process.start()
        theirs.close()

    def wait_until_held(self) -> None:
        assert self._mine.poll(60) and self._mine.recv() == "held"

    def let_go(self) -> None:
        self._mine.send("enough")

    def lives(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()

    def status(self) -> int | None:
        self._process.join(10)
        return self._process.exitcode

    def number(self) -> int | None:
        return self._process.pid

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._mine.close()


def hold(connection: Connection, alone: bool, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    with machine_lock(alone=alone):
        connection.send("held")
        connection.recv()


@contextmanager
def started(kind: str) -> Iterator[Holder]:
    process = Holder(kind)
    try:
        yield process
    finally:
        process.end()


@contextmanager
def holder(kind: str) -> Iterator[Holder]:
    """One that holds the lock."""
    with started(kind) as process:
        process.wait_until_held()
        yield process


def test_trainings_share_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    with holder("shared") as other, machine_lock(alone=False) as held:
        assert held
        assert other.lives()
    assert caplog.text == ""


@pytest.mark.parametrize(("theirs", "alone"), [("shared", True), ("alone", False), ("alone", True)])
def test_a_timer_is_alone(theirs: str, alone: bool, caplog: pytest.LogCaptureFixture) -> None:
    with holder(theirs) as other:
        threading.Timer(0.3, other.let_go).start()
        with machine_lock(alone=alone):
            assert other.status() == 0
    assert "waiting for the machine's lock" in caplog.text
    if LOCKS.exists():
        assert f"of another process is under way (process {other.number()}: " in caplog.text


def test_a_killed_process_leaves_no_lock() -> None:
    with holder("alone") as other:
        other.kill()
        assert other.status() == -signal.SIGKILL
        with machine_lock(alone=True) as held:
            assert held


def test_a_lock_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STDC_LAB_LOCK", str(tmp_path / "none" / "lock"))
    with pytest.raises(StdcLabError, match=r"lock cannot be opened .* STDC_LAB_LOCK"), machine_lock(alone=True):
        pass


def test_a_training_steps_aside_for_a_timer_and_takes_its_place_again(tmp_path: Path) -> None:
    with machine_lock(alone=False) as mine:
        assert not mine.timer_waits()
        with started("alone") as timer:
            while not mine.timer_waits():
                assert timer.lives()
            threading.Timer(0.3, timer.let_go).start()
            mine.step_aside()  # comes back only when the timer is done
            assert timer.status() == 0
            timer.wait_until_held()  # which it did say
        assert not mine.timer_waits()
        with holder("shared") as other:
            assert other.lives()


def test_a_timer_that_waits_comes_before_a_training_that_begins_later() -> None:
    with holder("shared") as first, started("alone") as timer:
        with machine_lock(alone=False) as mine:
            while not mine.timer_waits():
                assert timer.lives()
        # The training of this test has ended; another one that begins now waits until the timer is done.
        threading.Timer(0.2, first.let_go).start()
        threading.Timer(0.6, timer.let_go).start()
        with machine_lock(alone=False):
            assert timer.status() == 0
            timer.wait_until_held()
