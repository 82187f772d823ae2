"""Which short training can see a difference? A known large effect (STDC1 at base width 64 against 32), protocol by
protocol, with the same seeds.

    .venv/bin/python benchmarks/proxy_protocols.py --data camvid=PATH --seeds 2
    .venv/bin/python benchmarks/proxy_protocols.py --data camvid=PATH --seeds 6 --only "frames, batch 4"
    .venv/bin/python benchmarks/proxy_protocols.py --print

Trains both widths with each seed on one thread, candidate after candidate, and adds a row to the table (--table) after
each. The same command goes on after a stop, within a training too; a row counts only for the training that its key
names, so a candidate that is changed is trained again. Two processes may share the candidates and the table: --only.
Prints a line a candidate: processor time of a training with its evaluation, mean of the paired difference, its standard
deviation with 95 % interval, their ratio, how many classes the wide network finds, and its mean mIoU.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from filelock import FileLock
from scipy import stats

from stdc_lab.arch import StdcSpec
from stdc_lab.cli.search import read_data_option
from stdc_lab.config.data import DataConfig
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import Dataset, load_dataset
from stdc_lab.files import write_text
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.records import Circumstances, trial_key
from stdc_lab.training.run import TrainingCallbacks, run_training
from stdc_lab.training.trainer import Progress

ROOT = Path(__file__).parents[1]
WIDTHS = {"wide": 64, "narrow": 32}
DATA = DataConfig(name="camvid", size=(180, 240), split="usual")
CPU = torch.device("cpu")
FOUND = 0.05
"""A class is found if its IoU reaches this in half of the seeds of the wide network."""
CHECKPOINT_EVERY = 100
CLASS = "iou."
"""Columns of the classes begin so."""
_CROPS: dict[str, Any] = {
    "iterations": 600,
    "batch_size": 8,
    "learning_rate": 0.02,
    "evaluations": 1,
    "loss": {"class_weights": "enet"},
    "augmentation": {"crop": "128x160"},
}
_FRAMES = _CROPS | {"augmentation": {}}
_AS_THEY_ARE = _FRAMES | {"iterations": 400, "augmentation": {"scale": [1, 1], "colour": 0}}
CANDIDATES: dict[str, dict[str, Any]] = {
    "crops, batch 8": _CROPS,
    "frames, batch 4": _FRAMES | {"batch_size": 4},
    "crops, batch 8, rate 0.05": _CROPS | {"learning_rate": 0.05},
    "crops, batch 4, 1200": _CROPS | {"batch_size": 4, "iterations": 1200},
    "crops, batch 8, unweighted": _CROPS | {"loss": {}},
    "crops, batch 8, OHEM": _CROPS | {"loss": {"cross_entropy": "ohem"}},
    "frames, batch 4, rate 0.05": _FRAMES | {"batch_size": 4, "learning_rate": 0.05},
    "frames, batch 8, 300": _FRAMES | {"iterations": 300},
    "frames, batch 8, 400": _FRAMES | {"iterations": 400},
    "frames, batch 8, 400, rate 0.05": _FRAMES | {"iterations": 400, "learning_rate": 0.05},
    "frames, batch 8, 600": _FRAMES,
    "frames, batch 8, 400, as they are": _AS_THEY_ARE,
    "frames, batch 4, 800, as they are": _AS_THEY_ARE | {"batch_size": 4, "iterations": 800},
    "frames, batch 8, 400, as they are, rate 0.05": _AS_THEY_ARE | {"learning_rate": 0.05},
    "crops, batch 8, 600, as they are": _CROPS | {"augmentation": {"crop": "128x160", "scale": [1, 1], "colour": 0}},
    "crops, batch 8, head rate × 5": _CROPS | {"decoder_rate_factor": 5},
}
"""Each is what it differs in from the default training; 600 crops of 8 and 600 frames of 4 hold equally many pixels.
As they are: images are mirrored and nothing else."""


def training_of(candidate: str) -> TrainConfig:
    """The whole training of a candidate."""
    return TrainConfig.model_validate(CANDIDATES[candidate])


def key_of(candidate: str, arm: str, seed: int) -> str:
    """Of what is asked for, whatever computes it."""
    return trial_key(StdcSpec(base_width=WIDTHS[arm]), training_of(candidate), DATA, seed)


def read_table(path: Path) -> pd.DataFrame:
    """The rows of the trainings as the candidates are now."""
    if not path.exists():
        return pd.DataFrame(columns=["candidate", "arm", "seed", "miou", "seconds", "training"])
    table = pd.read_csv(path)
    asked = zip(table["candidate"], table["arm"], table["seed"], table["training"], strict=True)
    now = [name in CANDIDATES and key == key_of(name, arm, seed) for name, arm, seed, key in asked]
    return table[now].reset_index(drop=True)


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Put a row into the table, sorted by candidate, seed and arm, whoever else adds to it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        table, added = read_table(path), pd.DataFrame([row])
        table = pd.concat([table, added], ignore_index=True) if len(table) else added
        order = {name: number for number, name in enumerate([*CANDIDATES, *WIDTHS])}
        table = table.drop_duplicates("training").sort_values(
            ["candidate", "seed", "arm"], key=lambda column: column.map(lambda value: order.get(value, value))
        )
        write_text(path, table.to_csv(index=False, lineterminator="\n"))


def train(candidate: str, arm: str, seed: int, dataset: Dataset, runs: Path) -> dict[str, Any]:
    """One training on one thread; gives its row."""
    config, spec = training_of(candidate), StdcSpec(base_width=WIDTHS[arm])
    here = Circumstances(dataset.contents, str(choose_dtype("auto", CPU)).removeprefix("torch."))
    folder = runs / trial_key(spec, config, DATA, seed, here)
    recipe = RecipeConfig(
        name=f"protocol_{folder.name}",
        arch=spec,
        data=DATA,
        train=config,
        seed=seed,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    begins: list[int] = []

    def hear(progress: Progress) -> None:
        if not begins:
            begins.append(progress.first_iteration)

    callbacks = TrainingCallbacks(progress=hear)
    started = time.process_time()
    found = run_training(recipe, folder, dataset, CPU, callbacks=callbacks, keep_weights=False).outcome.last
    spent = time.process_time() - started
    # Of one that went on: what is left stands for the whole; of one that was done, nobody knows.
    seconds = spent * config.iterations / (config.iterations - begins[0]) if begins else float("nan")
    return {
        "candidate": candidate,
        "arm": arm,
        "seed": seed,
        "miou": found.miou,
        "seconds": round(seconds, 1),
        "training": key_of(candidate, arm, seed),
        "precision": found.precision,
        "processor": found.environment.processor,
        **{f"{CLASS}{name}": value for name, value in found.class_iou.items()},
    }


def summary(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Of each candidate: what a training takes, what it sees of the effect, how many classes it finds."""
    classes = [name for name in table if str(name).startswith(CLASS)]
    for candidate, rows in table.groupby("candidate", sort=False):
        wide = rows[rows["arm"] == "wide"]
        by_seed = rows.pivot(index="seed", columns="arm", values="miou").reindex(columns=list(WIDTHS))
        apart = (by_seed["wide"] - by_seed["narrow"]).dropna().to_numpy(float)
        effect = float(apart.mean()) if len(apart) else float("nan")
        sd = float(apart.std(ddof=1)) if len(apart) > 1 else float("nan")
        yield {
            "candidate": candidate,
            "pairs": len(apart),
            "seconds": float(wide["seconds"].median()),
            "effect": effect,
            "sd": sd,
            "sd_interval": _sd_interval(sd, len(apart)),
            "ratio": effect / sd if sd > 0 else float("nan"),
            "found": int(((wide[classes] >= FOUND).mean() >= 0.5).sum()),
            "classes": len(classes),
            "miou": float(wide["miou"].mean()),
        }


def _sd_interval(sd: float, pairs: int) -> tuple[float, float]:
    """95 % interval of a normal sample's standard deviation."""
    if pairs < 2:
        return float("nan"), float("nan")
    low, high = sd * np.sqrt((pairs - 1) / stats.chi2.ppf([0.975, 0.025], pairs - 1))
    return float(low), float(high)


def show(table: pd.DataFrame) -> None:
    """Print the summary as a table of Markdown; a dash for what too few pairs do not tell."""
    print("| candidate | pairs | s a training | effect | sd of it | 95 % of the sd | effect / sd | classes | mIoU |")
    print("| --- " * 9 + "|")
    for row in summary(table):
        low, high = (_said(value, ".4f") for value in row["sd_interval"])
        print(
            f"| {row['candidate']} | {row['pairs']} | {_said(row['seconds'], '.0f')} | {_said(row['effect'], '+.4f')} "
            f"| {_said(row['sd'], '.4f')} | {low} – {high} | {_said(row['ratio'], '.1f')} "
            f"| {row['found']} of {row['classes']} | {_said(row['miou'], '.3f')} |"
        )


def _said(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


def main(
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Where CamVid is: camvid=PATH.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each candidate.")] = 2,
    only: Annotated[list[str] | None, typer.Option(metavar="CANDIDATE", help="Only these, by name.")] = None,
    arm: Annotated[list[str] | None, typer.Option(metavar="WIDTH", help="Only this width: wide or narrow.")] = None,
    table: Annotated[Path, typer.Option(help="The table, which grows.")] = ROOT / "reports/claims/protocols/camvid.csv",
    out: Annotated[Path, typer.Option(help="Folder of the trainings.")] = Path("runs/proxy_protocols"),
    show_only: Annotated[bool, typer.Option("--print", help="Train nothing: print what the table says.")] = False,
) -> None:
    for given, allowed in ((only, CANDIDATES), (arm, WIDTHS)):
        unknown = set(given or []) - set(allowed)
        if unknown:
            raise typer.BadParameter(f"got {', '.join(sorted(unknown))}; allowed: {'; '.join(allowed)}")
    torch.set_num_threads(1)
    if not show_only:
        dataset = load_dataset(DATA, read_data_option(data or [], DATA.name))
        for seed in range(seeds):
            for candidate in only or CANDIDATES:
                for width in arm or WIDTHS:
                    if key_of(candidate, width, seed) in set(read_table(table)["training"]):
                        continue
                    row = train(candidate, width, seed, dataset, out)
                    add_row(table, row)
                    print(
                        f"seed {seed}  {candidate:<34} {width:<6}  mIoU {row['miou']:.4f}  {row['seconds']:.0f} s",
                        flush=True,
                    )
    show(read_table(table))


if __name__ == "__main__":
    typer.run(main)
