"""Tests keep to themselves: with a lock and a cache of their own they wait for no training and feed on none."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stdc_lab.search import Crew

# The networks of the tests are too small to share: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_lock_and_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "STDC_LAB_LOCK", str(folder / "lock"))
        patch.setitem(os.environ, "STDC_LAB_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def without_tensorboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whether it is installed makes no difference, here and in what is started here: importing it takes seconds."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "tensorboard.py").write_text("raise ImportError('left out of the tests')\n")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setattr(sys, "path", [str(folder), *sys.path])
        yield


@pytest.fixture(scope="session")
def crew(own_lock_and_cache: Path, without_tensorboard: None) -> Iterator["Crew"]:
    """One worker for all studies of a test process: importing PyTorch takes longer than what it does here."""
    from stdc_lab.search import Crew

    with Crew() as crew:
        yield crew


@pytest.fixture
def lent_crew(crew: "Crew", monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of all studies for a command that would start one of its own."""
    monkeypatch.setattr("stdc_lab.search.driver.Crew", lambda jobs, devices: nullcontext(crew))
