"""Which study is read, and what is said of one that cannot be."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study, read_study_config
from stdc_lab.errors import ConfigError, StudyError
from tests.study_folder import (
    add_complete,
    add_unfinished,
    open_study,
    some_params,
    study_config,
)


def test_a_storage_url_gives_the_same_frame_as_its_folder(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.6, latency_ms=20.0, params=some_params(1))
    by_url = load_study(f"sqlite:///{tmp_path / 'study.db'}")
    pd.testing.assert_frame_equal(by_url, load_study(tmp_path)[by_url.columns], check_like=True)


def test_reading_changes_no_file(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    load_study(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.fixture
def two_studies(tmp_path):
    for name in ("first", "second"):
        with open_study(tmp_path, study_config(name=name)) as study:
            add_unfinished(study, study_config(), TrialState.FAIL, reason=name)
    return tmp_path


def test_of_several_studies_one_has_to_be_named(two_studies):
    url = f"sqlite:///{two_studies / 'study.db'}"
    with pytest.raises(StudyError, match=r"holds several studies; give study_name, one of: first, second"):
        load_study(url)
    with pytest.raises(StudyError, match=r"no study 'third' in it; there: first, second"):
        load_study(url, study_name="third")
    assert load_study(url, study_name="first")["reason"].tolist() == ["first"]
    assert load_study(two_studies)["reason"].tolist() == ["second"], "the folder's study.yaml names its own"


def test_a_missing_folder_is_said_and_not_made(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere: no such folder; give a folder that `stdc-lab search` wrote"):
        load_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match=r"no study\.db in it"):
        load_study(tmp_path)
    with pytest.raises(StudyError, match=r"other\.db: no such file"):
        load_study(f"sqlite:///{tmp_path / 'other.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "study.db").touch()
    with pytest.raises(StudyError, match=r"study\.db: a file; give the study's folder"):
        load_study(tmp_path / "study.db")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"study\.db: not an SQLite database: got an empty file"),
        (b"Hello, world, this is text", r"not an SQLite database: got a file that begins with b'Hello"),
        (b"SQLite format 3\0" + b"\x07" * 4096, r"cannot be read as an Optuna storage \(.*(database|file).*\)"),
    ],
)
def test_a_file_that_is_no_database_is_said_and_left_alone(tmp_path, content, message):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(StudyError, match=message) as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "study.db").read_bytes() == content


def test_a_cut_off_database_is_said(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.6, latency_ms=20.0, params=some_params(1))
    whole = (tmp_path / "study.db").read_bytes()
    (tmp_path / "study.db").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudyError, match=r"study\.db: (cannot be read as|not) an Optuna storage") as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_foreign_database_is_said_and_gets_no_tables(tmp_path):
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table birds (name text)")
        connection.commit()
    content = path.read_bytes()
    with pytest.raises(StudyError, match="not an Optuna storage: got tables birds"):
        load_study(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "update alembic_version set version_num = 'v3.0.0.d'",
            r"got schema 12, revision v3.0.0.d, by .*upgrade --s",
        ),
        (
            "update alembic_version set version_num = 'v9.0.0.a'",
            r"got schema 12, revision v9.0.0.a, by .*update O",
        ),
        ("update version_info set schema_version = 99", r"got schema 99, revision v3\S+, by Optuna 5.*update Optuna"),
        ("delete from alembic_version", r"got schema 12, revision none, by Optuna 5.*storage upgrade --storage"),
        ("drop table alembic_version", r"got schema 12, revision none, by Optuna 5.*storage upgrade --storage"),
        ("delete from version_info", r"got schema unknown, revision v3\S+, by Optuna unknown; allowed: schema 12,"),
    ],
)
def test_a_storage_of_another_optuna_is_said_and_not_written(tmp_path, change, message):
    with open_study(tmp_path, study_config()):
        pass
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    content = path.read_bytes()
    with pytest.raises(StudyError, match=rf"study\.db: of another Optuna version: {message}") as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_storage_without_a_study_is_said(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    storage.engine.dispose()
    with pytest.raises(StudyError, match="holds no study; run `stdc-lab search` first"):
        load_study(tmp_path)


def test_a_study_with_other_objectives_is_said(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(study_name="one", storage=storage, direction="minimize")
    storage.engine.dispose()
    with pytest.raises(StudyError, match=r"has the directions minimize; allowed: those of miou, latency_ms"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("nonsense://x", "cannot be read as an Optuna storage"),
        ("://", "not the URL of a storage"),
    ],
)
def test_urls_that_lead_nowhere(url, message):
    with pytest.raises(StudyError, match=message):
        load_study(url)


def test_a_password_in_a_url_is_not_shown():
    with pytest.raises(StudyError) as caught:
        load_study("postgresql+nodriver://me:secret@localhost/x")
    assert "secret" not in str(caught.value)


def test_read_study_config(folder, tmp_path):
    assert read_study_config(folder) == study_config()
    with pytest.raises(StudyError, match=r"no study\.yaml in it"):
        read_study_config(tmp_path)
    (tmp_path / "study.yaml").write_text("name: x\nspaec: y\n")
    with pytest.raises(ConfigError, match="spaec"):
        read_study_config(tmp_path)
