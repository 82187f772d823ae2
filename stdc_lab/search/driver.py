"""The driver: Optuna proposes, workers train, nothing that is finished is lost. It alone talks to the storage."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch

from stdc_lab.analysis.frame import load_study, write_trials_csv
from stdc_lab.analysis.space_survey import refuse_hopeless
from stdc_lab.config.study import StudyConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.deploy.runtimes import check_runtime
from stdc_lab.errors import StudyError
from stdc_lab.hardware.devices import choose_device, choose_dtype
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.records import Circumstances, Environment
from stdc_lab.search.confirm import Confirmation, enqueue_confirmation
from stdc_lab.search.crew import Crew
from stdc_lab.search.folder import (
    CSV_FILE,
    OR_ELSEWHERE,
    check_same_data,
    check_same_study,
    driver_lock,
    keep_config,
    set_aside,
)
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.loop import Search
from stdc_lab.search.objectives import check_classes
from stdc_lab.search.propose import enqueue_known
from stdc_lab.search.scoring import find_scorer
from stdc_lab.search.stopping import Stop
from stdc_lab.search.watcher import Watcher
from stdc_lab.storage import STORAGE_FILE, open_study, storage_at_work, take_up_abandoned, trials_of


@dataclass(frozen=True)
class SearchOutcome:
    """What a call of `run_study` did."""

    folder: Path
    trained_before: int
    trained: int
    wanted: int
    ended: str | None = None
    """Why it ended before `wanted` trials were trained."""


def run_study(
    config: StudyConfig,
    folder: str | Path,
    *,
    trials: int | None = None,
    data_path: Path | None = None,
    device: str = "auto",
    devices: Sequence[str] = (),
    jobs: int | None = None,
    max_hours: float | None = None,
    confirm: Confirmation | None = None,
    crew: Crew | None = None,
    watcher: Watcher | None = None,
) -> SearchOutcome:
    """Run a study in its folder until `trials` (the config's number if None) trials have been trained in all.

    Called again it goes on from what the folder holds. `jobs` trials run at once (one for each device if None), each
    in a process of its own, shared out over `devices` (`device` if there are none). After `max_hours` the trials under
    way are given back to the queue, their trainings' states kept. Ctrl-C once: the trials under way are finished;
    twice, or SIGTERM: they are given back; both end in KeyboardInterrupt.

    confirm: run no new trials, but train the front's members and near ties again with fresh seeds; the numbers of the
    outcome are then of these trainings.

    crew: workers that are there already, and stay; `jobs` and the devices are then theirs.
    Raises `StudyError` when the folder belongs to another study, and when trials fail in a row; `ConfigError` for a
    runtime that cannot be had here; `DataError` when the data cannot be had.
    """
    folder, watcher = Path(folder), watcher or Watcher()
    wanted = config.total_trials if trials is None else trials
    if wanted < 1:
        raise StudyError(f"--trials: got {wanted}; allowed: a whole number from 1")
    if jobs is not None and jobs < 1:
        raise StudyError(f"--jobs: got {jobs}; allowed: a whole number from 1")
    if max_hours is not None and not max_hours > 0:
        raise StudyError(f"--max-hours: got {max_hours:g}; allowed: a number above 0")
    chosen = [choose_device(name) for name in devices or (device,)]
    if crew is not None:
        chosen = [torch.device(worker.device) for worker in crew.workers]
    for one in chosen:
        check_runtime(config.latency, one, config.name)
    confirming = confirm is not None
    if confirming and not (folder / STORAGE_FILE).exists():
        raise StudyError(f"{folder}: no study to confirm; run the search first")
    find_scorer(config.scorer)
    check_same_study(config, folder)
    dataset = load_dataset(config.data, data_path, progress=watcher.data)
    check_classes(config, dataset.class_names)
    with ExitStack() as stack:
        stack.enter_context(driver_lock(folder, tied=confirming))
        stack.enter_context(storage_at_work(folder))
        aside = set_aside(config, folder)
        if aside is not None:
            watcher.set_aside(aside)
        study = open_study(config, folder)
        check_same_data(study, dataset, folder, tied=confirming)
        keep_config(config, folder)
        take_up_abandoned(study)
        machines = _machines(study, chosen, config, tied=confirming)
        before = Ledger(study).trained
        if confirm is not None:
            before = Ledger(study).confirmed
            wanted = enqueue_confirmation(study, config, folder, confirm)
        elif before < wanted:
            if config.plan is None:
                refuse_hopeless(config.space, config.train, len(dataset.class_names))
            enqueue_known(study, config)
        watcher.started(folder, before, wanted, chosen[0])
        stop = stack.enter_context(Stop(max_hours))
        crew = crew or stack.enter_context(Crew(jobs or len(chosen), chosen))
        classes = len(dataset.class_names)
        here = circumstances(dataset, chosen[0])  # all devices are of one kind, see `_machines`
        search = Search(study, config, folder, wanted, data_path, classes, confirming, machines, crew, watcher, here)
        try:
            ended = search.run(stop)
        finally:
            write_trials_csv(load_study(folder), folder / CSV_FILE)
        if stop.soon and ended is not None:
            raise KeyboardInterrupt
        return SearchOutcome(folder, before, search.done, wanted, ended)


def circumstances(dataset: Dataset, device: torch.device) -> Circumstances:
    """What the keys of trainings on this data and device hold beside their settings."""
    return Circumstances(dataset.contents, str(choose_dtype("auto", device)).removeprefix("torch."))


def _machines(
    study: optuna.Study, devices: Sequence[torch.device], config: StudyConfig, *, tied: bool
) -> dict[str, Environment]:
    """The machine behind each device. Raises `StudyError`: latencies of unlike machines never enter one objective.

    tied: see `driver_lock`.
    """
    threads = config.latency.threads or default_threads()
    here = {str(device): environment(device, threads) for device in devices}
    first = here[str(devices[0])]
    for name, other in here.items():
        if other.fingerprint != first.fingerprint:
            raise StudyError(
                f"--devices: {devices[0]} is {first.processor}, {name} is {other.processor}; allowed: devices of one "
                "kind, because their latencies are compared"
            )
    for trial in trials_of(study, "COMPLETE"):
        there = trial.notes.fingerprint
        if there is not None and there != first.fingerprint:
            raise StudyError(
                f"this study's latencies were measured on another machine, device or PyTorch (fingerprint {there}; "
                f"here: {first.fingerprint}, {first.processor}, torch {first.torch}): go on there"
                + ("" if tied else f",{OR_ELSEWHERE}")
            )
    return here
