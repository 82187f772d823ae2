"""Opening a study's storage to write into it, made where it is not there yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from sqlalchemy.exc import SQLAlchemyError

from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.files import remove_leftovers, writing
from stdc_lab.storage.notes import StudyNotes
from stdc_lab.storage.reading import STORAGE_FILE, read_storage

STORAGE_WAIT_S = 60.0


@contextmanager
def storage_at_work(folder: Path) -> Iterator[None]:
    """Say plainly that a folder's storage cannot be written: full, read-only, or held by another program."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        reason = str(getattr(cause, "orig", None) or error).strip().splitlines()[0]
        raise StudyError(
            f"{folder / STORAGE_FILE}: cannot be written ({reason}); what was finished before is kept: give the disk "
            "room, or the file write permission, and call the search again"
        ) from error


def open_study(config: StudyConfig, folder: Path) -> optuna.Study:
    """The study in a folder's storage, made if it is not there. Raises `StudyError` if the file is no storage."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / STORAGE_FILE
    if path.exists():
        read_storage(folder)  # says what is wrong with a file that is none, and writes nothing into it
    else:
        # Made beside its place: killed at this moment, a search leaves no storage rather than half of one.
        remove_leftovers(path)
        with writing(path, StudyError) as partial:
            storage = _storage_at(partial)
            StudyNotes(objectives=[str(objective) for objective in config.objectives]).write(_study_in(storage, config))
            storage.remove_session()
            storage.engine.dispose()
    return _study_in(_storage_at(path), config)


def _storage_at(path: Path) -> optuna.storages.RDBStorage:
    # A connection made here, not a URL: a path with a percent or question mark in it would be taken apart.
    connect = {"creator": lambda: sqlite3.connect(path, timeout=STORAGE_WAIT_S)}
    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=connect)


def _study_in(storage: optuna.storages.RDBStorage, config: StudyConfig) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=config.name,
        directions=["maximize" if objective.maximize else "minimize" for objective in config.objectives],
        load_if_exists=True,
    )
