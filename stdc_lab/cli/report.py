"""`stdc-lab report`: a study as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    folder: Annotated[Path, typer.Argument(help="A study’s folder; or one of claims: reports/claims.")],
    without_images: Annotated[
        bool, typer.Option("--without-images", help="Leave out sample images of the data set (charts stay).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Where to; default: FOLDER/report, of claims FOLDER.")] = None,
) -> None:
    """Render a study as a self-contained page, index.html, with its figures as PNGs beside it; of claims a page each.

    Example: stdc-lab report runs/quickstart
    Example: stdc-lab report reports/claims
    """
    from stdc_lab.analysis.claim_folder import holds_claims
    from stdc_lab.reporting import render_claims, render_report

    if holds_claims(folder):
        typer.echo(f"report: {render_claims(folder, out)}")
        return
    page = render_report(folder, with_images=not without_images, out=out)
    typer.echo(f"report: {page}")
