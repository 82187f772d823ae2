"""A signal to a training: the first waits for the end of a step, the second does not."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from stdc_lab.data import Dataset
from stdc_lab.records import TrainingOutcome
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, Notes, assert_same_training, load, recipe_of


def test_a_signal_waits_for_the_end_of_its_step(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, handled(signal.SIGTERM):
        signal_in_step(patch, 5, [signal.SIGTERM])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU)
    assert load(tmp_path / "state.pt")["trainer"]["iteration"] == 5
    run_training(RECIPE, tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


def test_a_second_signal_gets_through_and_the_older_state_is_kept(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    with monkeypatch.context() as patch, handled(signal.SIGINT):
        signal_in_step(patch, 6, [signal.SIGINT, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU, callbacks=notes.callbacks)
    assert notes.steps == [1, 2, 3, 4, 5]
    assert notes.stopped[0].startswith("stopped; the state of iteration 4 is kept")
    run_training(RECIPE, tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


def test_before_the_first_state_a_second_signal_leaves_nothing_to_go_on_from(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    with monkeypatch.context() as patch, handled(signal.SIGINT):
        signal_in_step(patch, 2, [signal.SIGINT, signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            run_training(RECIPE, tmp_path, dataset, CPU, callbacks=notes.callbacks)
    assert notes.stopped == [f"stopped; no state was written to {tmp_path} yet: the same command begins anew"]
    # Nothing is lost by another recipe then.
    run_training(recipe_of(iterations=3), tmp_path, dataset, CPU)
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 4


@contextmanager
def handled(number: signal.Signals) -> Iterator[None]:
    """The signal raises KeyboardInterrupt, as under the command line; the handler is put back by the training."""
    before = signal.getsignal(number)
    mine = signal.default_int_handler
    signal.signal(number, mine)
    try:
        yield
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)


def signal_in_step(patch: pytest.MonkeyPatch, step: int, numbers: list[signal.Signals]) -> None:
    """Let signals come between the gradients of a step and its weights."""
    real, steps = torch.optim.SGD.step, iter(range(1, 1000))

    def interrupted(self: torch.optim.SGD, *arguments: Any) -> Any:
        if next(steps) == step:
            for number in numbers:
                signal.raise_signal(number)
        return real(self, *arguments)

    patch.setattr(torch.optim.SGD, "step", interrupted)
