"""What does stopping trainings on the way save, and what does it lose?

    .venv/bin/python benchmarks/pruning.py --data camvid=path/to/camvid

Runs one study twice at the same time, with its pruning and without, each on its half of the cores, so that whatever
else the machine does falls on both alike. Prints the wall time of both, how many iterations were trained, and the
hypervolume of both fronts within one corner: the worst that any trial has, and a tenth of the range beyond. Called
again it goes on where it was broken off; the wall times are then those of the trials, not of the commands.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from ruamel.yaml import YAML

from stdc_lab.analysis.frame import load_study
from stdc_lab.analysis.pareto import hypervolume
from stdc_lab.config.objectives import parse_objective
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.reading import read_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.records import TrialRecord

FORMS = {"pruned": True, "whole": False}


def main(
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Where the data set is.")] = None,
    study: Annotated[Path, typer.Option(help="A study with pruning.")] = Path("studies/camvid_pruning.yaml"),
    margin: Annotated[float | None, typer.Option(help="In place of the study's.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of both runs.")] = Path("runs/pruning"),
) -> None:
    config = read_study(study)
    if config.pruning is None:
        raise typer.BadParameter(f"{study}: has no pruning")
    if margin is not None:
        pruning = PruningConfig.model_validate({**config.pruning.model_dump(), "margin": margin})
        config = config.model_copy(update={"pruning": pruning})
    out.mkdir(parents=True, exist_ok=True)
    cores = np.array_split(sorted(os.sched_getaffinity(0)), len(FORMS))
    started = [
        started_search(form_of(config, pruned), out / name, data or [], {int(core) for core in own})
        for (name, pruned), own in zip(FORMS.items(), cores, strict=True)
    ]
    statuses = [process.wait() for process in started]
    if any(statuses):
        sys.exit("a search failed; its messages are above")
    frames = {name: load_study(out / name) for name in FORMS}
    corner = corner_of(list(frames.values()), config)
    print(
        f"{config.name}: {len(frames['whole'])} trials, one at a time, {len(cores[0])} core(s) each, at the same time"
    )
    print("| run | trained to the end | stopped | iterations | wall time | front | hypervolume |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = {name: row_of(frame, out / name, config, corner) for name, frame in frames.items()}
    for name, (ended, stopped, iterations, seconds, front, volume) in rows.items():
        print(f"| {name} | {ended} | {stopped} | {iterations:,} | {seconds / 60:.1f} min | {front} | {volume:.4g} |")
    pruned, whole = rows["pruned"], rows["whole"]
    print(
        f"saved: {1 - pruned[3] / whole[3]:.1%} of the wall time, {1 - pruned[2] / whole[2]:.1%} of the iterations; "
        f"hypervolume {pruned[5] / whole[5] - 1:+.2%}"
    )


def form_of(config: StudyConfig, pruned: bool) -> StudyConfig:
    return config if pruned else config.model_copy(update={"pruning": None})


def started_search(config: StudyConfig, folder: Path, data: list[str], cores: set[int]) -> subprocess.Popen[bytes]:
    """A search in a process of its own, on these cores only."""
    path = folder.with_suffix(".yaml")
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(config.model_dump(mode="json"), file)
    given = [word for one in data for word in ("--data", one)]
    # A lock of its own: the two are not to wait for each other.
    environment = os.environ | {"STDC_LAB_LOCK": str(folder.resolve().with_suffix(".lock"))}
    command = [str(Path(sys.executable).with_name("stdc-lab")), "search", str(path), "--out", str(folder), *given]
    return subprocess.Popen(command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores))


def corner_of(frames: list[pd.DataFrame], config: StudyConfig) -> list[float]:
    """Worse than what any trial of any run has, by a tenth of the range."""
    corner = []
    for objective in config.objectives:
        values = pd.concat([frame.loc[frame["state"] == "COMPLETE", objective.figure] for frame in frames])
        beyond = (values.max() - values.min()) / 10
        corner.append(float(values.min() - beyond if objective.maximize else values.max() + beyond))
    return corner


def row_of(
    frame: pd.DataFrame, folder: Path, config: StudyConfig, corner: list[float]
) -> tuple[int, int, int, float, int, float]:
    """Trainings that ended, that were stopped, iterations, seconds of wall time, front members, hypervolume."""
    objectives = [parse_objective(text) for text in frame.attrs["objectives"]]
    trained = frame[frame["state"].isin(["COMPLETE", "PRUNED"]) & ~frame["screened"] & frame["duplicate_of"].isna()]
    records = [
        TrialRecord.model_validate_json((folder / "runs" / key / "trial.json").read_bytes())
        for key in trained["trial_key"]
    ]
    iterations = sum(record.result.curve[-1].iteration for record in records)
    front = frame[frame["on_front"]]
    volume = hypervolume(
        front[[one.figure for one in objectives]].to_numpy(), [one.maximize for one in objectives], corner
    )
    ended = int((trained["state"] == "COMPLETE").sum())
    return ended, len(trained) - ended, iterations, float(trained["train_seconds"].sum()), len(front), volume


if __name__ == "__main__":
    typer.run(main)
