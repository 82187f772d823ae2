"""A crew without processes: latencies are as a test says, and a training is a record that is there at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from stdc_lab.arch import ArchSpec
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.records import LatencyResult, ProfileResult, TrialRecord
from stdc_lab.search.crew import Worker
from stdc_lab.search.messages import Finished, FromWorker, Profiled, Task
from tests.study_folder import latency_result, make_record


def timing(median_ms: float, low: float, high: float, *, noisy: bool = False) -> LatencyResult:
    """A latency with an interval."""
    return latency_result(median_ms).model_copy(
        update={"ci95_ms": (low, high), "noisy": noisy, "spread": 0.5 if noisy else 0.02, "peak_memory_bytes": 1000}
    )


class ScriptedCrew:
    """One worker, whose networks take what `latency_of` says."""

    def __init__(self, latency_of: Callable[[ArchSpec], LatencyResult]) -> None:
        self.latency_of = latency_of
        self.workers = [Worker("cpu")]
        self.timed: list[str] = []
        self.tasks: list[Task] = []
        self.trained: list[int] = []
        self._said: list[tuple[Worker, FromWorker]] = []
        self._cost: ProfileResult | None = None

    def give(self, worker: Worker, task: Task) -> None:
        self.tasks.append(task)
        self._cost = task.known_profile or self._profile(task)
        self._said.append((worker, Profiled(self._cost)))

    def answer(self, worker: Worker, reason: str | None) -> None:
        if reason is None:
            task, cost = self.tasks[-1], self._cost
            assert cost is not None
            self._keep(task, cost)
            self.trained.append(task.candidate.number)
        self._said.append((worker, Finished()))

    def hear(self, timeout_s: float) -> Sequence[tuple[Worker, FromWorker]]:
        said, self._said = self._said, []
        return said

    def end(self, workers: Sequence[Worker]) -> None:
        self._said = []

    def _profile(self, task: Task) -> ProfileResult:
        spec = task.candidate.spec
        self.timed.append(spec.arch_id)
        made = make_record(0, spec, task.study, 0.5, 1.0).profile
        machine = environment(torch.device("cpu"), task.study.latency.threads or default_threads())
        return made.model_copy(update={"latency": self.latency_of(spec), "environment": machine})

    def _keep(self, task: Task, cost: ProfileResult) -> TrialRecord:
        one = task.candidate
        made = make_record(
            one.number, one.spec, task.study, 0.4 + one.number / 100, 1.0, one.reference, one.train, one.seed
        )
        record = made.model_copy(update={"profile": cost, "trial_key": one.key(task.study)})
        folder: Path = task.runs / record.trial_key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trial.json").write_text(record.model_dump_json())
        return record
