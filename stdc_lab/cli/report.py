"""`stdc-lab report`: a study as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, as `stdc-lab search` leaves it.")],
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Leave out sample images of the data set (charts stay).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where to; default: FOLDER/report.")] = None,
) -> None:
    """Render a study as a self-contained page, index.html, with its figures as PNGs beside it.

    Example: stdc-lab report runs/quickstart
    """
    from stdc_lab.reporting import render_report

    page = render_report(folder, with_images=not without_images, out=out)
    typer.echo(f"report: {page}")
