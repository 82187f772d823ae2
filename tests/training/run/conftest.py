"""The trainings that the tests of this folder share, and read only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stdc_lab.data import Dataset
from stdc_lab.records import TrainingOutcome
from stdc_lab.training import trainer as trainer_module
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, halves, stopped_at


@pytest.fixture(scope="package", autouse=True)
def short_trainings() -> Iterator[None]:
    """A point of the result's curve is two or three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "CURVE_POINTS", 2)
        yield


@pytest.fixture(scope="package")
def dataset() -> Dataset:
    return halves()


@pytest.fixture(scope="package")
def through(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingOutcome]:
    """The training that nothing came in the way of."""
    folder = tmp_path_factory.mktemp("through") / "run"
    return folder, run_training(RECIPE, folder, dataset, CPU).outcome


@pytest.fixture(scope="package")
def stopped(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing shall change."""
    folder = tmp_path_factory.mktemp("stopped")
    stopped_at(1, RECIPE, folder, dataset)
    return folder
