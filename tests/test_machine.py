import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from stdc_lab import machine
from stdc_lab.errors import StdcLabError
from stdc_lab.machine import choose_device, choose_dtype, cpu_threads, environment, machine_lock

HOLD = """
import sys
from stdc_lab.machine import machine_lock
with machine_lock(alone=sys.argv[1] == "alone"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(kind: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_trainings_share_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    with holder("shared") as other, machine_lock(alone=False) as held:
        assert held
        assert other.poll() is None
    assert caplog.text == ""


@pytest.mark.parametrize(("theirs", "alone"), [("shared", True), ("alone", False), ("alone", True)])
def test_a_timer_is_alone(theirs: str, alone: bool, caplog: pytest.LogCaptureFixture) -> None:
    with holder(theirs) as other:
        assert other.stdin is not None
        threading.Timer(0.3, other.stdin.close).start()
        with machine_lock(alone=alone):
            assert other.wait(10) == 0
    assert "waiting for the machine's lock" in caplog.text


def test_a_killed_process_leaves_no_lock() -> None:
    with holder("alone") as other:
        other.kill()
        other.wait()
        with machine_lock(alone=True) as held:
            assert held


def test_a_lock_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STDC_LAB_LOCK", str(tmp_path / "none" / "lock"))
    with pytest.raises(StdcLabError, match=r"lock cannot be opened .* STDC_LAB_LOCK"), machine_lock(alone=True):
        pass


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1", "cpu:0"])
def test_an_unknown_device(wanted: str) -> None:
    with pytest.raises(StdcLabError, match=r"--device: got .*; allowed: auto, cpu"):
        choose_device(wanted)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(StdcLabError, match=r"got 'cuda:1', but PyTorch sees 0 GPUs here; allowed: auto, cpu"):
        choose_device("cuda:1")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, torch.float32), ({"avx512_bf16"}, torch.bfloat16), ({"amx_bf16", "avx2"}, torch.bfloat16)],
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: torch.dtype
) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: flags)
    assert choose_dtype("auto", torch.device("cpu")) == expected
    assert choose_dtype("float32", torch.device("cpu")) == torch.float32


def test_threads_are_put_back_and_the_fingerprint_does_not_depend_on_them() -> None:
    before = torch.get_num_threads()
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
        one = environment(torch.device("cpu"), 1)
    assert torch.get_num_threads() == before
    assert one.fingerprint == environment(torch.device("cpu"), 2).fingerprint


def test_a_training_steps_aside_for_a_timer_and_takes_its_place_again(tmp_path: Path) -> None:
    with machine_lock(alone=False) as mine:
        assert not mine.timer_waits()
        command = [sys.executable, "-c", HOLD, "alone"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as timer:
            assert timer.stdin is not None and timer.stdout is not None
            while not mine.timer_waits():
                assert timer.poll() is None
            threading.Timer(0.3, timer.stdin.close).start()
            mine.step_aside()  # comes back only when the timer is done
            assert timer.wait(10) == 0
            assert timer.stdout.read() == "held\n"
        assert not mine.timer_waits()
        with holder("shared") as other:
            assert other.poll() is None


def test_a_timer_that_waits_comes_before_a_training_that_begins_later() -> None:
    with (
        holder("shared") as first,
        subprocess.Popen(
            [sys.executable, "-c", HOLD, "alone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as timer,
    ):
        assert first.stdin is not None and timer.stdin is not None and timer.stdout is not None
        with machine_lock(alone=False) as mine:
            while not mine.timer_waits():
                assert timer.poll() is None
        # The training of this test has ended; another one that begins now waits until the timer is done.
        threading.Timer(0.2, first.stdin.close).start()
        threading.Timer(0.6, timer.stdin.close).start()
        with machine_lock(alone=False):
            assert timer.wait(10) == 0
            assert timer.stdout.read() == "held\n"
