"""What the tests of `stdc-lab train` begin with."""

from pathlib import Path

import pytest

from tests.cli.tiny_training import write


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.yaml")
