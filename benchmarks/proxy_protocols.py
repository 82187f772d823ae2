"""Which short training can see a difference? Trains a known large effect (base width 64 against 32) under several
protocols, with the same seeds, and prints how surely each sees it, and how many classes it finds.

    python benchmarks/proxy_protocols.py --data camvid=../camvid --seeds 4 --csv protocols.csv

The table grows a training at a time; called again, it goes on. Two processes may share the candidates: `--only NAME`.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from stdc_lab.arch import StdcSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import load_dataset
from stdc_lab.files import write_text
from stdc_lab.training.run import run_training

WIDTHS = {"wide": 64, "narrow": 32}
FOUND = 0.05
"""A class is found if its IoU reaches this in half of the seeds."""
_BASE: dict[str, Any] = {
    "iterations": 600, "batch_size": 8, "learning_rate": 0.02, "warmup_iterations": 50, "evaluations": 1,
    "loss": {"class_weights": "enet"}, "augmentation": {"scale": [0.75, 1.5], "crop": "128x160"},
}  # fmt: skip
_WHOLE = {"augmentation": {"scale": [0.75, 1.5]}}
CANDIDATES: dict[str, dict[str, Any]] = {
    "crops, batch 8": {},
    "frames, batch 4": {"batch_size": 4, **_WHOLE},
    "crops, batch 8, rate 0.05": {"learning_rate": 0.05},
    "crops, batch 4, 1200": {"batch_size": 4, "iterations": 1200},
    "crops, batch 8, unweighted": {"loss": {}},
    "crops, batch 8, OHEM": {"loss": {"cross_entropy": "ohem"}},
    "frames, batch 4, rate 0.05": {"batch_size": 4, "learning_rate": 0.05, **_WHOLE},
    "frames, batch 8, 300": {"iterations": 300, **_WHOLE},
    "crops, batch 8, head rate × 5": {"decoder_rate_factor": 5},
}


def train(name: str, arm: str, seed: int, data: DataConfig, path: Path, runs: Path) -> dict[str, Any]:
    """One training of a candidate; gives its row."""
    recipe = RecipeConfig(
        name="protocol",
        arch=StdcSpec(base_width=WIDTHS[arm]),
        data=data,
        train=TrainConfig.model_validate(_BASE | CANDIDATES[name]),
        seed=seed,
    )
    folder = runs / f"{list(CANDIDATES).index(name)}-{arm}-{seed}"
    found = run_training(recipe, folder, load_dataset(data, path), torch.device("cpu"), keep_weights=False).outcome.last
    classes = {f"iou.{key}": value for key, value in found.class_iou.items()}
    return {"candidate": name, "arm": arm, "seed": seed, "miou": found.miou, "seconds": found.seconds, **classes}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a candidate: what a training takes, what it sees of the effect, how many classes it finds."""
    rows = []
    classes = [name for name in frame if str(name).startswith("iou.")]
    for name, mine in frame.groupby("candidate", sort=False):
        by_seed = mine.pivot(index="seed", columns="arm", values="miou")
        apart = (by_seed["wide"] - by_seed["narrow"]).dropna() if {"wide", "narrow"} <= set(by_seed) else pd.Series()
        wide = mine[mine["arm"] == "wide"]
        found = int(((wide[classes] >= FOUND).mean() >= 0.5).sum())
        rows.append(
            {
                "candidate": name, "pairs": len(apart),
                "seconds": wide["seconds"].median(), "mIoU": wide["miou"].mean(),
                "effect": apart.mean(), "sd": apart.std(), "effect/sd": apart.mean() / apart.std(), "classes": found,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="camvid=../camvid", metavar="camvid=PATH")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", action="append", choices=list(CANDIDATES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, default=Path("protocols.csv"))
    parser.add_argument("--runs", type=Path, default=Path("runs/protocols"))
    parser.add_argument("--print", action="store_true", help="train nothing: print what the table says")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    frame = pd.read_csv(asked.csv) if asked.csv.exists() else pd.DataFrame(columns=["candidate", "arm", "seed"])
    data = DataConfig(name="camvid", size=(180, 240))
    for seed in () if asked.print else range(asked.seeds):
        for name in asked.only or CANDIDATES:
            for arm in WIDTHS:
                if ((frame["candidate"] == name) & (frame["arm"] == arm) & (frame["seed"] == seed)).any():
                    continue
                row = train(name, arm, seed, data, Path(asked.data.partition("=")[2]), asked.runs)
                frame = (
                    pd.concat([frame, pd.DataFrame([row])], ignore_index=True) if len(frame) else pd.DataFrame([row])
                )
                text = io.StringIO()
                frame.to_csv(text, index=False, lineterminator="\n")
                write_text(asked.csv, text.getvalue())
                print(f"{name}: {arm}, seed {seed}: mIoU {row['miou']:.4f}, {row['seconds']:.0f} s", flush=True)
    print(summary(frame).to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
