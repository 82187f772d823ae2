"""`stdc-lab study`: look after a study that `stdc-lab search` runs or has run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stdc_lab.cli.search import DEVICE, DEVICES, JOBS, MAX_HOURS, NameAndPath, run_and_show

app = typer.Typer(no_args_is_help=True, help="A study: how far it is, its networks timed anew, its front confirmed.")

Study = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The study's folder, as `stdc-lab search` leaves it; or its YAML: runs/NAME."),
]
StatusJson = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the study's status to this file (- for stdout).")
]
Json = Annotated[Path | None, typer.Option(metavar="FILE", help="Also write it to this file (- for stdout).")]


@app.command("status")
def status_command(study: Study, json: Json = None) -> None:
    """Say how far a study is: trials, what is under way, the time left, the front. Reads only; from any terminal.

    Example: stdc-lab study status runs/quickstart --json status.json
    """
    from stdc_lab.cli.status import print_status

    print_status(_folder_of(study), json_file=json)


@app.command("retime")
def retime_command(
    study: Study, device: Annotated[str, typer.Option(help=DEVICE)] = "auto", json: StatusJson = None
) -> None:
    """Train nothing: time what was finished or screened out anew, in turns, so that drift falls on all alike.

    Example: stdc-lab study retime runs/quickstart
    """
    from stdc_lab.cli.status import write_status
    from stdc_lab.cli.watching import ConsoleWatcher, console_beside, print_front
    from stdc_lab.search import retime_study

    folder, console = _folder_of(study), console_beside(json)
    said: list[str] = []
    with ConsoleWatcher(console).retiming() as on_progress:
        retime_study(folder, device=device, on_progress=on_progress, say=said.append)
    print_front(folder, console)
    for line in said:
        console.print(line, markup=False)
    if json is not None:
        write_status(folder, json)


@app.command("confirm")
def confirm_command(
    study: Study,
    seeds: Annotated[int, typer.Argument(metavar="K", help="How many fresh seeds each network is trained with.")],
    tie: Annotated[float | None, typer.Option(help="A near tie is less than this mIoU behind the front.")] = None,
    data: NameAndPath = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    devices: Annotated[str | None, typer.Option(metavar="A,B", help=DEVICES)] = None,
    jobs: Annotated[int | None, typer.Option(help=JOBS)] = None,
    max_hours: Annotated[float | None, typer.Option(help=MAX_HOURS)] = None,
    json: StatusJson = None,
) -> None:
    """Train the front, near ties and controls again, each with K fresh seeds: is the front luck? No new trials.

    Called again, it goes on where it stopped, and adds seeds.

    Example: stdc-lab study confirm runs/camvid_pareto 3 --data camvid=../camvid
    """
    from stdc_lab.cli.status import write_status
    from stdc_lab.cli.watching import console_beside, print_confirmation
    from stdc_lab.search import Confirmation
    from stdc_lab.storage import read_study_config

    wanted = Confirmation(seeds) if tie is None else Confirmation(seeds, tie)
    folder, console = _folder_of(study), console_beside(json)
    config = read_study_config(folder)
    outcome = run_and_show(config, folder, data, device, devices, jobs, max_hours, confirm=wanted, console=console)
    if outcome.ended is None:
        print_confirmation(folder, console)
    console.print(f"study:  {folder}\nnext:   stdc-lab report {folder}", markup=False)
    if json is not None:
        write_status(folder, json)


@app.command("pruning")
def pruning_command(
    study: Study,
    json: Json = None,
) -> None:
    """Say what stopping trainings on the way saved, would have saved and would have lost.

    Example: stdc-lab study pruning runs/camvid_pruning --json pruning.json
    """
    from stdc_lab.cli.pruning import show_pruning

    show_pruning(_folder_of(study), json)


def _folder_of(study: Path) -> Path:
    """The folder of a study: what was given, or where `stdc-lab search` puts the study of that YAML."""
    if study.suffix not in (".yaml", ".yml"):
        return study

    from stdc_lab.config.reading import read_study
    from stdc_lab.storage import STORAGE_FILE, STUDY_FILE

    if study.name == STUDY_FILE and (study.parent / STORAGE_FILE).exists():
        return study.parent
    return Path("runs") / read_study(study).name
