"""How well does `stdc_lab.Surrogate` rank networks that it has not seen, and do its intervals hold?

    .venv/bin/python benchmarks/surrogate_on_table.py NETWORKS.csv [--seeds 20] [--csv FILE]

NETWORKS.csv: 1,800 HRNet-like networks with real Cityscapes results, of NAS-Bench-MR (Ding et al., ICLR 2022), a row a
network; it is not part of this repository. For each size, so many networks are drawn, the surrogate is fitted to them
and predicts all others: Kendall's tau with their mIoU, over all of them, among the quarter with the highest mIoU and
within the middle tenth by MACs, and the share of them that lies in the 90 % interval (mean ± 1.645 sd). Figures are
means over seeds with their 95 % interval; a seed draws the same networks for all features. The interval is over what is
drawn, on this table. Beside stand what needs no training of ours: MACs, parameters, the cheap score alone. Ends with
status 1 where a goal is missed. The cheap score is a training of its own, whose cost is not counted here.

Features: the 27 `choices` of an architecture; its `costs`, MACs and parameters; the cheap `score`. With 20 seeds (a
minute or two on one core; `reports/efficiency/surrogate.csv`):

| features | networks | tau | top_quarter_tau | middle_macs_tau | coverage |
|---|---:|---:|---:|---:|---:|
| macs_reported alone |  | 0.346 | 0.072 | -0.019 |  |
| num_params alone |  | 0.434 | 0.217 | 0.240 |  |
| proxy_seg4x_miou alone |  | 0.528 | 0.118 | 0.219 |  |
| choices | 16 | 0.401 (0.38 … 0.42) | 0.106 (0.08 … 0.13) | 0.080 (0.04 … 0.12) | 0.878 (0.85 … 0.91) |
| choices, costs | 16 | 0.420 (0.40 … 0.44) | 0.129 (0.11 … 0.15) | 0.111 (0.07 … 0.15) | 0.878 (0.85 … 0.91) |
| choices, costs, score | 16 | 0.479 (0.46 … 0.50) | 0.152 (0.13 … 0.18) | 0.199 (0.16 … 0.24) | 0.897 (0.87 … 0.92) |
| choices | 32 | 0.468 (0.45 … 0.48) | 0.163 (0.14 … 0.18) | 0.183 (0.15 … 0.21) | 0.898 (0.88 … 0.92) |
| choices, costs | 32 | 0.496 (0.48 … 0.52) | 0.190 (0.17 … 0.21) | 0.222 (0.19 … 0.25) | 0.900 (0.88 … 0.92) |
| choices, costs, score | 32 | 0.556 (0.54 … 0.57) | 0.205 (0.18 … 0.23) | 0.322 (0.29 … 0.36) | 0.862 (0.82 … 0.90) |
| choices | 64 | 0.560 (0.55 … 0.57) | 0.228 (0.22 … 0.24) | 0.292 (0.27 … 0.31) | 0.907 (0.89 … 0.92) |
| choices, costs | 64 | 0.603 (0.59 … 0.62) | 0.263 (0.25 … 0.28) | 0.346 (0.32 … 0.37) | 0.904 (0.89 … 0.92) |
| choices, costs, score | 64 | 0.627 (0.61 … 0.64) | 0.265 (0.25 … 0.28) | 0.413 (0.39 … 0.43) | 0.891 (0.87 … 0.91) |
| choices | 128 | 0.662 (0.65 … 0.67) | 0.304 (0.29 … 0.32) | 0.431 (0.41 … 0.45) | 0.901 (0.89 … 0.92) |
| choices, costs | 128 | 0.681 (0.68 … 0.69) | 0.315 (0.30 … 0.33) | 0.463 (0.45 … 0.48) | 0.892 (0.88 … 0.91) |
| choices, costs, score | 128 | 0.683 (0.68 … 0.69) | 0.309 (0.30 … 0.32) | 0.487 (0.47 … 0.51) | 0.882 (0.87 … 0.90) |
| choices | 256 | 0.709 (0.70 … 0.71) | 0.317 (0.31 … 0.33) | 0.497 (0.48 … 0.51) | 0.904 (0.90 … 0.91) |
| choices, costs | 256 | 0.715 (0.71 … 0.72) | 0.322 (0.31 … 0.33) | 0.514 (0.50 … 0.53) | 0.892 (0.88 … 0.90) |
| choices, costs, score | 256 | 0.720 (0.72 … 0.72) | 0.328 (0.32 … 0.34) | 0.535 (0.52 … 0.55) | 0.887 (0.88 … 0.90) |

How the rules were chosen: on the table's even rows. All rows were then judged, and at 32 networks with the cheap score
an interval covered 84.4 %; so the prior was tightened and intervals became Student's, by trials on even rows again. So
the odd rows chose nothing but that; on them alone (`--rows odd`) every goal is met: .607 and .631 from 64.

Tried on even rows and left out: lengths and weights that are free for each column (tau .34 in place of .39 from 16
networks, intervals that cover 56 to 67 %); costs and widths as they are, not by logarithms (.03 less from 64); the
logarithm of what mIoU lacks to 85 % in place of mIoU, which is skewed (.00 to .02 more, .01 to .03 more in the top
quarter; but it needs a ceiling that no other figure has); intervals wider by the errors of predicting each row from the
others (changes nothing: the hyperparameters have seen the row) or by degrees of freedom (covers 98 %).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import typer

from stdc_lab import Surrogate
from stdc_lab.analysis.calibration import tau_of
from stdc_lab.analysis.networks import estimate

TARGET, PROXY = "cityscapes_miou", "proxy_seg4x_miou"
COSTS = ["macs_reported", "num_params"]
SIZES = (16, 32, 64, 128, 256)
WITHIN_90 = 1.6449
GOALS = {(64, False): 0.60, (256, False): 0.68, (64, True): 0.60, (256, True): 0.70}
"""Of tau over all held-out networks, by the size and by whether the cheap score is a feature."""
COVERAGE = (0.85, 0.95)
MEASURES = ("tau", "top_quarter_tau", "middle_macs_tau", "coverage")


def main(
    path: Annotated[Path, typer.Argument(help="networks.csv of NAS-Bench-MR.")],
    seeds: Annotated[int, typer.Option(help="Draws of networks to learn from.")] = 20,
    rows: Annotated[
        Literal["all", "even", "odd"], typer.Option(help="Of the table; even ones chose the rules.")
    ] = "all",
    csv: Annotated[Path | None, typer.Option(help="Where to keep the table.")] = None,
) -> None:
    table = pd.read_csv(path)
    table = {"all": table, "even": table[::2], "odd": table[1::2]}[rows].reset_index(drop=True)
    choices = list(table.columns[: table.columns.get_loc(COSTS[0])])
    features = {
        "choices": choices,
        "choices, costs": choices + COSTS,
        "choices, costs, score": [*choices, *COSTS, PROXY],
    }
    found = [_of_column(table, name) for name in (*COSTS, PROXY)]
    print("| features | networks | " + " | ".join(MEASURES) + " |\n|---|---:|" + "---:|" * len(MEASURES))
    for one in found:
        print(_line(one), flush=True)
    for size in SIZES:
        for name, columns in features.items():
            seen = pd.DataFrame([_judge(table, columns, size, seed) for seed in range(seeds)])
            found.append({"features": name, "networks": size, "seeds": seeds} | _with_intervals(seen))
            print(_line(found[-1]), flush=True)
    result = pd.DataFrame(found)
    if csv is not None:
        result.round(4).to_csv(csv, index=False, lineterminator="\n")
    missed = _missed(result)
    print("\n" + ("\n".join(missed) or "Every goal is met."))
    sys.exit(1 if missed else 0)


def _judge(table: pd.DataFrame, columns: list[str], size: int, seed: int) -> dict[str, float]:
    order = np.random.default_rng(seed).permutation(len(table))
    learnt, held = table.iloc[order[:size]], table.iloc[order[size:]]
    predicted = Surrogate(columns, TARGET).fit(learnt).predict(held)
    off = (held[TARGET] - predicted["mean"]).abs()
    return _taus(predicted["mean"], held) | {"coverage": float((off <= WITHIN_90 * predicted["sd"]).mean())}


def _of_column(table: pd.DataFrame, name: str) -> dict[str, object]:
    return {"features": f"{name} alone", "networks": 0} | _taus(table[name], table)


def _taus(scores: pd.Series, held: pd.DataFrame) -> dict[str, float]:
    """Over all networks, among the quarter with the highest mIoU, and within the middle tenth by MACs."""
    top = (held[TARGET] >= held[TARGET].quantile(0.75)).to_numpy()
    macs = held[COSTS[0]]
    middle = macs.between(macs.quantile(0.45), macs.quantile(0.55)).to_numpy()
    one, other = scores.to_numpy(), held[TARGET].to_numpy()
    taus = tau_of(one, other), tau_of(one[top], other[top]), tau_of(one[middle], other[middle])
    return dict(zip(MEASURES[:3], taus, strict=True))


def _with_intervals(seen: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name in MEASURES:
        over = estimate(seen[name].to_numpy())
        found |= {name: over.mean, f"{name}_low": over.low, f"{name}_high": over.high}
    return found


def _line(row: dict[str, object]) -> str:
    def shown(name: str) -> str:
        if name not in row:
            return ""
        ends = f" ({row[f'{name}_low']:.2f} … {row[f'{name}_high']:.2f})" if f"{name}_low" in row else ""
        return f"{row[name]:.3f}{ends}"

    return f"| {row['features']} | {row['networks'] or ''} | " + " | ".join(map(shown, MEASURES)) + " |"


def _missed(result: pd.DataFrame) -> list[str]:
    missed = []
    for row in result[result["networks"] > 0].to_dict("records"):
        goal = GOALS.get((row["networks"], row["features"].endswith("score")))
        where = f"{row['features']}, {row['networks']} networks"
        if goal is not None and row["features"] != "choices" and row["tau"] < goal:
            missed.append(f"Missed: {where}: tau {row['tau']:.3f}, goal {goal}")
        if not COVERAGE[0] <= row["coverage"] <= COVERAGE[1]:
            missed.append(
                f"Missed: {where}: coverage {row['coverage']:.1%}, goal {COVERAGE[0]:.0%} to {COVERAGE[1]:.0%}"
            )
    return missed


if __name__ == "__main__":
    typer.run(main)
