"""The architectures of a study timed anew, in one quiet pass: finished ones, and those that a latency screened out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna

from stdc_lab.analysis.frame import load_study, write_trials_csv
from stdc_lab.arch import ArchSpec
from stdc_lab.config.figures import figure_of
from stdc_lab.config.study import StudyConfig
from stdc_lab.data.kinds import num_classes
from stdc_lab.deploy.runtimes import check_runtime
from stdc_lab.errors import StudyError
from stdc_lab.hardware.devices import choose_device
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.records import Environment, LatencyResult
from stdc_lab.search.folder import (
    CSV_FILE,
    PROFILES_FOLDER,
    driver_lock,
    keep_profile,
    read_profile,
    read_record,
    study_profile_key,
)
from stdc_lab.search.groups import time_in_groups
from stdc_lab.search.ledger import Ledger
from stdc_lab.storage import (
    STUDY_FILE,
    StoredTrial,
    StudyNotes,
    TrialNotes,
    enqueue,
    open_study,
    read_study_config,
    storage_at_work,
    trials_of,
)

log = logging.getLogger(__name__)


def retime_study(
    folder: str | Path,
    *,
    device: str = "auto",
    on_progress: Callable[[float], None] | None = None,
    say: Callable[[str], None] = log.warning,
) -> dict[str, LatencyResult]:
    """Time the finished architectures of a study anew, and those that a latency had screened out; keep the figures in
    the study, where `load_study` finds them.

    They take turns, see `time_in_groups`: drift of the machine falls on all alike, which a latency measured hours after
    another cannot promise. Later trials of these architectures are given the new latency too. A candidate that had been
    screened out, and by its new latency breaks no bound, is queued again: the next search trains it. `say` hears what
    is missing, what making the study's runtime took, and how many were queued.

    Raises `StudyError` for a folder without a finished trial, and where nothing tells the number of classes;
    `ConfigError` where the study's runtime cannot be had.
    """
    folder = Path(folder)
    config = read_study_config(folder)
    chosen = choose_device(device)
    check_runtime(config.latency, chosen, str(folder / STUDY_FILE))
    with driver_lock(folder, tied=True), storage_at_work(folder):
        study = open_study(config, folder)
        finished = trials_of(study, "COMPLETE")
        if not finished:
            raise StudyError(f"{folder}: no finished trial to time; run the search first")
        here = environment(chosen, config.latency.threads or default_threads())
        there = {trial.notes.fingerprint for trial in finished} - {here.fingerprint, None}
        if there:
            raise StudyError(
                f"{folder}: its latencies were measured on another machine, device or PyTorch "
                f"(fingerprint {', '.join(sorted(map(str, there)))}; here: {here.fingerprint}): time it there"
            )
        screened = _screened_by_latency(study, config, here)
        specs = _architectures(finished, screened, say)
        classes = _num_classes(study, config, folder, finished, say)
        measured = time_in_groups(specs, config.latency, classes, chosen, config.latency_reference, on_progress)
        made = [one.making_s for one in measured.values() if one.making_s is not None]
        if made:
            say(f"made in {config.latency}: {len(made)} in {sum(made):.0f} s, which no latency holds")
        StudyNotes(
            retimed={key: value.model_dump(mode="json") for key, value in measured.items()},
            retimed_on=environment(chosen, next(iter(measured.values())).threads).model_dump(mode="json"),
            retimed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ).write(study)
        for arch_id, latency in measured.items():
            key = study_profile_key(config, arch_id, here, classes)
            known = read_profile(folder, key)
            if known is not None:
                keep_profile(folder, key, known.replace(latency=latency))
        back = _queue_again(study, folder, screened)
        if back:
            say(
                f"{back} that a latency had screened out may meet the bounds, by the new timing: queued again, and "
                "trained first by the next search (with more --trials, where all that it wants are trained)"
            )
        write_trials_csv(load_study(folder), folder / CSV_FILE)
    return measured


def _screened_by_latency(study: optuna.Study, config: StudyConfig, here: Environment) -> list[StoredTrial]:
    """The candidates that a latency measured on this machine had screened out, and nothing else."""
    on_latency = {str(one) for one in config.constraints if figure_of(one.figure).scatters}
    found = []
    for trial in trials_of(study, "PRUNED"):
        broken = {name for name, excess in trial.constraints.items() if excess > 0}
        notes = trial.notes
        on_this = notes.fingerprint in (here.fingerprint, None)
        if notes.screened and "latency_ms" in notes.figures and broken <= on_latency and on_this:
            found.append(trial)
    return found


def _architectures(
    finished: Iterable[StoredTrial], screened: Iterable[StoredTrial], say: Callable[[str], None]
) -> dict[str, ArchSpec]:
    """By `arch_id`. Raises `StudyError` where no trial says what its network is."""
    specs, missing = {}, []
    for trial in (*finished, *screened):
        if trial.notes.arch is not None:
            spec = ArchSpec.from_dict(trial.notes.arch)
            specs[spec.arch_id] = spec
        else:
            missing.append(f"#{trial.number}")
    if not specs:
        raise StudyError(f"no trial says what its network is ({', '.join(missing)}): there is nothing to time")
    if missing:
        say(f"not timed, for they do not say what their network is: {', '.join(missing)}")
    return specs


def _num_classes(
    study: optuna.Study,
    config: StudyConfig,
    folder: Path,
    finished: Sequence[StoredTrial],
    say: Callable[[str], None],
) -> int:
    """How many classes the study's networks tell apart: as the study says, or, where an older version wrote it, its
    records, its profiles, its data set. Raises `StudyError` where none does."""
    if (noted := StudyNotes.read(study).num_classes) is not None:
        return noted
    for trial in finished:
        key = str(trial.notes.trial_key)
        record = read_record(folder, key)
        if record is not None:
            return record.profile.num_classes
        say(f"the record of trial {trial.number} is gone: runs/{key}/trial.json")
    for path in sorted((folder / PROFILES_FOLDER).glob("*.json")):
        profile = read_profile(folder, path.stem)
        if profile is not None:
            return profile.num_classes
    if (classes := num_classes(config.data)) is not None:
        return classes
    raise StudyError(
        f"{folder}: how many classes its networks tell apart is not known: the records of its finished trials "
        f"(runs/*/trial.json) and its profiles are gone. Put one back, or call the search again, which notes it"
    )


def _queue_again(study: optuna.Study, folder: Path, screened: Sequence[StoredTrial]) -> int:
    """Queue the screened-out candidates that are not known to break a bound any more, each training once; gives how
    many."""
    trials = trials_of(study)
    keys = set(Ledger(study).number_of)
    for trial in trials:
        if not trial.is_finished:
            keys.add(str(trial.notes.trial_key))
            if (before := trial.notes.screened_before) is not None:
                keys.add(str(trials[before].notes.trial_key))
    frame = load_study(folder)
    feasible = set(frame.loc[frame["feasible"] & frame["retimed"], "number"])
    back = 0
    for trial in screened:
        key = str(trial.notes.trial_key)
        if trial.number in feasible and key not in keys:
            keys.add(key)
            enqueue(study, trial.params, TrialNotes(screened_before=trial.number))
            back += 1
    return back
