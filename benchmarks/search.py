"""What does a search cost beside its trainings?

    .venv/bin/python benchmarks/search.py

Runs the real driver loop on a real storage with workers that take no time: each trial's record is there at once. At
trial 10 and at a later one it prints the milliseconds that a trial takes the driver, Optuna's own calls apart, and
those that a terminal takes to show the front. Then fills a study with trials, and prints the seconds and the memory
that its table takes from the storage and from trials.csv. Some minutes; the storage is filled without waiting for the
disk, and measured with it.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import torch
import typer
from optuna.trial import TrialState, create_trial

from stdc_lab.analysis.frame import GrowingStudy, load_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.hardware.environment import environment
from stdc_lab.profiling import profile
from stdc_lab.records import ProfileResult, TrainResult, TrialRecord
from stdc_lab.search import Crew, run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.crew import Worker
from stdc_lab.search.folder import write_text
from stdc_lab.search.messages import Finished, FromWorker, Profiled, Task
from stdc_lab.search.watcher import Watcher

CPU = torch.device("cpu")
MEASURED = 20
"""Trials of which the median is taken."""
OPTUNA = (
    (optuna.Study, ("ask", "tell", "get_trials", "enqueue_trial", "set_user_attr")),
    (optuna.Trial, ("suggest_int", "suggest_float", "suggest_categorical", "set_user_attr", "set_constraint")),
)
MADE_BY_OPTUNA = 500
TABLES = ("trial_params", "trial_values", "trial_user_attributes", "trial_system_attributes", "trials")
"""Of a trial; `trials` last, for the others are joined with it."""
READ = """
import sys, time
from pathlib import Path
import pandas as pd
from stdc_lab.analysis.frame import load_study
before = time.monotonic()
frame = load_study(sys.argv[1]) if sys.argv[2] == "storage" else pd.read_csv(sys.argv[1] + "/trials.csv")
seconds = time.monotonic() - before
# Not getrusage: its maximum is handed on from the process that started this one.
kibibytes = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(len(frame), seconds, kibibytes / 2**20)
"""


def main(
    late: Annotated[int, typer.Option(help="The later trial at which the driver is measured.")] = 2000,
    table: Annotated[int, typer.Option(help="Trials of the study that becomes a table.")] = 10_000,
) -> None:
    config = study_of_the_benchmark()
    for before in (10, late):
        with tempfile.TemporaryDirectory() as folder:
            total, own = overhead(config, Path(folder), before)
            anew, grown = seconds_of_the_live_front(Path(folder))
        print(f"trial {before:>6}: {total:6.1f} ms in all, {own:6.1f} ms of them Optuna's, {total - own:6.1f} ms ours")
        print(f"trial {before:>6}: {1000 * grown:6.1f} ms for the front on a terminal, {1000 * anew:6.1f} ms read anew")
    with tempfile.TemporaryDirectory() as folder:
        filled(config, Path(folder), table)
        run_study(config, folder, trials=1, crew=Instant(config))  # writes trials.csv
        for where in ("storage", "trials.csv"):
            command = [sys.executable, "-c", READ, folder, where]
            rows, seconds, memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            print(f"{int(rows):,} trials from {where:<10}: {float(seconds):5.2f} s, {float(memory):4.2f} GiB at most")


def study_of_the_benchmark() -> StudyConfig:
    vary = {
        "num_blocks": {"type": "int", "low": 2, "high": 6},
        "channel_ratio": {"type": "float", "low": 0.3, "high": 0.7},
        "train.learning_rate": {"type": "float", "low": 0.001, "high": 0.1, "log": True},
        "train.weight_decay": {"type": "float", "low": 0.00001, "high": 0.01, "log": True},
    }
    values = {"name": "bench", "space": {"name": "bench", "vary": vary}, "references": [], "trials": 1_000_000}
    small = {"size": [32, 64], "warmup_s": 0, "measure_s": 0.01, "min_repeats": 5}
    data = {"size": [32, 64], "train_images": 4, "val_images": 2}
    return StudyConfig.model_validate({**values, "latency": small, "data": data})


class Instant(Crew):
    """Workers that need no time: the record of every trial is written as soon as it is given."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__()
        self.config = config
        self.template = profile(config.space.spec_of({}), num_classes=11, latency=config.latency, device=CPU)
        self.said: deque[tuple[Worker, FromWorker]] = deque()
        self.own_s = 0.0
        """Seconds spent on what workers would do elsewhere."""

    def give(self, worker: Worker, task: Task) -> None:
        started = time.perf_counter()
        record = made_record(task.candidate, self.config, self.template)
        folder = task.runs / record.trial_key
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "trial.json", record.model_dump_json(indent=1))
        self.said.extend([(worker, Profiled(record.profile)), (worker, Finished())])
        self.own_s += time.perf_counter() - started

    def hear(self, timeout_s: float) -> list[tuple[Worker, FromWorker]]:
        return [self.said.popleft()] if self.said else []

    def end(self, workers: Any) -> None:
        """There are no processes."""


def made_record(candidate: Candidate, config: StudyConfig, template: ProfileResult) -> TrialRecord:
    draw = np.random.default_rng(candidate.number)
    spec = candidate.spec
    assert template.latency is not None
    latency = template.latency.model_copy(update={"median_ms": float(draw.uniform(5, 50))})
    return TrialRecord(
        number=candidate.number,
        arch=spec,
        arch_id=spec.arch_id,
        trial_key=candidate.key(config),
        train=candidate.train,
        data=config.data,
        seed=candidate.seed,
        profile=template.model_copy(update={"arch": spec, "arch_id": spec.arch_id, "latency": latency}),
        result=TrainResult(
            miou=float(draw.uniform(0.2, 0.7)), class_iou={}, pixel_accuracy=0.5, curve=(), seconds=100.0,
            seed=candidate.seed, precision="float32", environment=environment(CPU, 1), evaluated_weights="ema",
        ),
    )  # fmt: skip


class Ticks(Watcher):
    """Notes when trials finish, and how long Optuna and the stand-ins for workers had taken by then."""

    def __init__(self, crew: Instant, optuna_s: Callable[[], float]) -> None:
        self.crew, self.optuna_s = crew, optuna_s
        self.at: list[tuple[float, float]] = []

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        self.at.append((time.perf_counter() - self.crew.own_s, self.optuna_s()))


def overhead(config: StudyConfig, folder: Path, before: int) -> tuple[float, float]:
    """Median milliseconds that a trial takes the driver after so many others, and how many of them are Optuna's."""
    filled(config, folder, before)
    crew = Instant(config)
    spent = timed_optuna()
    ticks = Ticks(crew, lambda: spent[0])
    run_study(config, folder, trials=before + MEASURED + 1, crew=crew, watcher=ticks)
    return tuple(1000 * float(value) for value in np.median(np.diff(ticks.at, axis=0), axis=0))  # type: ignore[return-value]


def seconds_of_the_live_front(folder: Path) -> tuple[float, float]:
    """Seconds of the processor for a study's table: read anew, and by a reader that has read it before."""
    growing = GrowingStudy(folder)
    growing.load()
    spent = []
    for load in (lambda: load_study(folder), growing.load):
        started = time.process_time()
        load()
        spent.append(time.process_time() - started)
    growing.close()
    return spent[0], spent[1]


def timed_optuna() -> list[float]:
    """From now on, a list whose one number is the seconds spent in Optuna's calls, those within others not twice."""
    spent, depth = [0.0], [0]

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def inner(*args: Any, **keywords: Any) -> Any:
            started = time.perf_counter()
            depth[0] += 1
            try:
                return call(*args, **keywords)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent[0] += time.perf_counter() - started

        return inner

    for kind, names in OPTUNA:
        for name in names:
            original = getattr(kind, name)
            setattr(kind, name, timed(getattr(original, "__wrapped_by_benchmark__", original)))
            getattr(kind, name).__wrapped_by_benchmark__ = original
    return spent


def filled(config: StudyConfig, folder: Path, count: int) -> None:
    """A study with so many finished trials: some at random points of its space through Optuna, the others copies of
    their rows in the storage, for Optuna takes minutes to write ten thousand."""
    made = min(count, MADE_BY_OPTUNA)
    made_by_optuna(config, folder, made)
    with sqlite3.connect(folder / "study.db") as connection:
        while made < count:
            copied = min(made, count - made)
            copy_trials(connection, made, copied)
            made += copied
    connection.close()


def copy_trials(connection: sqlite3.Connection, there: int, count: int) -> None:
    """Append the first `count` of a storage's trials once more, with numbers and keys of their own."""
    last: int = connection.execute("select max(trial_id) from trials").fetchone()[0]
    for table in TABLES:
        names = [row[1] for row in connection.execute(f"pragma table_info({table})")]
        values = {name: f"{table}.{name}" for name in names} | {"trial_id": f"{table}.trial_id + {last}"}
        if table == "trials":
            kept, join = names, ""
            values["number"] = f"trials.number + {there}"
        else:  # its own key, the first column, is given anew
            kept, join = names[1:], " join trials using (trial_id)"
        connection.execute(
            f"insert into {table} ({', '.join(kept)}) select {', '.join(values[name] for name in kept)} "
            f"from {table}{join} where trials.number < {count} and trials.trial_id <= {last}"
        )
    connection.execute(
        "update trial_user_attributes set value_json = '\"made ' || trial_id || '\"' "
        f"where key = 'trial_key' and trial_id > {last}"
    )


def made_by_optuna(config: StudyConfig, folder: Path, count: int) -> None:
    """A study with so many finished trials at random points of its space."""
    run_study(config, folder, trials=1, crew=Instant(config))
    first = load_only(folder, config)[0]

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(folder / "study.db", timeout=60)
        connection.execute("pragma synchronous = off")
        return connection

    storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
    study = optuna.load_study(study_name=config.name, storage=storage)
    draw = np.random.default_rng(0)
    for number in range(count - 1):
        params = {
            name: value if isinstance(value, int) else float(value * draw.uniform(0.99, 1.01))
            for name, value in first.params.items()
        }
        for name, distribution in first.distributions.items():
            if not distribution._contains(distribution.to_internal_repr(params[name])):
                params[name] = first.params[name]
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                params=params,
                distributions=first.distributions,
                values=[float(draw.uniform(0.2, 0.7)), float(draw.uniform(5, 50))],
                user_attrs={**first.user_attrs, "trial_key": f"made {number}"},
            )
        )
    storage.remove_session()
    storage.engine.dispose()


def load_only(folder: Path, config: StudyConfig) -> list[optuna.trial.FrozenTrial]:
    connect = {"creator": lambda: sqlite3.connect(folder / "study.db")}
    storage = optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs=connect)
    return optuna.load_study(study_name=config.name, storage=storage).get_trials()


if __name__ == "__main__":
    typer.run(main)
