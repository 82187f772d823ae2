"""`stdc-lab search`: run a study, go on with it, time it anew, or say beforehand what it would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from stdc_lab.search import Confirmation


def search_command(
    study: Annotated[Path | None, typer.Argument(help="The study's YAML, such as studies/quickstart.yaml.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Train until the study holds this many trials; default: as the YAML says.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Where a data set is: camvid=path/to/camvid.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study's folder; default: runs/NAME.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    devices: Annotated[
        str | None, typer.Option(metavar="A,B", help="Several devices to share the trials, such as cuda:0,cuda:1.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Trials at once; default: one for each device.")] = None,
    max_hours: Annotated[
        float | None, typer.Option(help="Stop after so many hours; what is under way goes on later.")
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="No new trials: train front, near ties and controls again, each with K fresh seeds."
        ),
    ] = None,
    tie: Annotated[
        float | None, typer.Option(help="With --confirm: a near tie is less than this mIoU behind the front.")
    ] = None,
    retime: Annotated[
        bool,
        typer.Option("--retime", help="Train nothing: time what was finished or screened out anew, in turns."),
    ] = False,
    status: Annotated[
        Path | None, typer.Option(metavar="STUDY_DIR", help="Run nothing: say how far a study is, from any terminal.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Run nothing: size of the space, what its limits leave, costs, time needed."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="With --dry-run: write it as JSON (- for stdout).")
    ] = None,
) -> None:
    """Search a space of architectures: mIoU up, latency down. Called again, it goes on where it stopped.

    Ctrl-C once finishes the trials under way, twice stops at once; either way the same command goes on.

    Example: stdc-lab search studies/camvid_pareto.yaml --data camvid=../camvid --trials 20
    """
    if status is not None:
        from stdc_lab.cli.status import print_status

        print_status(status)
        return
    if study is None:
        raise ConfigError("search: no study was given; give its YAML, or --status STUDY_DIR")

    from stdc_lab.config.reading import read_study

    if trials is not None and trials < 1:
        raise ConfigError(f"--trials: got {trials}; allowed: a whole number from 1")
    config = read_study(study)
    folder = out if out is not None else Path("runs") / config.name
    path = read_data_option(data or [], config.data.name)
    if json_file is not None and not dry_run:
        raise ConfigError("--json: allowed with --dry-run only; a study's trials are in its trials.csv")
    given = {"--trials": trials is not None, "--retime": retime, "--dry-run": dry_run}
    wanted_confirmation = _read_confirmation(confirm, tie, [name for name, is_given in given.items() if is_given])
    devices_named = _names(devices, device)

    from stdc_lab.deploy.runtimes import check_runtime
    from stdc_lab.hardware.devices import choose_device

    for name in devices_named or (device,):  # here the file is known that the message is to name
        check_runtime(config.latency, choose_device(name), str(study))
    if dry_run:
        from stdc_lab.cli.dry_run import show_dry_run

        wanted = config if trials is None else config.replace(trials=trials)
        show_dry_run(wanted, path, device, json_file)
        return

    from stdc_lab.cli.watching import ConsoleWatcher, print_confirmation, print_front
    from stdc_lab.search import retime_study, run_study

    watcher = ConsoleWatcher()
    if retime:
        said: list[str] = []
        with watcher.retiming() as on_progress:
            retime_study(folder, device=device, on_progress=on_progress, say=said.append)
        print_front(folder)
        for line in said:
            typer.echo(line)
        return
    with watcher:
        outcome = run_study(
            config,
            folder,
            trials=trials,
            data_path=path,
            device=device,
            devices=devices_named,
            jobs=jobs,
            max_hours=max_hours,
            confirm=wanted_confirmation,
            watcher=watcher,
        )
    print_front(folder)
    what = "trials" if confirm is None else "fresh trainings"
    if outcome.ended is not None:
        typer.echo(f"{outcome.ended}: {outcome.trained} of {outcome.wanted} {what} are done; the same command goes on")
    elif confirm is not None:
        print_confirmation(folder)
    elif outcome.trained == outcome.trained_before:
        more = f"--trials {outcome.trained + 10}" if config.plan is None else "add arms or seeds to the plan"
        typer.echo(
            f"{outcome.trained} trials were trained before and {outcome.wanted} are wanted: nothing to do. "
            f"For more: {more}"
        )
    typer.echo(f"study:  {folder}\nnext:   stdc-lab report {folder}")


def _read_confirmation(seeds: int | None, tie: float | None, beside: list[str]) -> Confirmation | None:
    """What `--confirm` and `--tie` ask for. Raises `ConfigError`, `StudyError`."""
    if seeds is None:
        if tie is not None:
            raise ConfigError("--tie: allowed with --confirm K only")
        return None
    if beside:
        raise ConfigError(f"--confirm: got it beside {beside[0]}; allowed: search first, then confirm what it found")
    from stdc_lab.search import Confirmation

    return Confirmation(seeds) if tie is None else Confirmation(seeds, tie)


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


def read_data_option(given: list[str], name: str, what: str = "the data set of this study") -> Path | None:
    """The path that `--data NAME=PATH` gives for the data set `name`; None if none is given.

    `what` says what else that name is. Raises `ConfigError`.
    """
    path = None
    for item in given:
        key, separator, value = item.partition("=")
        if not separator or not value:
            raise ConfigError(f"--data: got {item!r}; allowed: NAME=PATH, such as {name}=path/to/{name}")
        if key != name:
            raise ConfigError(f"--data: got {key!r}; allowed: {name}, {what}")
        path = Path(value)
    return path
