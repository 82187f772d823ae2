"""What a training says of itself between its steps: that an evaluation comes on, that it waits for a timer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stdc_lab.data import Dataset
from stdc_lab.machine import MachineLock
from stdc_lab.training import evaluate as evaluate_module
from stdc_lab.training import run as run_module
from stdc_lab.training.run import TrainingCallbacks, run_training
from tests.training.run.tiny import CPU, RECIPE


class Lock(MachineLock):
    """A timer waits once, after some step."""

    def __init__(self, heard: list[str], after: str) -> None:
        super().__init__()
        self.heard, self.after = heard, after

    def timer_waits(self) -> bool:
        return self.heard[-1] == self.after

    def step_aside(self) -> None:
        self.heard.append("aside")


def test_evaluations_are_told_batch_by_batch_and_waiting_for_a_timer_is_said(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    @contextmanager
    def lock(*, alone: bool) -> Iterator[MachineLock]:
        assert not alone
        yield Lock(heard, "step 2")

    monkeypatch.setattr(run_module, "machine_lock", lock)
    monkeypatch.setattr(evaluate_module, "BATCH_SIZE", 1)
    callbacks = TrainingCallbacks(
        progress=lambda progress: heard.append(f"step {progress.iteration}"),
        works=lambda: heard.append("works"),
        waits=lambda: heard.append("waits"),
    )
    run_training(RECIPE, tmp_path, dataset, CPU, callbacks=callbacks)
    timer, images = ["waits", "aside", "works"], ["works"] * 3
    assert heard == ["step 1", "step 2", *timer, *images, "step 3", "step 4", "step 5", *images, "step 6"]
