"""A front confirmed: its members and near ties are trained again with seeds that had no part in choosing them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import optuna

from stdc_lab.analysis.confirmation import worth_confirming
from stdc_lab.analysis.frame import load_study
from stdc_lab.config.choosers import FixedChooser
from stdc_lab.config.figures import figure_of
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import trial_key
from stdc_lab.search.propose import network_of
from stdc_lab.storage import StoredTrial, TrialNotes, enqueue, take_waiting, trials_of

FIRST_FRESH_SEED = 1_000_000
"""Beyond the study's own seed: the same for all networks, so that trainings are paired, and none of a search."""
CONTROLS = 4
"""So many networks at least are trained again whatever their score: the references, and others drawn by lot."""


@dataclass(frozen=True)
class Confirmation:
    """What is to be confirmed, and how.

    seeds: fresh trainings of each network. tie: the mIoU by which a trial off the front may be behind and still be
    trained again; 0: the front alone.
    """

    seeds: int
    tie: float = 0.01

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise StudyError(f"study confirm: got {self.seeds}; allowed: a whole number from 1, of fresh seeds")
        if not 0 <= self.tie <= 1:
            raise StudyError(f"--tie: got {self.tie:g}; allowed: mIoU from 0 to 1")


def enqueue_confirmation(study: optuna.Study, config: StudyConfig, folder: Path, wanted: Confirmation) -> int:
    """Queue the fresh trainings that are neither done nor waiting; gives how many there are in all, done ones included.

    These are of the front's members and near ties, of the references, and of networks drawn by lot (`CONTROLS`), which
    tell what the choice of the front has added. The lot knows no score: it may fall on a member of the front. What was
    asked for in an earlier call and is on no front any more still counts, and is finished.
    Raises `StudyError` where there is nothing to confirm.
    """
    if config.plan is not None:
        raise StudyError(
            f"{folder}: study confirm is for what a sampler chose; a plan has several seeds: add seeds to it"
        )
    if not any(figure_of(one.figure).by_seed for one in config.objectives):
        raise StudyError(
            f"{folder}: study confirm: no objective of this study depends on a training: "
            f"{', '.join(map(str, config.objectives))}"
        )
    frame = load_study(folder)
    chosen = frame.loc[worth_confirming(frame, config.objectives, wanted.tie), "number"].tolist()
    if not chosen:
        raise StudyError(f"{folder}: no finished trial to confirm; run the search first")
    trials = trials_of(study)
    there = {
        (trial.notes.confirms, trial.notes.seed)
        for trial in trials
        if trial.notes.confirms is not None and trial.state != "FAIL"
    }
    first_of = _first_of_each_training([trial for trial in trials if trial.is_trained], config)
    references = [number for number in first_of if trials[number].notes.reference is not None]
    drawn = _draw_controls(trials, first_of, references, config)
    chosen += [*references, *drawn]
    for index in range(wanted.seeds):  # all networks of a seed before the next: broken off, it is as balanced as can be
        seed = config.seed + FIRST_FRESH_SEED + index
        for number in dict.fromkeys(first_of[one] for one in chosen if one in first_of):
            if (number, seed) not in there:
                there.add((number, seed))
                notes = TrialNotes(confirms=number, seed=seed, control=True if number in drawn else None)
                enqueue(study, trials[number].params, notes)
    return len(there)


def next_confirmation(study: optuna.Study) -> optuna.Trial | None:
    """The next fresh training that waits; None if none does. Other trials that wait are left to the search."""
    study.sampler = optuna.samplers.RandomSampler()  # its point is known: no model of the search hears of it
    trial_id = take_waiting(study, confirmations=True)
    return None if trial_id is None else optuna.Trial(study, trial_id)


def _draw_controls(
    trials: list[StoredTrial], first_of: dict[int, int], references: list[int], config: StudyConfig
) -> list[int]:
    """Networks by lot, so that there are `CONTROLS` with the references; those of earlier calls first."""
    confirmed = (trial.notes.confirms for trial in trials if trial.notes.control)
    drawn = list(dict.fromkeys(number for number in confirmed if number is not None))
    known = {*(first_of[number] for number in references), *drawn}
    others = sorted(set(first_of.values()) - known)
    wanted = min(max(0, CONTROLS - len(known)), len(others))
    return drawn + random.Random(f"{config.seed} controls").sample(others, wanted)


def _first_of_each_training(trials: list[StoredTrial], config: StudyConfig) -> dict[int, int]:
    """For each trial the first one with the same network and training, whatever its seed."""
    first: dict[str, int] = {}
    found = {}
    for trial in trials:
        if trial.state == "COMPLETE":
            spec, train = network_of(trial.notes, FixedChooser(trial.params), config)
            found[trial.number] = first.setdefault(trial_key(spec, train, config.data, 0), trial.number)
    return found
