"""The driver: Optuna proposes, trials run, nothing that is finished is lost."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState

from stdc_lab.analysis.frame import load_study, write_trials_csv
from stdc_lab.config.study import StudyConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.machine import choose_device, environment, usable_cores
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.search.folder import (
    CSV_FILE,
    RUNS_FOLDER,
    check_same_study,
    driver_lock,
    keep_config,
    open_study,
    read_record,
    storage_at_work,
)
from stdc_lab.search.objective import Candidate, run_trial
from stdc_lab.search.propose import draw_candidate, enqueue_references, make_sampler, tell
from stdc_lab.training import Progress

log = logging.getLogger(__name__)
MAX_FAILURES_IN_A_ROW = 3
MAX_DUPLICATES_IN_A_ROW = 30


class Watcher:
    """Hears what a search does; the command line shows it. Every method may be left out."""

    def started(self, folder: Path, done: int, wanted: int, device: torch.device) -> None:
        """A search begins (or goes on) with so many trials trained of so many wanted."""

    def data(self, what: str, done: int, total: int) -> None:
        """The data set's cache is being built."""

    def trial_started(self, candidate: Candidate, done: int, wanted: int) -> None:
        """A candidate is about to be timed and trained."""

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        """Its latency is known."""

    def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
        """An iteration of its training is done."""

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        """It is recorded; `duplicate_of` names the trial that had trained the same before."""

    def trial_failed(self, candidate: Candidate, reason: str) -> None:
        """It came to nothing."""


@dataclass(frozen=True)
class SearchOutcome:
    """What a call of `run_study` did."""

    folder: Path
    trained_before: int
    trained: int
    wanted: int


def run_study(
    config: StudyConfig,
    folder: str | Path,
    *,
    trials: int | None = None,
    data_path: Path | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> SearchOutcome:
    """Run a study in its folder until `trials` (the config's number if None) trials have been trained in all.

    Called again it goes on from what the folder holds. On KeyboardInterrupt the trial under way is given back
    to the queue, and everything finished is kept. Raises `StudyError` when the folder belongs to another
    study, and when trials fail in a row; `DataError` when the data cannot be had.
    """
    folder, watcher = Path(folder), watcher or Watcher()
    wanted = config.trials if trials is None else trials
    if wanted < 1:
        raise StudyError(f"--trials: got {wanted}; allowed: a whole number from 1")
    chosen_device = choose_device(device)
    check_same_study(config, folder)
    dataset = load_dataset(config.data, data_path, progress=watcher.data)
    with driver_lock(folder), storage_at_work(folder):
        study = open_study(config, folder)
        keep_config(config, folder)
        _requeue_abandoned(study)
        _check_fingerprint(study, chosen_device, config)
        before = count_trained(study)
        if before < wanted:
            enqueue_references(study, config)
        watcher.started(folder, before, wanted, chosen_device)
        try:
            _run(study, config, folder, wanted, dataset, chosen_device, watcher)
        finally:
            write_trials_csv(load_study(folder), folder / CSV_FILE)
        return SearchOutcome(folder, before, count_trained(study), wanted)


def count_trained(study: optuna.Study) -> int:
    """Trials that were trained: complete, and no repetition of another."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return sum("duplicate_of" not in trial.user_attrs for trial in study.get_trials(deepcopy=False, states=states))


def _run(
    study: optuna.Study,
    config: StudyConfig,
    folder: Path,
    wanted: int,
    dataset: Dataset,
    device: torch.device,
    watcher: Watcher,
) -> None:
    profiles = _known_profiles(study, folder)
    failures = duplicates = 0
    while (done := count_trained(study)) < wanted:
        study.sampler = make_sampler(config, len(study.get_trials(deepcopy=False)))
        trial = study.ask()
        try:
            candidate = draw_candidate(trial, config)
        except StdcLabError as error:  # left open, the same point would end every later call too
            trial.set_user_attr("reason", str(error))
            study.tell(trial, state=TrialState.FAIL)
            raise
        watcher.trial_started(candidate, done, wanted)
        try:
            known = _same_training(study, candidate.key(config), folder)
            record = known or run_trial(
                candidate,
                config,
                dataset,
                folder / RUNS_FOLDER,
                device,
                known_profile=profiles.get(candidate.spec.arch_id),
                on_profile=lambda cost, c=candidate: watcher.trial_timed(c, cost),  # type: ignore[misc]
                on_progress=lambda p, c=candidate: watcher.trial_progress(c, p),  # type: ignore[misc]
            )
            tell(study, trial, record, None if known is None else known.number)
        except KeyboardInterrupt:
            _give_back(study, trial.number, "interrupted")
            raise
        except Exception as error:
            log.debug("trial %d failed", trial.number, exc_info=True)
            reason = f"{type(error).__name__}: {error}" if not isinstance(error, StdcLabError) else str(error)
            trial.set_user_attr("reason", reason)
            study.tell(trial, state=TrialState.FAIL)
            watcher.trial_failed(candidate, reason)
            failures += 1
            if failures == MAX_FAILURES_IN_A_ROW:
                raise StudyError(f"{folder}: {failures} trials failed in a row, the last one: {reason}") from error
            continue
        failures = 0
        duplicates = 0 if known is None else duplicates + 1
        profiles[record.arch_id] = record.profile
        watcher.trial_finished(candidate, record, None if known is None else known.number)
        write_trials_csv(load_study(folder), folder / CSV_FILE)
        if duplicates == MAX_DUPLICATES_IN_A_ROW:
            raise StudyError(
                f"{folder}: the last {duplicates} proposals had all been trained before, with {done} of {wanted} "
                "trials trained: the search space holds hardly more; ask for fewer --trials or widen it"
            )


def _give_back(study: optuna.Study, number: int, reason: str) -> None:
    """Close a trial that was broken off, and put its point at the queue's end to be run anew."""
    frozen = study.trials[number]
    if frozen.state.is_finished():
        return
    reference = frozen.user_attrs.get("reference")
    # The enqueued point too, and first: broken off before all was suggested, it must not come back as a random one.
    point = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
    study.enqueue_trial(point, user_attrs={"reference": reference} if reference else None)
    trial = optuna.Trial(study, frozen._trial_id)
    trial.set_user_attr("reason", reason)
    study.tell(trial, state=TrialState.FAIL)


def _requeue_abandoned(study: optuna.Study) -> None:
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        _give_back(study, trial.number, "the search was ended during this trial")


def _same_training(study: optuna.Study, key: str, folder: Path) -> TrialRecord | None:
    """The record of a finished training with this key, so that nothing is trained twice."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.user_attrs.get("trial_key") == key and "duplicate_of" not in trial.user_attrs:
            return read_record(folder, key)
    return None


def _known_profiles(study: optuna.Study, folder: Path) -> dict[str, ProfileResult]:
    """Profiles by `arch_id` that finished trials of this study measured."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    records = [read_record(folder, trial.user_attrs["trial_key"]) for trial in finished]
    return {record.arch_id: record.profile for record in records if record is not None}


def _check_fingerprint(study: optuna.Study, device: torch.device, config: StudyConfig) -> None:
    """Latencies of unlike machines never enter one objective."""
    here = environment(device, config.latency.threads or usable_cores())
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        there = trial.user_attrs.get("fingerprint")
        if there is not None and there != here.fingerprint:
            raise StudyError(
                f"this study's latencies were measured on another machine, device or PyTorch (fingerprint {there}; "
                f"here: {here.fingerprint}, {here.processor}, torch {here.torch}): go on there, or use another --out"
            )
