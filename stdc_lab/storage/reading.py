"""Opening a study's storage to read it, and saying plainly why it cannot be."""

from __future__ import annotations

import shlex
import sqlite3
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import sqlalchemy
from optuna.storages._rdb.models import SCHEMA_VERSION
from sqlalchemy.exc import SQLAlchemyError

from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, Objective, parse_objective
from stdc_lab.config.reading import read_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.storage.notes import StudyNotes
from stdc_lab.storage.trials import StoredTrial

STUDY_FILE, STORAGE_FILE = "study.yaml", "study.db"
OPTUNA_TABLES = {"studies", "trials", "version_info"}
LOCK_WAIT_S = 60.0
"""How long to wait for a search that is just writing."""
SQLITE_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class Place:
    """A database: its URL, and what SQLAlchemy's `create_engine` is to be told beside it."""

    url: str
    engine: dict[str, Any]


class Written(NamedTuple):
    """What a storage says of the Optuna that wrote it; None where it says nothing."""

    library: str | None = None
    schema: int | None = None
    revision: str | None = None
    """Of the schema, by Optuna's migrations."""


@dataclass(frozen=True)
class StoredStudy:
    """What a storage holds of one study."""

    name: str
    trials: tuple[StoredTrial, ...]
    notes: StudyNotes
    config: StudyConfig | None
    """The study.yaml beside the storage; None for a storage without one."""
    objectives: tuple[Objective, ...] = DEFAULT_OBJECTIVES
    """What the values of its trials are, in their order."""


def read_study_config(folder: str | Path) -> StudyConfig:
    """The study.yaml of a study's folder.

    Raises `StudyError` if it is not there, `ConfigError` if it does not say what a study may say.
    """
    path = _existing_folder(Path(folder)) / STUDY_FILE
    if not path.is_file():
        raise StudyError(f"{folder}: no {STUDY_FILE} in it; give a folder that `stdc-lab search` wrote")
    return read_study(path)


def read_storage(folder_or_url: str | Path, study_name: str | None = None) -> StoredStudy:
    """A study as its storage holds it, from a study's folder or a storage's URL. Nothing is written or made.

    study_name: needed only where a storage holds several studies; a folder's study.yaml names its own.
    Raises `StudyError` if there is no such storage, if it is not Optuna's or of another version, or does not hold the
    study.
    """
    given = str(folder_or_url)
    config = None
    if "://" in given:
        shown, place = _shown_url(given), _place_of(given)
    else:
        folder = _existing_folder(Path(folder_or_url))
        config = read_study_config(folder) if (folder / STUDY_FILE).is_file() else None
        path = folder / STORAGE_FILE
        if not path.is_file():
            raise StudyError(f"{folder}: no {STORAGE_FILE} in it; give a folder that `stdc-lab search` wrote")
        shown, place = str(path), _sqlite_place(path)
    try:
        return _read(place, shown, study_name, config)
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, KeyError, ValueError) as error:
        problem = str(getattr(error, "orig", None) or error.__cause__ or error).strip().splitlines()
        raise StudyError(
            f"{shown}: cannot be read as an Optuna storage ({problem[0] if problem else type(error).__name__}); "
            "put back a copy, or run the study anew in another folder"
        ) from error
    except ImportError as error:
        raise StudyError(f"{shown}: the driver of this kind of database is not installed: {error}") from error


class StudyReader:
    """A study's folder that is read again and again: what is finished is taken from its storage once.

    Raises `StudyError` when it is made, as `read_storage` does.
    """

    def __init__(self, folder: Path) -> None:
        self._config = read_study_config(folder)
        self._shown = str(folder / STORAGE_FILE)
        self._storage = _open(_sqlite_place(folder / STORAGE_FILE), self._shown)
        self._finished: dict[int, StoredTrial] = {}
        # Optuna keeps the finished trials of a study that stays open.
        self._study = optuna.load_study(
            study_name=self._config.name, storage=self._storage, sampler=optuna.samplers.RandomSampler()
        )

    def read(self) -> StoredStudy:
        """The study as it is now."""
        return _stored(self._study, self._config, self._shown, self._finished)

    def close(self) -> None:
        """Let go of the storage."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def _read(place: Place, shown: str, study_name: str | None, config: StudyConfig | None) -> StoredStudy:
    storage = _open(place, shown)
    try:
        names = optuna.get_all_study_names(storage)
        wanted = study_name or _only_or_own(names, config, shown)
        if wanted not in names:
            raise StudyError(f"{shown}: no study {wanted!r} in it; there: {', '.join(names) or 'none'}")
        study = optuna.load_study(study_name=wanted, storage=storage, sampler=optuna.samplers.RandomSampler())
        return _stored(study, config, shown, {})
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _stored(
    study: optuna.Study, config: StudyConfig | None, shown: str, finished: dict[int, StoredTrial]
) -> StoredStudy:
    """finished: the finished trials that were read before, by number; added to."""
    own = config if config is not None and config.name == study.study_name else None
    trials = []
    try:
        notes = StudyNotes.read(study)
        for there in study.get_trials(deepcopy=False):
            trial = finished.get(there.number) or StoredTrial.of(there)
            if trial.is_finished:
                finished[trial.number] = trial
            trials.append(trial)
    except StudyError as error:
        raise StudyError(f"{shown}: {error}") from error
    return StoredStudy(study.study_name, tuple(trials), notes, own, _objectives(study, notes.objectives, shown))


def _objectives(study: optuna.Study, noted: list[str] | None, shown: str) -> tuple[Objective, ...]:
    """What a study's values are, as it says itself; mIoU and latency where it says nothing."""
    try:
        objectives = DEFAULT_OBJECTIVES if noted is None else tuple(map(parse_objective, noted))
    except (TypeError, ValueError) as error:
        raise StudyError(f"{shown}: its note of the objectives cannot be read: {error}") from error
    wanted = [one.maximize for one in objectives]
    if [direction.name == "MAXIMIZE" for direction in study.directions] != wanted:
        got = ", ".join(direction.name.lower() for direction in study.directions)
        raise StudyError(
            f"{shown}: study {study.study_name!r} has the directions {got}; allowed: those of "
            f"{', '.join(map(str, objectives))}, as `stdc-lab search` makes them"
        )
    return objectives


def _only_or_own(names: list[str], config: StudyConfig | None, shown: str) -> str:
    """The study to read where none was named: the folder's own, or the only one there is."""
    if config is not None and (config.name in names or not names):
        return config.name
    if len(names) == 1:
        return names[0]
    if not names:
        raise StudyError(f"{shown}: holds no study; run `stdc-lab search` first")
    raise StudyError(f"{shown}: holds several studies; give study_name, one of: {', '.join(sorted(names))}")


def _open(place: Place, shown: str) -> optuna.storages.RDBStorage:
    """Optuna's view of a database. Raises `StudyError` for one into which Optuna would write on opening it."""
    written = _written_by(place, shown)
    if None in written or written.schema != SCHEMA_VERSION:
        raise _other_version(written, shown)
    try:
        return optuna.storages.RDBStorage(place.url, engine_kwargs=place.engine, skip_table_creation=True)
    except RuntimeError as error:  # so it says of a revision that is not its own
        raise _other_version(written, shown) from error


def _written_by(place: Place, shown: str) -> Written:
    """Which Optuna wrote a database. Raises `StudyError` for one without Optuna's tables."""
    engine = sqlalchemy.create_engine(place.url, **place.engine)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        if not tables >= OPTUNA_TABLES:
            got = f"tables {', '.join(sorted(tables))[:200]}" if tables else "an empty database"
            raise StudyError(f"{shown}: not an Optuna storage: got {got}; give a study.db that `stdc-lab search` wrote")
        with engine.connect() as connection:
            info = connection.execute(sqlalchemy.text("SELECT library_version, schema_version FROM version_info"))
            library, schema = info.first() or (None, None)
            revision = None
            if "alembic_version" in tables:
                revision = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
        return Written(library, schema, revision)
    finally:
        engine.dispose()


def _other_version(written: Written, shown: str) -> StudyError:
    """What to say of a storage whose schema is not that of the Optuna here."""
    here = optuna.storages.RDBStorage("sqlite://")  # in memory; nothing else tells the revisions
    known = [None, *here.get_all_versions()]
    url = shown if "://" in shown else f"sqlite:///{shown}"
    what_to_do = f"keep a copy of it, then: optuna storage upgrade --storage {shlex.quote(url)}"
    if written.revision not in known or (written.schema or 0) > SCHEMA_VERSION:
        what_to_do = "update Optuna (pip install -U optuna), or run the study anew in another folder"
    return StudyError(
        f"{shown}: of another Optuna version: got schema {written.schema or 'unknown'}, revision "
        f"{written.revision or 'none'}, by Optuna {written.library or 'unknown'}; allowed: schema {SCHEMA_VERSION}, "
        f"revision {here.get_head_version()}, as Optuna {optuna.__version__} writes it; nothing was changed; "
        f"{what_to_do}"
    )


def _existing_folder(folder: Path) -> Path:
    if folder.is_file():
        raise StudyError(f"{folder}: a file; give the study's folder, or a storage's URL such as sqlite:///{folder}")
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; give a folder that `stdc-lab search` wrote")
    return folder


def _place_of(url: str) -> Place:
    """Where a URL leads. Raises `StudyError` for one that is no URL or names no file."""
    try:
        parsed = sqlalchemy.make_url(url)
    except SQLAlchemyError as error:
        raise StudyError(
            f"{url}: not the URL of a storage; give a folder, or such as sqlite:///runs/x/study.db"
        ) from error
    if parsed.get_backend_name() != "sqlite" or (parsed.database or "").startswith("file:"):
        return Place(url, {})
    if parsed.database in (None, "", ":memory:"):
        raise StudyError(f"{url}: names no file; give such as sqlite:///runs/x/study.db")
    return _sqlite_place(Path(str(parsed.database)))


def _sqlite_place(path: Path) -> Place:
    """An SQLite file, opened without making one. Raises `StudyError` if the file is no database."""
    if not path.is_file():
        raise StudyError(f"{path}: no such file; give the storage of a study, such as runs/x/{STORAGE_FILE}")
    try:
        with path.open("rb") as file:
            start = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {error.strerror}") from error
    if start != SQLITE_MAGIC:
        got = "an empty file" if not start else f"a file that begins with {start!r}"
        raise StudyError(f"{path}: not an SQLite database: got {got}; put back a copy, or run the study anew")
    # rw, not ro: a reader has to be able to roll back what a killed writer left half done. A connection made
    # here, not a URL: SQLAlchemy's versions take a path with a percent or question mark apart differently.
    uri = f"file:{urllib.parse.quote(str(path.resolve()))}?mode=rw"
    return Place("sqlite:///study.db", {"creator": lambda: sqlite3.connect(uri, uri=True, timeout=LOCK_WAIT_S)})


def _shown_url(url: str) -> str:
    """The URL without its password."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return url
