"""`stdc-lab calibrate`: does a short training rank networks as a long one does?"""

from __future__ import annotations

import json as as_json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from stdc_lab.cli.tables import Table

HOW = (
    "tau: Kendall's tau-b with the mean mIoU of the long training; 95 %: percentile bootstrap over the networks, from "
    "8 on; at random: ±1.96 standard deviations of a random order. Ceiling: tau of a predictor that ranks as the truth "
    "does, by the seeds' noise. Beyond noise: tau over the pairs that differ by over two standard errors."
)


def calibrate_command(
    studies: Annotated[
        list[Path], typer.Argument(metavar="STUDY…", help="Folders of studies: in all, trainings of two lengths.")
    ],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write it to this file (- for stdout).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write calibration.csv and networks.csv there.")
    ] = None,
) -> None:
    """Say how well short trainings rank networks as long ones do: Kendall's tau, beside MACs, parameters and chance.

    Example: stdc-lab calibrate runs/short runs/long --json calibration.json
    """
    from rich.console import Console

    from stdc_lab.analysis.fidelities import read_fidelities
    from stdc_lab.cli.options import write_json
    from stdc_lab.cli.tables import as_rich
    from stdc_lab.errors import ConfigError
    from stdc_lab.files import write_text

    found = read_fidelities(studies)
    rows = found.calibration()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, frame in (("calibration", rows), ("networks", found.networks)):
            write_text(out / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"), ConfigError)
    if json is not None:
        write_json(as_json.dumps([_plain(row) for row in rows.to_dict("records")], indent=1), json)
    if str(json) != "-":
        console = Console(highlight=False, soft_wrap=True)
        console.print(as_rich(_table(rows)))
        for line in (*found.notes(), HOW):
            console.print(line, markup=False)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """A row as JSON has it: null for what is unknown."""
    return {str(key): None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def _table(rows: pd.DataFrame) -> Table:
    from stdc_lab.cli.tables import Row, Table

    def shown(value: float, digits: str = "+.2f") -> str:
        return "–" if math.isnan(value) else format(value, digits)

    lines = tuple(
        Row(
            (
                str(row["predictor"]),
                str(row["group"]),
                str(row["networks"]),
                shown(row["tau"]),
                "–" if math.isnan(row["low"]) else f"{row['low']:+.2f} to {row['high']:+.2f}",
                shown(row["ceiling"]),
                shown(row["tau_beyond_noise"]),
                f"{shown(row['pairs_beyond_noise'], '.0f')} of {row['pairs']}",
            )
        )
        for row in rows.to_dict("records")
    )
    columns = ("predictor", "group", "networks", "tau", "95 %", "ceiling", "beyond noise", "pairs beyond")
    return Table("calibration", columns, lines, words=2)
