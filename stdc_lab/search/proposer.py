"""What a search tries next: what waits, a point at random, or what the sampler says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import Circumstances
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.confirm import next_confirmation
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.propose import draw_candidate, draws_at_random, make_sampler, next_trial, random_point
from stdc_lab.search.samplers import Point, RandomPoints
from stdc_lab.storage import Searched, TrialNotes


@dataclass(eq=False)
class Proposer:
    """Draws one trial after another, and says when there is nothing left."""

    study: optuna.Study
    config: StudyConfig
    folder: Path
    wanted: int
    num_classes: int
    confirming: bool
    """Whether fresh trainings of known networks are wanted, and nothing else."""
    here: Circumstances | None
    """Part of every training's key."""
    ledger: Ledger
    exhausted: bool = False
    """Whether nothing is left to try: all of a plan was."""

    def __post_init__(self) -> None:
        self.random_points = RandomPoints(self.config.space, self.config.seed)

    def next(self, twins: int, *, at_work: bool) -> optuna.Trial | None:
        """The next trial; None if nothing is left (`exhausted`), or nothing new beside what is at work.

        twins: how many proposals wait for the result of another trial. Raises `StudyError` when nothing is at work and
        nothing new is left.
        """
        trials = Searched(self.study).get_trials(deepcopy=False)
        queued = self.confirming or any(trial.state.name == "WAITING" for trial in trials)
        point = None
        if not queued and draws_at_random(self.config, self.ledger, twins):
            point = self._random_point(len(trials))
            if point is None and at_work:
                return None
            if point is None:
                raise StudyError(
                    f"{self.folder}: {self.ledger.trained} of {self.wanted} trials trained, and nothing new is left: "
                    f"of the search space, {self.random_points.what_was_looked_at} were tried before or do not meet "
                    "its limits; ask for fewer --trials, loosen limits, or widen the space"
                )
        self.study.sampler = make_sampler(self.config, len(trials), point)
        trial = next_confirmation(self.study) if self.confirming else next_trial(self.study, self.config)
        self.exhausted = trial is None
        return trial

    def candidate_of(self, trial: optuna.Trial, at_work: Collection[str]) -> Candidate:
        """What a trial is to find out about; raises as `draw_candidate` does. at_work: keys of trainings under way."""
        candidate = draw_candidate(trial, self.config, self.num_classes, self.here)
        if self.config.known_training == "new_seed" and not candidate.named:
            return self._with_new_seed(trial, candidate, at_work)
        return candidate

    def _random_point(self, count: int) -> Point | None:
        return random_point(self.random_points, count, self.config, self.num_classes, self.ledger, self.here)

    def _with_new_seed(self, trial: optuna.Trial, candidate: Candidate, at_work: Collection[str]) -> Candidate:
        """The same training with the first seed, from the study's on, with which it was not done and is not at work."""
        first = candidate
        while (key := candidate.key(self.config)) in at_work or key in self.ledger.number_of:
            candidate = replace(candidate, seed=candidate.seed + 1)
        if candidate is not first:
            TrialNotes(seed=candidate.seed, trial_key=key).write(trial)
        return candidate
