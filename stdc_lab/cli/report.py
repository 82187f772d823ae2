"""`stdc-lab report`: a study as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stdc_lab.errors import ConfigError


def report_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, as `stdc-lab search` leaves it.")],
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Leave out sample images of the data set (charts stay).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where to; default: FOLDER/report.")] = None,
    pruning: Annotated[
        bool,
        typer.Option("--pruning", help="Render nothing: say what stopping trials on the way saved, or would have."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="With --pruning: write it as JSON (- for stdout).")
    ] = None,
) -> None:
    """Render a study as a self-contained page, index.html, with its figures as PNGs beside it.

    Example: stdc-lab report runs/quickstart
    """
    if json_file is not None and not pruning:
        raise ConfigError("--json: allowed with --pruning only; a study's trials are in its trials.csv")
    if pruning:
        from stdc_lab.cli.pruning import show_pruning

        show_pruning(folder, json_file)
        return

    from stdc_lab.reporting import render_report

    page = render_report(folder, with_images=not without_images, out=out)
    typer.echo(f"report: {page}")
