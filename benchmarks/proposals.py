"""How far does a search come on a space, and with how many proposals?

    .venv/bin/python benchmarks/proposals.py --space stdc_decoder --trials 400 --jobs 2

Runs the real driver loop and the real sampler on a real storage; in place of a training there is a cheap function of
the network and its training, with some noise that follows from the training's key. Prints for each seed how many
trials were trained, of how many proposals, how many of these were repeats, the share of the whole space's hypervolume
that the front reached (of networks drawn evenly, at random), and how the search ended. Some minutes a seed.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import tempfile
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
import typer

from stdc_lab.analysis.frame import load_study
from stdc_lab.analysis.pareto import hypervolume
from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.choosers import RandomChooser
from stdc_lab.config.reading import read_space
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StudyError
from stdc_lab.hardware.environment import environment
from stdc_lab.profiling import profile
from stdc_lab.records import TrainResult, TrialRecord
from stdc_lab.search import Crew, run_study
from stdc_lab.search import folder as folder_module
from stdc_lab.search.crew import Worker
from stdc_lab.search.folder import write_text
from stdc_lab.search.messages import Finished, FromWorker, Profiled, Task

CPU = torch.device("cpu")
SIZE = (256, 512)
CORNER = [0.0, 60.0]
"""Of the hypervolume: worse than any network here."""
DRAWN = 3_000
"""Random points that stand for the whole space."""


def main(
    space: Annotated[str, typer.Option(help="A search space, by its name or file.")] = "stdc_decoder",
    trials: Annotated[int, typer.Option(help="Trials that the search is to train.")] = 400,
    jobs: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    sampler: Annotated[str, typer.Option(help="tpe, nsga2 or random.")] = "tpe",
    noise: Annotated[float, typer.Option(help="Standard deviation of the made-up mIoU over trainings.")] = 0.004,
    seeds: Annotated[int, typer.Option(help="Searches, each with a seed of its own.")] = 1,
) -> None:
    folder_module.sqlite3 = SimpleNamespace(connect=hasty)  # type: ignore[assignment]
    for seed in range(seeds):
        config = StudyConfig.model_validate(
            {
                "name": "proposals",
                "space": read_space(space, Path("studies")).model_dump(mode="json"),
                "sampler": {"name": sampler},
                "trials": trials,
                "seed": seed,
                "data": {"size": [32, 64], "train_images": 4, "val_images": 2},
                "latency": {"size": [32, 64], "warmup_s": 0, "measure_s": 0.01, "min_repeats": 5, "attempts": 1},
            }
        )
        whole = volume([figures(*drawn, noise=0.0) for drawn in points_of(config)])
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                ended = run_study(config, folder, crew=Simulated(config, jobs, noise)).ended or "all trained"
            except StudyError as error:
                ended = str(error).removeprefix(f"{folder}: ")
            frame = load_study(folder)
        trained = frame[(frame["state"] == "COMPLETE") & frame["duplicate_of"].isna()]
        share = volume(trained[["miou", "latency_ms"]].to_numpy()) / whole
        print(
            f"{space}, {sampler}, seed {seed}, {jobs} at once: {len(trained)} of {trials} trained, {len(frame)} "
            f"proposals, {int(frame['duplicate_of'].notna().sum())} repeats, hypervolume {share:.2%} of the space's, "
            f"{time.monotonic() - started:.0f} s; {ended}",
            flush=True,
        )


def hasty(path: Path, timeout: float) -> sqlite3.Connection:
    """A connection that waits for no disk: what a crash would cost here is a benchmark."""
    connection = sqlite3.connect(path, timeout=timeout)
    connection.execute("pragma synchronous = off")
    return connection


def points_of(config: StudyConfig) -> list[tuple[ArchSpec, TrainConfig]]:
    chooser = RandomChooser(0)
    chosen = [config.space.choose(chooser) for _ in range(DRAWN)]
    return [(config.space.spec_of(point), config.space.training_of(point, config.train)) for point in chosen]


def volume(values: Any) -> float:
    return hypervolume(np.asarray(values, dtype=np.float64), [True, False], CORNER)


def figures(spec: ArchSpec, train: TrainConfig, noise: float) -> tuple[float, float]:
    """mIoU and latency in milliseconds of a made-up training: more of anything helps, less and less."""
    cost = total_cost(spec, SIZE, 11)
    decoder = spec.decoder
    miou = 0.30 + 0.03 * math.log2(cost.macs / 1e8) + 0.02 * math.log2(decoder.context_width / 16)
    miou += 0.015 * math.log2(decoder.fusion_width / 32) + 0.01 * math.log2(decoder.head_width / 16)
    miou += 0.01 * decoder.attention + 0.008 * decoder.global_context + 0.012 * bool(train.heads.detail_strides)
    latency_ms = 4 + 4.0 * cost.macs / 1e9 + 1.2 * decoder.attention + 0.6 * decoder.global_context
    return miou + noise, latency_ms


class Simulated(Crew):
    """Workers that need no time: the record of every trial is written as soon as it is given."""

    def __init__(self, config: StudyConfig, jobs: int, noise: float) -> None:
        super().__init__(jobs)
        self.config, self.noise = config, noise
        self.template = profile(config.space.spec_of({}), num_classes=11, latency=config.latency, device=CPU)
        self.environment = environment(CPU, 1)
        self.said: deque[tuple[Worker, FromWorker]] = deque()

    def give(self, worker: Worker, task: Task) -> None:
        record = self.record_of(task)
        folder = task.runs / record.trial_key
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "trial.json", record.model_dump_json())
        self.said.extend([(worker, Profiled(record.profile)), (worker, Finished())])

    def hear(self, timeout_s: float) -> list[tuple[Worker, FromWorker]]:
        return [self.said.popleft()] if self.said else []

    def end(self, workers: Any) -> None:
        """There are no processes."""

    def record_of(self, task: Task) -> TrialRecord:
        candidate, latency = task.candidate, self.template.latency
        assert latency is not None
        key = candidate.key(self.config)
        noise = np.random.default_rng(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)).normal(0, self.noise)
        miou, latency_ms = figures(candidate.spec, candidate.train, float(noise))
        cost = self.template.model_copy(
            update={
                "arch": candidate.spec,
                "arch_id": candidate.spec.arch_id,
                "latency": latency.model_copy(update={"median_ms": latency_ms}),
            }
        )
        result = TrainResult(
            miou=miou, class_iou={}, pixel_accuracy=0.5, curve=(), seconds=100.0, seed=candidate.seed,
            precision="float32", environment=self.environment, evaluated_weights="ema",
        )  # fmt: skip
        return TrialRecord(
            number=candidate.number, arch=candidate.spec, arch_id=candidate.spec.arch_id, trial_key=key,
            train=candidate.train, data=self.config.data, seed=candidate.seed, profile=cost, result=result,
        )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
