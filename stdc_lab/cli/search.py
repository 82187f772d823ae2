"""`stdc-lab search`: run a study, go on with it, or say beforehand what it would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.cli.options import read_data_option
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.config.study import StudyConfig
    from stdc_lab.search import Confirmation, SearchOutcome

DATA = "Where a data set is: camvid=path/to/camvid."
DEVICE = "auto, cpu, cuda or cuda:N."
DEVICES = "Several devices to share the trainings, such as cuda:0,cuda:1."
JOBS = "Trainings at once; default: one for each device."
MAX_HOURS = "Stop after so many hours; what is under way goes on later."
NameAndPath = Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help=DATA)]


def search_command(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="The study's YAML, such as studies/quickstart.yaml.")
    ],
    trials: Annotated[
        int | None, typer.Option(help="Train until the study holds this many trials; default: as the YAML says.")
    ] = None,
    data: NameAndPath = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; default: runs/NAME.")] = None,
    device: Annotated[str, typer.Option(help=DEVICE)] = "auto",
    devices: Annotated[str | None, typer.Option(metavar="A,B", help=DEVICES)] = None,
    jobs: Annotated[int | None, typer.Option(help=JOBS)] = None,
    max_hours: Annotated[float | None, typer.Option(help=MAX_HOURS)] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Run nothing: size of the space, what its limits leave, costs, time needed."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="With --dry-run: write it as JSON (- for stdout).")
    ] = None,
) -> None:
    """Search a space of architectures: mIoU up, latency down. Called again, it goes on where it stopped.

    Ctrl-C once finishes the trials under way, twice stops at once; either way the same command goes on. To look after
    a study: stdc-lab study --help

    Example: stdc-lab search studies/camvid_pareto.yaml --data camvid=../camvid --trials 20
    """
    from stdc_lab.config.reading import read_study

    if trials is not None and trials < 1:
        raise ConfigError(f"--trials: got {trials}; allowed: a whole number from 1")
    config = read_study(study)
    folder = out if out is not None else Path("runs") / config.name
    if json_file is not None and not dry_run:
        raise ConfigError("--json: allowed with --dry-run only; a study's trials are in its trials.csv")

    from stdc_lab.deploy.runtimes import check_runtime
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.search.scoring import find_scorer

    for name in _names(devices, device) or (device,):  # here the file is known that the message is to name
        check_runtime(config.latency, choose_device(name), str(study))
    find_scorer(config.scorer, str(study))
    if dry_run:
        from stdc_lab.cli.dry_run import show_dry_run

        wanted = config if trials is None else config.replace(trials=trials)
        show_dry_run(wanted, read_data_option(data, config.data.name), device, json_file)
        return
    outcome = run_and_show(config, folder, data, device, devices, jobs, max_hours, trials=trials)
    if outcome.ended is None and outcome.trained == outcome.trained_before:
        more = f"--trials {outcome.trained + 10}" if config.plan is None else "add arms or seeds to the plan"
        typer.echo(
            f"{outcome.trained} trials were trained before and {outcome.wanted} are wanted: nothing to do. "
            f"For more: {more}"
        )
    typer.echo(f"study:  {folder}\nnext:   stdc-lab report {folder}")


def run_and_show(
    config: StudyConfig,
    folder: Path,
    data: list[str] | None,
    device: str,
    devices: str | None,
    jobs: int | None,
    max_hours: float | None,
    *,
    trials: int | None = None,
    confirm: Confirmation | None = None,
    console: Console | None = None,
) -> SearchOutcome:
    """Run a study, or confirm its front, on the console; print the front, and why it ended early if it did."""
    path, names = read_data_option(data, config.data.name), _names(devices, device)

    from stdc_lab.cli.watching import ConsoleWatcher, console_beside, print_front
    from stdc_lab.search import run_study

    console = console or console_beside(None)
    with ConsoleWatcher(console) as watcher:
        outcome = run_study(
            config,
            folder,
            trials=trials,
            data_path=path,
            device=device,
            devices=names,
            jobs=jobs,
            max_hours=max_hours,
            confirm=confirm,
            watcher=watcher,
        )
    print_front(folder, console)
    if outcome.ended is not None:
        what = "trials" if confirm is None else "fresh trainings"
        said = f"{outcome.ended}: {outcome.trained} of {outcome.wanted} {what} are done; the same command goes on"
        console.print(said, markup=False)
    return outcome


def _names(devices: str | None, device: str) -> tuple[str, ...]:
    """The devices that `--devices` lists. Raises `ConfigError`."""
    if devices is None:
        return ()
    names = tuple(name.strip() for name in devices.split(","))
    if device != "auto":
        raise ConfigError(f"--devices: got {devices!r} beside --device {device}; allowed: one of the two")
    if "" in names or len(set(names)) != len(names):
        raise ConfigError(f"--devices: got {devices!r}; allowed: each device once, such as cuda:0,cuda:1")
    return names
