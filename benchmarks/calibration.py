"""How well do cheap scores rank 1,800 networks as their whole training on Cityscapes does?

    .venv/bin/python benchmarks/calibration.py PATH/TO/networks.csv

The table is NAS-Bench-MR's (one training each, so no seeds tell a ceiling), with the columns `macs_reported`,
`num_params`, `cityscapes_miou` and `proxy_…`. Prints Kendall's tau with its interval for each score: over all, in the
top quarter, within thirds of MACs and within the middle decile of MACs. Over all 2,507 networks tau was worked out
apart from this code: over all / in the top quarter / in the middle decile of MACs, MACs .36/.12/.04,
`proxy_seg4x_miou` .52/.15/.21, parameters .45, ImageNet-50 at 1,000 images a class .54, at 100 .10; these are printed
beside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from stdc_lab.analysis.calibration import Group, calibration, usual_groups

HIGH, LOW, MACS = "cityscapes_miou", "proxy_seg4x_miou", "macs_reported"
MIDDLE = "middle decile of MACs"
OTHERS = ("num_params", "proxy_cls50_1000_top1", "proxy_cls50_100_top1", "proxy_cls10_1000_top1")
KNOWN = {
    (LOW, "all"): 0.52, (LOW, "top quarter"): 0.15, (LOW, MIDDLE): 0.21,
    (MACS, "all"): 0.36, (MACS, "top quarter"): 0.12, (MACS, MIDDLE): 0.04,
    ("num_params", "all"): 0.45, ("proxy_cls50_1000_top1", "all"): 0.54, ("proxy_cls50_100_top1", "all"): 0.10,
}  # fmt: skip


def main(table: Annotated[Path, typer.Argument(help="The CSV of NAS-Bench-MR's networks.")]) -> None:
    frame = pd.read_csv(table)
    groups = (*usual_groups(HIGH, MACS), Group(MIDDLE, MACS, 0.45, 0.55))
    found = calibration(frame, LOW, HIGH, beside={name: name for name in (MACS, *OTHERS)}, groups=groups)
    print("| predictor | group | networks | tau | 95 % | of all 2,507 |\n| --- | --- | ---: | ---: | --- | ---: |")
    for row in found.to_dict("records"):
        known = KNOWN.get((str(row["predictor"]), str(row["group"])))
        print(
            f"| {row['predictor']} | {row['group']} | {row['networks']} | {row['tau']:+.3f} "
            f"| {row['low']:+.3f} to {row['high']:+.3f} | {'' if known is None else f'{known:+.2f}'} |"
        )


if __name__ == "__main__":
    typer.run(main)
