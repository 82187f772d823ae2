"""The loop of a search: trials out to the workers, what comes of them into the storage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna

from stdc_lab.analysis.frame import load_study, write_trials_csv
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.records import Circumstances, Environment, ProfileResult, TrialRecord
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.crew import Crew, Worker
from stdc_lab.search.folder import (
    CSV_FILE,
    RUNS_FOLDER,
    keep_profile,
    read_profile,
    read_record,
    study_profile_key,
)
from stdc_lab.search.known_costs import KnownCosts, is_suspect
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.messages import Failed, Finished, FromWorker, Lost, Profiled, Scored, Stepped, Task
from stdc_lab.search.objective import clear, keep_reasons, tidy
from stdc_lab.search.objectives import ScreenedOutError, is_to_time_again, screened_by_profile, unmeasured
from stdc_lab.search.propose import tell, tell_screened
from stdc_lab.search.proposer import Proposer
from stdc_lab.search.pruning import Pruner
from stdc_lab.search.running import Running
from stdc_lab.search.stopping import Stop
from stdc_lab.search.watchdog import Watchdog
from stdc_lab.search.watcher import Watcher
from stdc_lab.storage import TrialNotes, give_back, tell_failed, trials_of

MAX_FAILURES_IN_A_ROW = 3
MAX_SCREENED_IN_A_ROW = 2000
PROPOSALS_AT_ONCE = 20
"""After so many the driver looks up, whatever became of them."""
MAX_LOST_WORKERS = 5
"""A trial whose worker was killed goes on in another one; after so many that got it no further it has failed."""
TICK_S = 0.2
"""How often the driver looks up while its workers are silent."""
CSV_SHARE = 0.05
"""Of the time at most goes into writing trials.csv, beside the last time."""


@dataclass(eq=False)
class Search:
    """The loop: trials out to the workers, what they say into the storage."""

    study: optuna.Study
    config: StudyConfig
    folder: Path
    wanted: int
    data_path: Path | None
    num_classes: int
    confirming: bool
    """Whether fresh trainings of known networks are run, and nothing else."""
    machines: dict[str, Environment]
    """By device: what a latency measured on it depends on."""
    crew: Crew
    watcher: Watcher
    here: Circumstances | None = None
    """Part of every training's key."""
    running: dict[Worker, Running] = field(default_factory=dict)
    failures: int = 0
    screened: int = 0
    _csv_due: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.study)
        trials = trials_of(self.study)
        self.pruner = Pruner(self.config, self.folder, trials)
        self.stale = self._is_stale()
        here = next(iter(self.machines.values())).fingerprint if self.machines else None
        self.costs = KnownCosts(trials, here)
        self.proposer = Proposer(
            self.study, self.config, self.folder, self.wanted, self.num_classes, self.confirming, self.here, self.ledger
        )

    @property
    def done(self) -> int:
        """How many of the wanted trainings there are."""
        return self.ledger.confirmed if self.confirming else self.ledger.trained

    def run(self, stop: Stop) -> str | None:
        """Run trials until enough are trained; gives the reason if it ends before. None is left running."""
        told = False
        try:
            while True:
                more = self._fill(stop)
                if stop.now or stop.late or not (self.running or more):
                    break
                if stop.soon and not told:
                    told = True
                    self.watcher.stopping(len(self.running))
                heard = self.crew.hear(0.0 if more else TICK_S)
                self._watch(dict(heard))
                for worker, message in heard:
                    if worker in self.running:
                        self._hear(self.running[worker], message)
        finally:
            self._give_all_back()
        if self.done >= self.wanted:
            return None
        if stop.soon:
            return "interrupted"
        if stop.late:
            return "the time is over"
        if self.proposer.exhausted:
            return f"not all of the {'confirmation' if self.confirming else 'plan'} could be trained"
        return f"the last {self.config.stale_trials} trials have not made the front's hypervolume grow"

    def _fill(self, stop: Stop) -> bool:
        """Give every idle worker a trial, as long as not too many are trained if none fails.

        Whether it is to be called again at once: many proposals may be screened out, and workers are heard in between.
        """
        left = PROPOSALS_AT_ONCE
        for worker in self.crew.workers:
            while worker not in self.running and self.done + len(self.running) < self.wanted:
                if stop.soon or stop.late or self.proposer.exhausted or self.stale:
                    return False
                if self.running and self.screened >= MAX_SCREENED_IN_A_ROW:
                    return False  # what is at work may teach the sampler
                if not left:
                    return True
                left -= 1
                if not self._propose(worker):
                    return False
        return False

    def _propose(self, worker: Worker) -> bool:
        """Draw a candidate, and train it unless that was done, or is being done, before. False: nothing new is left
        beside what is at work."""
        twins = sum(len(running.twins) for running in self.running.values())
        trial = self.proposer.next(twins, at_work=bool(self.running))
        if trial is None:
            return self.proposer.exhausted
        try:
            candidate = self.proposer.candidate_of(trial, {running.key for running in self.running.values()})
            key = candidate.key(self.config)
            record = read_record(self.folder, key)
        except ScreenedOutError as out:
            self._screen(trial, out)
            return True
        except StdcLabError as error:  # left open, the same point would end every later call too
            tell_failed(self.study, trial, str(error))
            raise
        self.ledger.tried.add(key)
        twin = next((running for running in self.running.values() if running.key == key), None)
        if twin is not None:
            twin.twins.append(trial)
            return True
        noted = TrialNotes.read(trial)
        if noted.in_smaller_parts:
            candidate = candidate.in_smaller_parts() or candidate
        self.watcher.trial_started(candidate, self.done, self.wanted)
        before = self.ledger.number_of.get(key)
        if record is not None and (before is not None or self._was_timed_so(record)):
            if before is None:  # it was finished, and its driver killed before it could say so
                tidy(self.folder / RUNS_FOLDER / key)
                self.pruner.add(record)
            self._tell(trial, candidate, record, before)
            return True
        lost = noted.lost_workers or (0, 0)
        self.running[worker] = running = Running(trial, candidate, worker, key, lost=lost)
        self._give(running)
        return True

    def _was_timed_so(self, record: TrialRecord) -> bool:
        """Whether a record that no trial tells of has a cost that compares with this study's."""
        latency, where = record.profile.latency, record.profile.environment
        if latency is None or where is None or unmeasured(self.config, record.profile) is not None:
            return False
        wanted = self.config.latency
        alike = (latency.runtime, latency.dtype, latency.input_shape) == (
            wanted.runtime,
            wanted.dtype,
            wanted.input_shape,
        )
        return alike and where.fingerprint in {one.fingerprint for one in self.machines.values()}

    def _give(self, running: Running) -> None:
        """Let a worker have a trial, with its cost where that is known well enough."""
        spec = running.candidate.spec
        cost = read_profile(self.folder, self._profile_key(running))
        macs = total_cost(spec, self.config.latency.size, self.num_classes).macs
        beside = self.costs.beside(spec.arch_id, macs)
        if cost is not None and (is_to_time_again(self.config, cost) or is_suspect(cost, beside)):
            cost = None
        task = Task(running.candidate, self.config, self.folder / RUNS_FOLDER, self.data_path, cost, beside)
        running.watchdog = Watchdog()
        self.crew.give(running.worker, task)

    def _watch(self, heard: Mapping[Worker, FromWorker]) -> None:
        """End the workers that hang: their trials go on in others."""
        now = time.monotonic()
        for worker, running in list(self.running.items()):
            hangs = running.watchdog.look(now, heard.get(worker))
            if hangs is not None:
                self._hear(running, self.crew.kill(worker, hangs))

    def _hear(self, running: Running, message: FromWorker) -> None:
        candidate = running.candidate
        match message:
            case Profiled(cost):
                self._refuse_unmeasured(running, cost)
                keep_profile(self.folder, self._profile_key(running), cost)
                self.costs.add(cost)
                self.watcher.trial_timed(candidate, cost)
                running.cost = cost
                running.screened = screened_by_profile(self.config, candidate, cost)
                self.crew.answer(running.worker, None if running.screened is None else str(running.screened))
            case Stepped(progress):
                running.iteration = progress.iteration
                self.watcher.trial_progress(candidate, progress)
            case Scored(progress):
                self.crew.answer(running.worker, self.pruner.judge(candidate, running.cost, progress))
            case Finished():
                self._finish(running)
            case Failed(reason, out_of_memory=True) if candidate.retried is None:
                self._again_in_smaller_parts(running, reason)
            case Failed(reason, out_of_memory, _, diverged):
                self._end(running, reason, of_the_point=out_of_memory or diverged)
            case Lost(reason, killed):
                count, iteration = running.lost
                count = 1 if running.iteration > iteration else count + 1
                if not killed or count >= MAX_LOST_WORKERS:
                    # Killed again and again at one place, by a system out of memory.
                    self._end(running, reason, of_the_point=killed)
                    return
                running.lost = (count, max(iteration, running.iteration))
                TrialNotes(lost_workers=running.lost).write(running.trial)
                self.watcher.trial_again(candidate, reason)
                self._give(running)

    def _refuse_unmeasured(self, running: Running, cost: ProfileResult) -> None:
        """Raise `StudyError` where this machine cannot tell what the study asks of every network: nothing is trained
        for it, and no trial is left that only says so again."""
        reason = unmeasured(self.config, cost)
        if reason is None:
            return
        for trial in (running.trial, *running.twins):
            tell_failed(self.study, trial, reason)
        raise StudyError(f"{self.folder}: {reason}")

    def _again_in_smaller_parts(self, running: Running, reason: str) -> None:
        smaller = running.candidate.in_smaller_parts()
        if smaller is None:
            self._end(running, reason, of_the_point=True)
            return
        TrialNotes(in_smaller_parts=smaller.retried).write(running.trial)
        clear(self.folder / RUNS_FOLDER / running.key)
        running.candidate = smaller
        self.watcher.trial_again(smaller, reason)
        self._give(running)

    def _finish(self, running: Running) -> None:
        if running.screened is not None:
            del self.running[running.worker]
            clear(self.folder / RUNS_FOLDER / running.key)  # the worker's log
            for trial in (running.trial, *running.twins):
                self._screen(trial, running.screened)
            return
        record = read_record(self.folder, running.key)
        if record is None:
            self._end(running, f"its record is gone: {self.folder / RUNS_FOLDER / running.key}")
            return
        del self.running[running.worker]
        self._tell(running.trial, running.candidate, record, None)
        self.pruner.add(record)
        for twin in running.twins:
            self._tell(twin, running.candidate, record, record.number)

    def _tell(self, trial: optuna.Trial, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        try:
            told = tell(self.study, trial, record, self.config, duplicate_of)
        except StudyError as error:  # an objective that came out empty: left open, it would end every later call too
            tell_failed(self.study, trial, str(error))
            self._count_failure(candidate, str(error))
            return
        self.ledger.add(told)
        self.failures = self.screened = 0
        self.stale = self._is_stale()
        self.watcher.trial_finished(candidate, record, duplicate_of)
        self._write_csv()

    def _screen(self, trial: optuna.Trial, out: ScreenedOutError) -> None:
        """A proposal is not trained. Raises `StudyError` when there is no end to it."""
        tell_screened(self.study, trial, out)
        self.watcher.trial_screened(trial.number, str(out))
        self.screened += 1
        if self.screened >= MAX_SCREENED_IN_A_ROW and not self.running:
            raise StudyError(
                f"{self.folder}: the last {self.screened} proposals were all screened out, the last one: {out}. Loosen "
                "limits and constraints, or widen the space; --dry-run says which limit kills how many"
            )

    def _end(self, running: Running, reason: str, *, of_the_point: bool = False) -> None:
        """A trial has come to nothing, and with it those that waited for its result."""
        if of_the_point:
            TrialNotes(failed_at_its_point=True).write(running.trial)
        del self.running[running.worker]
        folder = self.folder / RUNS_FOLDER / running.key
        if running.candidate.retried is not None:
            clear(folder)  # it is not of the training that the key names
        else:
            keep_reasons(folder)
        for trial in (running.trial, *running.twins):
            tell_failed(self.study, trial, reason)
        self._count_failure(running.candidate, reason)

    def _count_failure(self, candidate: Candidate, reason: str) -> None:
        self.watcher.trial_failed(candidate, reason)
        self.failures += 1
        if self.failures >= MAX_FAILURES_IN_A_ROW:
            raise StudyError(f"{self.folder}: {self.failures} trials failed in a row, the last one: {reason}")

    def _give_all_back(self) -> None:
        """Stop what is under way; it waits in the queue for the next call, with the states of its trainings."""
        if not self.running:
            return
        self.crew.end(list(self.running))
        with suppress(StdcLabError):
            for running in self.running.values():
                for trial in (running.trial, *running.twins):
                    give_back(self.study, trial.number)
        self.running.clear()

    def _is_stale(self) -> bool:
        last = None if self.confirming else self.config.stale_trials
        return last is not None and self.ledger.is_stale(last)

    def _profile_key(self, running: Running) -> str:
        return study_profile_key(
            self.config, running.candidate.spec.arch_id, self.machines[running.worker.device], self.num_classes
        )

    def _write_csv(self) -> None:
        """Write trials.csv now and then: all of it takes longer with every trial."""
        started = time.monotonic()
        if started >= self._csv_due:
            write_trials_csv(load_study(self.folder), self.folder / CSV_FILE)
            ended = time.monotonic()
            self._csv_due = ended + (ended - started) / CSV_SHARE
