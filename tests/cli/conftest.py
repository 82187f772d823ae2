"""What the tests of `stdc-lab train` begin with."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tiny_training import write


@pytest.fixture(scope="module")
def no_tensorboard() -> Any:
    """It takes longer to import than most trainings here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        yield


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.yaml")
