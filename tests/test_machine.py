import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from stdc_lab import machine
from stdc_lab.errors import StdcLabError
from stdc_lab.files import LOCKS
from stdc_lab.machine import (
    choose_device,
    choose_dtype,
    computes_natively,
    cpu_threads,
    environment,
    machine_lock,
    not_native,
)
from tests.cli.in_child import child, context

CPU = torch.device("cpu")


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
    monkeypatch.setattr(machine, "_onednn_may_use_bfloat16", lambda: True)
    assert choose_dtype("auto", CPU) == expected
    assert choose_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize(
    ("supported", "variables", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),  # PyTorch says yes there, and emulates
        (True, {"DNNL_MAX_CPU_ISA": "avx512_core_vnni"}, False),
        (True, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DNNL_MAX_CPU_ISA": "AVX2"}, True),
    ],
)
def test_bfloat16_only_where_pytorch_uses_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, supported: bool, variables: dict[str, str], expected: bool
) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert computes_natively("bfloat16", CPU) is expected
    assert (choose_dtype("auto", CPU) == torch.bfloat16) is expected
    said = None if expected else "not native here: PyTorch finds no bfloat16 on this processor"
    assert not_native("bfloat16", CPU) == said
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16  # who asks for it gets it


def print_dtype() -> None:
    print(choose_dtype("auto", CPU))


def test_where_onednn_is_held_back_training_is_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with child(tmp_path, print_dtype) as held_back:
        assert held_back.status() == 0, held_back.errors
    assert held_back.output == "torch.float32\n"


@pytest.mark.parametrize(
    ("capability", "native", "chosen"),
    [
        ((5, 2), set(), torch.float32),
        ((7, 5), {"float16"}, torch.float16),
        ((8, 0), {"float16", "bfloat16", "tf32"}, torch.bfloat16),
        ((9, 0), {"float16", "bfloat16", "tf32"}, torch.bfloat16),
    ],
)
def test_what_a_gpu_computes_natively(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: set[str], chosen: torch.dtype
) -> None:
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert {dtype for dtype in ("float16", "bfloat16", "tf32") if computes_natively(dtype, gpu)} == native
    assert computes_natively("float32", gpu)
    assert choose_dtype("auto", gpu) == chosen


def test_threads_are_put_back_and_the_fingerprint_does_not_depend_on_them() -> None:
    before = torch.get_num_threads()
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
        one = environment(torch.device("cpu"), 1)
    assert torch.get_num_threads() == before
    assert one.fingerprint == environment(torch.device("cpu"), 2).fingerprint


@pytest.mark.parametrize(
    ("variable", "expected"), [(None, 8), ("", 8), ("3", 3), ("3,2", 3), ("64", 8), ("0", 8), ("-1", 8), ("many", 8)]
)
def test_omp_num_threads_lowers_the_default(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: int
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    if variable is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert machine.default_threads() == expected


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
