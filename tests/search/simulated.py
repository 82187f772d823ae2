"""Searches that take no time: the real loop and samplers, a storage in memory, and workers that answer at once."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import torch

from stdc_lab.arch import total_cost
from stdc_lab.config.study import StudyConfig
from stdc_lab.hardware.environment import environment
from stdc_lab.records import LatencyResult, MacCounters, ProfileResult, TrainResult, TrialRecord
from stdc_lab.search import Crew, Watcher
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.crew import Worker
from stdc_lab.search.folder import write_text
from stdc_lab.search.loop import Search
from stdc_lab.search.messages import Failed, Finished, FromWorker, Profiled, Task
from stdc_lab.search.propose import enqueue_known
from stdc_lab.search.stopping import Stop

CPU = torch.device("cpu")


def more_is_better(candidate: Candidate) -> tuple[float, float]:
    """mIoU that grows with the network and has a peak in its training, and latency by MACs."""
    macs = total_cost(candidate.spec, (32, 64), 11).macs
    return 0.2 + macs / 1e8 + 0.02 * bool(candidate.train.heads.detail_strides), macs / 1e5


class Simulated(Crew):
    """Workers that need no time. `failing`: why a candidate's training fails, if it does."""

    def __init__(
        self,
        config: StudyConfig,
        jobs: int = 1,
        figures: Callable[[Candidate], tuple[float, float]] = more_is_better,
        failing: Callable[[Candidate], Failed | None] = lambda candidate: None,
    ) -> None:
        super().__init__(jobs)
        self.config, self.figures, self.failing = config, figures, failing
        self.environment = environment(CPU, 1)
        self.said: deque[tuple[Worker, FromWorker]] = deque()
        self.at_work: set[Worker] = set()
        self.busy: list[int] = []
        """How many workers had a trial, whenever the driver listened."""
        self.given: list[Candidate] = []
        self.answers: list[str | None] = []

    def give(self, worker: Worker, task: Task) -> None:
        candidate = task.candidate
        self.given.append(candidate)
        self.at_work.add(worker)
        miou, latency_ms = self.figures(candidate)
        cost = self.cost_of(candidate, latency_ms)
        failed = self.failing(candidate)
        if failed is not None:
            self.said.extend([(worker, Profiled(cost)), (worker, failed)])
            return
        result = TrainResult(
            miou=miou, class_iou={}, pixel_accuracy=0.5, curve=(), seconds=100.0, seed=candidate.seed,
            precision="float32", environment=self.environment, evaluated_weights="ema",
        )  # fmt: skip
        record = TrialRecord(
            number=candidate.number, arch=candidate.spec, arch_id=candidate.spec.arch_id,
            trial_key=candidate.key(self.config), reference=candidate.reference, confirms=candidate.confirms,
            train=candidate.train, data=self.config.data, seed=candidate.seed, profile=cost, result=result,
        )  # fmt: skip
        folder = task.runs / record.trial_key
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "trial.json", record.model_dump_json())
        self.said.extend([(worker, Profiled(cost)), (worker, Finished())])

    def cost_of(self, candidate: Candidate, latency_ms: float) -> ProfileResult:
        macs, num_params, _ = total_cost(candidate.spec, (32, 64), 11)
        latency = LatencyResult(
            median_ms=latency_ms, p95_ms=latency_ms, ci95_ms=(latency_ms, latency_ms), spread=0.0, repeats=5,
            warmup_repeats=0, runtime="eager", device="cpu", dtype="float32", threads=1, input_shape=(1, 3, 32, 64),
        )  # fmt: skip
        return ProfileResult(
            arch=candidate.spec, arch_id=candidate.spec.arch_id, num_classes=11, size=(32, 64), num_params=num_params,
            macs=macs, counters=MacCounters(theory=macs), not_counted={}, stages=(), latency=latency,
            environment=self.environment,
        )  # fmt: skip

    def answer(self, worker: Worker, reason: str | None) -> None:
        self.answers.append(reason)

    def hear(self, timeout_s: float) -> list[tuple[Worker, FromWorker]]:
        self.busy.append(len(self.at_work))
        if not self.said:
            return []
        worker, message = self.said.popleft()
        if not isinstance(message, Profiled):
            self.at_work.discard(worker)
        return [(worker, message)]

    def end(self, workers: Any) -> None:
        """There are no processes."""


def search(
    config: StudyConfig, crew: Simulated, folder: Path, study: optuna.Study | None = None, trials: int | None = None
) -> optuna.Study:
    """Run the driver's loop on a storage in memory, of a study that is there already or of a new one."""
    if study is None:
        directions = ["maximize" if one.maximize else "minimize" for one in config.objectives]
        study = optuna.create_study(directions=directions)
        (folder / "runs").mkdir(exist_ok=True)
    enqueue_known(study, config)
    machines = {"cpu": crew.environment}
    wanted = trials or config.trials
    loop = Search(study, config, folder, wanted, None, 11, False, machines, crew, Watcher())
    loop._write_csv = lambda: None  # type: ignore[method-assign]  # there is no storage in the folder to read
    loop.run(Stop())
    return study
