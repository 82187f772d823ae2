"""A study's folder: its storage, its lock, its study.yaml, the records of its runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import filelock
import optuna
from pydantic import ValidationError

from stdc_lab.config.reading import differences, read_study, yaml_text
from stdc_lab.config.study import StudyConfig
from stdc_lab.data import Dataset
from stdc_lab.errors import StudyError
from stdc_lab.files import read_bytes, write_text
from stdc_lab.records import Environment, ProfileResult, TrialRecord, profile_key
from stdc_lab.storage import STORAGE_FILE, STUDY_FILE, StudyNotes, read_storage

LOCK_WAIT_S = 1.0
"""For a `study status` that looks at the lock in this very moment; another search keeps it for longer."""
OR_ELSEWHERE = " or use another --out"
FREE_TO_CHANGE = ("trials", "title", "stale_trials", "plan.control")
RUNS_FOLDER, PROFILES_FOLDER, CSV_FILE = "runs", "profiles", "trials.csv"
Kept = TypeVar("Kept", TrialRecord, ProfileResult)


@contextmanager
def driver_lock(folder: Path, *, tied: bool = False) -> Iterator[None]:
    """Let one driver at a time work on a folder. Raises `StudyError` for a second one.

    tied: the work is on what this folder holds, so that another `--out` is no way out.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".driver.lock")
        lock.acquire(timeout=LOCK_WAIT_S)
    except filelock.Timeout:
        raise StudyError(
            f"{folder}: another search is at work on this folder; wait for it" + ("" if tied else OR_ELSEWHERE)
        ) from None
    except OSError as error:
        advice = "give yourself the right to write there" if tied else "use another --out"
        raise StudyError(f"{folder}: cannot be written: {error.strerror}; {advice}") from error
    try:
        yield
    finally:
        lock.release()


def check_same_study(config: StudyConfig, folder: Path) -> None:
    """Raise `StudyError` if the folder's study.yaml asks something else, with what changed and what to do.

    The number of trials may differ; a plan may have more arms and seeds than before. As long as nothing was trained,
    anything may differ, see `set_aside`.
    """
    path = folder / STUDY_FILE
    changed = _changes(config, folder)
    if not changed or not _has_trained(folder):
        return
    what = "begun with another study"
    advice = "Use another --out, or put back"
    if all(key.startswith("space.") for key, _ in changed):
        what = f"begun with another search space, from which its {len(read_storage(folder).trials)} trials come"
        advice = (
            "For the new space use another --out: networks of the old study can come along under `networks:`. To go on "
            "here, put back"
        )
    raise StudyError(
        f"{path}: this folder was {what}; nothing was changed. {advice}:\n  " + "\n  ".join(line for _, line in changed)
    )


def set_aside(config: StudyConfig, folder: Path) -> Path | None:
    """Rename the storage and the study.yaml of a study that asked something else and trained nothing; gives the
    storage's new path, None if there is none to rename.

    What it screened out would be told to the sampler as breaking limits that do not hold any more.
    """
    if not _changes(config, folder) or not (folder / STORAGE_FILE).exists() or _has_trained(folder):
        return None
    number = 1
    while (aside := folder / f"study.before-{number}.db").exists():
        number += 1
    (folder / STORAGE_FILE).rename(aside)
    (folder / STUDY_FILE).rename(aside.with_suffix(".yaml"))
    return aside


def _changes(config: StudyConfig, folder: Path) -> list[tuple[str, str]]:
    """The keys that differ from the folder's study.yaml and must not once something was trained, and how, in words."""
    path = folder / STUDY_FILE
    if not path.exists():
        return []
    old = read_study(path)
    return [
        (key, f"{key}: was {was!r}, is {now!r}")
        for key, was, now in differences(old.model_dump(mode="json"), config.model_dump(mode="json"))
        if key not in FREE_TO_CHANGE and not _extends_plan(old, config, key)
    ]


def _has_trained(folder: Path) -> bool:
    return (folder / STORAGE_FILE).exists() and any(trial.is_trained for trial in read_storage(folder).trials)


def _extends_plan(old: StudyConfig, new: StudyConfig, key: str) -> bool:
    """Whether a difference is one of more arms or seeds, or of the columns that follow from them."""
    if old.plan is None or new.plan is None:
        return False
    if key == "plan.seeds":
        return set(old.plan.seeds) <= set(new.plan.seeds)
    name = key.removeprefix("plan.arms.").split(".")[0]
    return key.startswith("space.") or (key.startswith("plan.arms.") and name not in old.plan.arms)


def check_same_data(study: optuna.Study, dataset: Dataset, folder: Path, *, tied: bool = False) -> None:
    """Raise `StudyError` if the study was begun with other images or labels: its trials would be of unlike data.

    tied: see `driver_lock`.
    """
    said = f"{len(dataset.train)} training and {len(dataset.val)} validation images of {dataset.name}"
    seen = json.dumps([dataset.train.names, dataset.val.names, dataset.train.images.shape, dataset.class_names])
    named = hashlib.sha256(seen.encode()).hexdigest()[:10]
    here = {"what": said, "digest": named, "contents": dataset.contents}
    noted = StudyNotes.read(study)
    if noted.num_classes is None:
        StudyNotes(num_classes=len(dataset.class_names)).write(study)
    there = noted.data_set
    if there is not None and {**here, **there} != here:
        other = "digest" if there["digest"] != named else "contents"
        raise StudyError(
            f"{folder}: this folder was begun with other data: was {there['what']} ({there[other]}), is {said} "
            f"({here[other]}); nothing was changed. Give the --data it was begun with"
            + ("" if tied else f",{OR_ELSEWHERE}")
        )
    if there != here:  # a study from before contents were looked at says nothing of them
        StudyNotes(data_set=here).write(study)


def keep_config(config: StudyConfig, folder: Path) -> None:
    """Write the study as it is run, its space and defaults included."""
    write_text(folder / STUDY_FILE, yaml_text(config), StudyError)


def read_record(folder: Path, key: str) -> TrialRecord | None:
    """What a finished trial's folder holds; None if its files are gone."""
    path = folder / RUNS_FOLDER / key / "trial.json"
    advice = f"put back a copy, or remove {path.parent} to have it trained anew when it is proposed again"
    return _read(path, TrialRecord, "a trial's record", advice)


def study_profile_key(config: StudyConfig, arch_id: str, machine: Environment, num_classes: int) -> str:
    """The `profile_key` of a network as a study times it on this machine."""
    beside = config.latency_reference
    return profile_key(
        arch_id,
        machine,
        num_classes=num_classes,
        input_shape=config.latency.input_shape,
        runtime=config.latency.runtime,
        dtype=config.latency.dtype,
        compared_with=None if beside is None else beside[1].arch_id,
    )


def read_profile(folder: Path, key: str) -> ProfileResult | None:
    """What the network of a `profile_key` costs, if it was measured in this study."""
    path = folder / PROFILES_FOLDER / f"{key}.json"
    return _read(path, ProfileResult, "a profile", "remove it to have it measured anew")


def keep_profile(folder: Path, key: str, profile: ProfileResult) -> None:
    """Keep a profile for the other trials of its network."""
    (folder / PROFILES_FOLDER).mkdir(exist_ok=True)
    write_text(folder / PROFILES_FOLDER / f"{key}.json", profile.model_dump_json(indent=1), StudyError)


def _read(path: Path, kind: type[Kept], what: str, advice: str) -> Kept | None:
    try:
        return kind.model_validate_json(read_bytes(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StudyError(f"{path}: not {what} ({type(error).__name__}); {advice}") from error
