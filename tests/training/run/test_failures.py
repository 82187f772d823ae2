"""A full disk and weights that are no numbers: what was written stays, and the message says how to go on."""

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stdc_lab.data import Dataset
from stdc_lab.errors import CheckpointError
from stdc_lab.nn.checkpoints import load_checkpoint
from stdc_lab.records import TrainingOutcome
from stdc_lab.training import DivergedError
from stdc_lab.training import trainer as trainer_module
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, Notes, assert_same_training, load, recipe_of


@pytest.mark.parametrize(
    ("room", "file"), [(700_000, "state.pt"), (100_000, "last.pt"), (100, "curve.csv")], ids=lambda value: str(value)
)
def test_a_full_disk_costs_nothing_that_was_written(
    room: int, file: str, through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    # A limit on the size of files stands for the disk: the failure is as real, at a size that can be chosen.
    before: dict[str, bytes] = {}

    def fill() -> None:
        before["state"] = (tmp_path / "state.pt").read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(CheckpointError) as error:
            run_training(recipe_of(every=1), tmp_path, dataset, CPU, callbacks=Notes({4: fill}).callbacks)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{tmp_path / file}: cannot be written: " in str(error.value)
    assert f"the state of iteration 4 is kept in {tmp_path}. Once there is room, the same" in str(error.value)
    assert (tmp_path / "state.pt").read_bytes() == before["state"]
    assert load_checkpoint(tmp_path / "best.pt").protocol["iteration"] == 3
    assert not list(tmp_path.glob("*.partial"))
    run_training(recipe_of(every=1), tmp_path, dataset, CPU)
    assert_same_training(tmp_path, through[0])


@pytest.mark.parametrize("where", ["loss", "weights"])
def test_a_diverged_training_keeps_its_last_good_state_and_says_what_to_do(
    where: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(range(1, 1000))
    if where == "loss":
        loss = trainer_module.training_loss
        monkeypatch.setattr(
            trainer_module, "training_loss", lambda *a, **k: loss(*a, **k) * (np.nan if next(steps) == 5 else 1)
        )
        message = r"the loss became nan at iteration 5: try a lower train.learning_rate \(now 0.05\)"
    else:
        real = torch.optim.SGD.step

        def step(self: torch.optim.SGD, *arguments: Any) -> Any:
            if next(steps) == 5:
                self.param_groups[0]["params"][0].grad.fill_(np.inf)
            return real(self, *arguments)

        monkeypatch.setattr(torch.optim.SGD, "step", step)
        message = "the weights are no numbers any more at iteration 5: try a lower train.learning_rate"
    # With every step's state written, the weights are looked at before the next loss shows what they are.
    recipe = recipe_of(every=1)
    with pytest.raises(DivergedError, match=message) as error:
        run_training(recipe, tmp_path, dataset, CPU)
    assert str(error.value).endswith(
        f"; the state of iteration 4 is kept in {tmp_path} and leads here again: use another --out for other settings "
        f"(--pretrained {tmp_path}/last.pt begins with its backbone)"
    )
    assert load(tmp_path / "state.pt")["trainer"]["iteration"] == 4
    for name in ("last.pt", "best.pt"):
        checkpoint = load_checkpoint(tmp_path / name)
        assert all(tensor.isfinite().all() for tensor in checkpoint.network.state_dict().values())
    run_training(recipe, tmp_path, dataset, CPU)  # where nothing is wrong any more, it goes on
    assert load_checkpoint(tmp_path / "last.pt").protocol["iteration"] == 6


def test_a_training_that_diverges_before_its_first_state_begins_anew(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "training_loss", lambda output, *a, **k: output.logits.sum() * np.nan)
    with pytest.raises(DivergedError, match=r"no state was written to .* yet: change the settings and begin anew"):
        run_training(RECIPE, tmp_path, dataset, CPU)
    assert not list(tmp_path.glob("*.pt"))
