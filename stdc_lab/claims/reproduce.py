"""Run what claims still need, where a decision is nearest, and judge them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from stdc_lab.analysis.claim_folder import FIGURES, figures_seen, others_kept, read_figures, write_figures
from stdc_lab.analysis.claim_verdict import NOT_RUN, UNDECIDED, ClaimVerdict, judge_figures, judge_trained, with_holm
from stdc_lab.analysis.ledger import PACKAGE, Ledger, digest_of
from stdc_lab.analysis.stated import frame_of
from stdc_lab.analysis.trainings_table import TrainingRow, digests_of, read_table, write_table
from stdc_lab.claims.crew import Crew, Task, crew_of, train_together
from stdc_lab.claims.exact import compute
from stdc_lab.claims.folder import ClaimFolder, known_trainings
from stdc_lab.claims.measured import measure
from stdc_lab.claims.trained import (
    Bench,
    check_classes,
    check_metric,
    check_rows,
    circumstances_of,
    key_of,
    next_seed,
    refuse_undecidable,
    train_arm,
)
from stdc_lab.config.claim import FIRST_LOOK, ExactClaim, MeasuredClaim, TrainedClaim
from stdc_lab.config.data import DataConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.errors import DataError, StdcLabError, StudyError
from stdc_lab.hardware.environment import environment
from stdc_lab.records.keys import DRAWS_VERSION
from stdc_lab.training import Progress

GUESSED_STEP_S = 0.2


@dataclass
class Watcher:
    """Who is told of what happens; each does nothing unless it is replaced."""

    progress: Callable[[str, Progress], None] = lambda what, progress: None
    measuring: Callable[[str, float], None] = lambda what, share: None
    data: Callable[[str, int, int], None] = lambda what, done, total: None
    judged: Callable[[ClaimVerdict], None] = lambda verdict: None
    problem: Callable[[str], None] = lambda said: None


@dataclass(frozen=True)
class Wanted:
    """How much may be run."""

    budget_s: float | None = None
    """No training is begun that would end after so long."""
    seeds: int | None = None
    """At most so many pairs in all for each protocol."""
    run: bool = True
    """Whether anything is run: otherwise what is there is judged."""
    anyway: bool = False
    """Whether claims that cannot be decided are run all the same."""
    jobs: int = 1
    """How many arms of a seed are trained at once, each in a process of its own."""
    protocols: Sequence[str] = ()
    """Only these of a trained claim's protocols; all if there are none."""


@dataclass
class Reproduced:
    """What came of it."""

    verdicts: list[ClaimVerdict]
    problems: list[str] = field(default_factory=list)
    """What the user has to act upon; everything else was judged all the same."""
    trained: int = 0


@dataclass
class _Work:
    """A protocol of a trained claim, and how far it is."""

    folder: ClaimFolder
    claim: TrainedClaim
    protocol: str
    ledger: Ledger
    rows: list[TrainingRow]
    verdict: ClaimVerdict = field(init=False)

    def judge(self, inputs: Mapping[str, str], *, note: bool) -> None:
        """Judge the rows; note: whether that is a look, which the ledger keeps."""
        digest, seen = digest_of(self.claim), digests_of(self.rows, list(self.claim.arms))
        changed = self.ledger.changed(self.protocol, digest, inputs, seen)
        self.verdict = found = judge_trained(self.claim, self.protocol, self.rows, changed)
        if note and found.pairs:
            self.ledger.look(
                self.protocol, digest, found.pairs, found.verdict, found.effect, found.interval, found.e_value,
                inputs=inputs, seen=seen,
            )  # fmt: skip

    @property
    def decided(self) -> bool:
        return self.verdict.verdict not in (UNDECIDED, NOT_RUN)

    def pairs_left(self, seeds: int | None) -> int:
        """How many more pairs are expected to decide; 0 if no more are wanted."""
        limit = self.claim.seeds_of(self.protocol) if seeds is None else seeds
        left = limit - self.verdict.pairs
        if self.decided or left <= 0:
            return 0
        if self.verdict.divergence_p_value is not None:
            return left  # it stays undecided, so others come first
        return min(left, max(FIRST_LOOK - self.verdict.pairs, self.verdict.more_seeds or 1, 1))


def reproduce(
    folders: Sequence[ClaimFolder],
    out: Path,
    wanted: Wanted,
    device: torch.device,
    *,
    data: Mapping[str, Path] | None = None,
    runs: Path = Path("runs/claims"),
    watcher: Watcher | None = None,
) -> Reproduced:
    """Judge the claims, running what is missing of them; called again, go on.

    What is in the tables of `out` is done: no checkpoint is asked for. What cannot be run is a problem of that claim
    alone. Ctrl-C keeps every finished training, and the state of the one under way.
    """
    watcher = watcher or Watcher()
    done = Reproduced([])
    started = time.monotonic()
    with ExitStack() as stack:
        works: list[_Work] = []
        for folder in folders:
            try:
                if wanted.run and not stack.enter_context(folder.lock()):
                    done.problems.append(f"{folder.claim.id}: another process is at work on it; left alone")
                elif isinstance(folder.claim, TrainedClaim):
                    works += _works(folder, folder.claim, wanted)
                else:
                    done.verdicts.append(_stated(folder, folder.claim, wanted, device, watcher))
                    watcher.judged(done.verdicts[-1])
            except StdcLabError as error:
                done.problems.append(f"{folder.claim.id}: {error}")
        if wanted.run:
            bench = Bench(device, runs, known_trainings(out), watcher.progress)
            _Trainings(wanted, done, bench, data or {}, watcher, started).run(works)
        done.verdicts += [work.verdict for work in works]
    done.verdicts = with_holm(done.verdicts, others_kept(out, [folder.claim.id for folder in folders]))
    return done


def _works(folder: ClaimFolder, claim: TrainedClaim, wanted: Wanted) -> list[_Work]:
    works = []
    for protocol in claim.protocols:
        if wanted.protocols and protocol not in wanted.protocols:
            continue
        check_metric(claim)
        ledger, rows = Ledger(folder.path), read_table(folder.table(protocol))
        check_rows(claim, protocol, rows, folder.table(protocol))
        if wanted.run and not wanted.anyway and ledger.beginning(protocol) is None:
            refuse_undecidable(claim, protocol)
        work = _Work(folder, claim, protocol, ledger, rows)
        # Who was interrupted between a training and the look at it, has that look now.
        work.judge({"draws": str(DRAWS_VERSION)}, note=wanted.run and ledger.beginning(protocol) is not None)
        works.append(work)
    return works


class _Trainings:
    """Trains what protocols lack, pair by pair, and judges after every pair."""

    def __init__(
        self, wanted: Wanted, done: Reproduced, bench: Bench, data: Mapping[str, Path], watcher: Watcher, started: float
    ) -> None:
        self.wanted, self.done, self.bench, self.data = wanted, done, bench, data
        self.watcher, self.started = watcher, started
        self.datasets: dict[DataConfig, Dataset] = {}

    def run(self, works: Sequence[_Work]) -> None:
        """Take the protocol whose decision is nearest, train a pair, and so on, until none is left or time is up."""
        failed: list[_Work] = []
        with crew_of(self.wanted.jobs) as crew:
            while True:
                left = {id(one): one.pairs_left(self.wanted.seeds) for one in works}
                open_ = [one for one in works if left[id(one)] and one not in failed]
                if not open_:
                    return
                work = min(open_, key=lambda one: left[id(one)] * len(one.claim.arms) * _expected_s(one))
                try:
                    if not self._pair(work, crew):
                        return
                except StdcLabError as error:
                    self.done.problems.append(f"{work.claim.id}/{work.protocol}: {error}")
                    failed.append(work)
                else:
                    self.watcher.judged(work.verdict)

    def _pair(self, work: _Work, crew: Crew | None) -> bool:
        """Train what the next seed lacks and judge; False if the budget is spent."""
        claim, protocol, folder, dataset = work.claim, work.protocol, work.folder, self._dataset(work)
        digest = digest_of(claim)
        inputs = {"contents": dataset.contents, "draws": str(DRAWS_VERSION), PACKAGE: version("stdc_lab")}
        anyway = "asked for by --anyway" if self.wanted.anyway else None
        check_classes(claim, protocol, dataset.class_names)
        seed = next_seed(claim, work.rows)
        here = environment(self.bench.device, torch.get_num_threads()).fingerprint
        trained = {row.arm for row in work.rows if row.seed == seed and row.fingerprint == here}
        lacking = [arm for arm in claim.arms if arm not in trained]
        if not lacking:
            raise StudyError(
                f"{folder.table(protocol)}: the arms of seed {seed} were all trained here, and not in one precision; "
                "take its rows out, so that they are trained again"
            )
        for first in range(0, len(lacking), self.wanted.jobs):
            budget_s, passed_s = self.wanted.budget_s, time.monotonic() - self.started
            if budget_s is not None and passed_s + _seconds(work) > budget_s:
                return False
            work.ledger.begin(protocol, digest, inputs, anyway, len(work.rows))
            if work.ledger.changed(protocol, digest) is None:
                folder.keep()
            for row in self._train(work, lacking[first : first + self.wanted.jobs], seed, dataset, crew):
                self.bench.known[row.trial_key] = row
                work.rows = [one for one in work.rows if (one.arm, one.seed) != (row.arm, seed)] + [row]
                write_table(folder.table(protocol), work.rows, list(claim.arms))
                self.done.trained += 1
        work.judge(inputs, note=True)
        return True

    def _train(
        self, work: _Work, arms: Sequence[str], seed: int, dataset: Dataset, crew: Crew | None
    ) -> Iterator[TrainingRow]:
        """The rows of some arms of a seed, as they end: one after the other here, or at once by a crew."""
        claim, protocol, bench = work.claim, work.protocol, self.bench
        if crew is None:
            yield from (train_arm(claim, protocol, arm, seed, dataset, bench) for arm in arms)
            return
        path, here = self.data.get(dataset.name), circumstances_of(dataset, bench.device)
        known = [bench.known.get(key_of(claim, protocol, arm, seed, here)) for arm in arms]
        yield from train_together(
            crew,
            [
                Task(claim, protocol, arm, seed, dataset.contents, path, bench.runs, str(bench.device), row)
                for arm, row in zip(arms, known, strict=True)
            ],
        )

    def _dataset(self, work: _Work) -> Dataset:
        """Raises `DataError` if it is not there, or is another than the table's."""
        config = work.claim.protocols[work.protocol].data
        if config not in self.datasets:
            if not config.made_here and config.name not in self.data:
                raise DataError(f"not run on: needs --data {config.name}=PATH")
            self.datasets[config] = load_dataset(config, self.data.get(config.name), progress=self.watcher.data)
        dataset = self.datasets[config]
        for row in work.rows:
            if row.contents != dataset.contents:
                raise DataError(
                    f"its table was trained on other images or labels of {config.name} ({row.contents}) than these "
                    f"({dataset.contents}): give the --data it was begun with, or use another --out"
                )
        return dataset


def _seconds(work: _Work) -> float:
    """What a training of it takes, by those that are done; 0 where nobody knows."""
    known = [row.seconds for row in work.rows if row.seconds is not None]
    return max(known[-4:], default=0.0)


def _expected_s(work: _Work) -> float:
    """The same, with a guess where nobody knows: it only settles which claim comes first."""
    return _seconds(work) or GUESSED_STEP_S * work.claim.protocols[work.protocol].train.iterations


def _stated(
    folder: ClaimFolder, claim: ExactClaim | MeasuredClaim, wanted: Wanted, device: torch.device, watcher: Watcher
) -> ClaimVerdict:
    """Compute or measure the figures of a claim and judge them. Raises `StdcLabError`."""
    ledger, digest, table = Ledger(folder.path), digest_of(claim), folder.table(FIGURES)
    figures = read_figures(table)
    if wanted.run and (isinstance(claim, ExactClaim) or figures is None):
        ledger.begin(FIGURES, digest, {PACKAGE: version("stdc_lab")})
        if ledger.changed(FIGURES, digest) is None:
            folder.keep()
        if isinstance(claim, ExactClaim):
            figures = frame_of(compute(claim))
        else:
            figures = measure(claim, device, partial(watcher.measuring, claim.id))
        write_figures(table, figures)
    seen = figures_seen(claim, folder.path)
    verdict = judge_figures(claim, figures, FIGURES, ledger.changed(FIGURES, digest, seen=seen))
    if figures is not None and wanted.run:
        ledger.look(FIGURES, digest, 0, verdict.verdict, seen=seen)
    return verdict
