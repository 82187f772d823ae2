"""A small study that has been run, whole and as a copy to go on with."""

import shutil
from pathlib import Path

import pytest

from stdc_lab.search import Crew, run_study
from tests.search.test_driver import study_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, crew: Crew) -> Path:
    """A study with stdc1 outside its space as reference, and two trials of the space."""
    folder = tmp_path_factory.mktemp("study") / "out"
    run_study(study_config(references=["stdc1"], trials=3), folder, crew=crew)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "study"))
