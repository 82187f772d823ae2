"""What the commands say of a study whose storage is of another Optuna version, or may not be written."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stdc_lab.search.folder import driver_lock
from tests.cli.in_process import stdc_lab
from tests.permissions import read_only
from tests.search.test_driver import study_config
from tests.study_folder import add_complete, open_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with one trial, from another machine."""
    config, folder = study_config(references=["stdc1"]), tmp_path / "a study"
    with open_study(folder, config) as study:
        add_complete(study, folder, config, miou=0.6, latency_ms=20.0, reference="stdc1")
    return folder


def commands(study: Path) -> dict[str, tuple[object, ...]]:
    return {
        "search": ("search", study / "study.yaml", "--out", study),
        "retime": ("study", "retime", study),
        "confirm": ("study", "confirm", study, 2),
        "status": ("study", "status", study),
        "report": ("report", study),
        "pruning": ("study", "pruning", study),
    }


def content(study: Path) -> dict[str, bytes]:
    """Every file but the driver's lock, which is empty."""
    files = (path for path in study.rglob("*") if path.is_file() and path.name != ".driver.lock")
    return {str(path.relative_to(study)): path.read_bytes() for path in files}


@pytest.mark.parametrize("command", ["search", "retime", "status", "report", "pruning"])
def test_a_storage_of_another_optuna_is_refused_in_one_line_and_left_as_it_is(study: Path, command: str) -> None:
    with closing(sqlite3.connect(study / "study.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = 'v9.0.0.a'")
        connection.execute("update version_info set library_version = '9.1.0'")
    before = content(study)
    done = stdc_lab(*commands(study)[command])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"error: {study / 'study.db'}: of another Optuna version: got schema 12, revision v9.0.0.a, by Optuna 9.1.0; "
        "allowed: schema 12, revision v"
    )
    assert "nothing was changed; update Optuna" in done.stderr
    assert content(study) == before


@pytest.mark.parametrize("command", ["search", "retime"])
def test_a_storage_that_may_not_be_written_ends_a_search_with_what_to_do(study: Path, command: str) -> None:
    with read_only(study / "study.db"):
        done = stdc_lab(*commands(study)[command])
    assert done.returncode == 2
    assert f"{study / 'study.db'}: cannot be written (attempt to write a readonly database)" in done.stderr
    assert "give the disk room, or the file write permission" in done.stderr


@pytest.mark.parametrize("command", ["search", "retime", "confirm"])
def test_a_folder_that_may_not_be_written_ends_a_search_with_what_to_do(study: Path, command: str) -> None:
    before = content(study)
    with read_only(study, study / "study.db"):
        done = stdc_lab(*commands(study)[command])
    assert done.returncode == 2
    advice = "use another --out" if command == "search" else "give yourself the right to write there"
    assert done.stderr.endswith(f"{study}: cannot be written: Permission denied; {advice}\n")
    assert content(study) == before


@pytest.mark.parametrize(
    ("command", "advice"), [("search", "wait for it or use another --out"), ("retime", ""), ("confirm", "")]
)
def test_a_folder_that_a_search_is_at_work_on_is_left_to_it(study: Path, command: str, advice: str) -> None:
    with driver_lock(study):
        done = stdc_lab(*commands(study)[command])
    assert done.returncode == 2
    assert done.stderr.endswith(f"another search is at work on this folder; {advice or 'wait for it'}\n")


@pytest.mark.parametrize("command", ["search", "confirm"])
def test_another_machine_is_sent_back_and_only_a_search_elsewhere(study: Path, command: str) -> None:
    done = stdc_lab(*commands(study)[command])
    assert done.returncode == 2
    assert "measured on another machine" in done.stderr
    assert done.stderr.endswith("): go on there, or use another --out\n" if command == "search" else "): go on there\n")


@pytest.mark.parametrize("command", ["status", "pruning", "report"])
def test_what_only_reads_needs_no_right_to_write(study: Path, command: str, tmp_path: Path) -> None:
    elsewhere = ("--out", tmp_path / "report") if command == "report" else ()
    with driver_lock(study):
        pass
    with read_only(study, *study.iterdir()):
        done = stdc_lab(*commands(study)[command], *elsewhere)
    assert done.returncode == 0, done.stderr


def test_a_report_into_a_folder_that_may_not_be_written_says_where_else(study: Path) -> None:
    with read_only(study):
        done = stdc_lab("report", study)
    assert done.returncode == 2
    assert f"{study / 'report'}: cannot be written: Permission denied; use another --out" in done.stderr
