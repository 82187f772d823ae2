"""`stdc-lab reproduce`: run what the claims still need, and say what came of them."""

from __future__ import annotations

import json as jsonlib
import re
from pathlib import Path
from typing import Annotated

import typer

from stdc_lab.errors import ConfigError

_HOURS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def reproduce_command(
    claim: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CLAIM...", help="Ids of claims in studies/claims, or paths of claim files; default: all."
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="The exact claims: arithmetic, done within a minute.")] = False,
    measured: Annotated[
        bool, typer.Option("--measured", help="The measured claims: latencies on this machine.")
    ] = False,
    trained: Annotated[bool, typer.Option("--trained", help="The trained claims.")] = False,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin no training that would end after so long: 2h, 90m.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Train at most so many seeds of each claim in all.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this protocol of trained claims; may be repeated.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Where the files of a data set are; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where tables, ledgers and verdicts are kept.")] = Path("reports/claims"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    jobs: Annotated[
        int, typer.Option(min=1, help="Train so many arms of a seed at once, each with its share of the cores.")
    ] = 1,
    judge_only: Annotated[
        bool, typer.Option("--judge-only", help="Run nothing: judge the tables that are there.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Run claims too that can hardly be decided; the ledger records it.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the table as Markdown (- for stdout).")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the verdicts to this file (- for stdout).")
    ] = None,
) -> None:
    """Run what the claims of the paper still need here, stop where they are decided, print the verdicts.

    What the tables of --out hold is done. Called again, it goes on. A contradicted claim is a result: exit status 0.

    Example: stdc-lab reproduce --exact
    Example: stdc-lab reproduce detail_auxiliary --data camvid=../camvid --budget 2h
    """
    from stdc_lab.claims.folder import check_protocols, chosen_claims
    from stdc_lab.cli.options import write_json, write_text
    from stdc_lab.cli.tables import as_markdown
    from stdc_lab.cli.verdicts import ReproduceWatcher, print_verdicts, verdict_table

    kinds = [kind for kind, wanted in (("exact", exact), ("measured", measured), ("trained", trained)) if wanted]
    seconds = None if budget is None else read_budget(budget)
    paths = read_paths(data)
    unread: list[str] = []
    folders = chosen_claims(claim or [], kinds, out, problems=unread)
    check_protocols(folders, protocol or ())

    from stdc_lab.claims.reproduce import Wanted, reproduce
    from stdc_lab.hardware.devices import choose_device

    wanted = Wanted(seconds, seeds, not judge_only, anyway, jobs, protocol or ())
    to_stdout = "-" in (str(json), str(markdown))
    with ReproduceWatcher() as watcher:
        done = reproduce(folders, out, wanted, choose_device(device), data=paths, watcher=watcher.watcher())
    content = jsonlib.dumps([verdict.model_dump(mode="json") for verdict in done.verdicts], indent=1)
    if not to_stdout:
        print_verdicts(done.verdicts)
        typer.echo(f"kept:   {out}\nnext:   stdc-lab report {out}")
    if json is not None:
        write_json(content, json)
    if markdown is not None:
        write_text(as_markdown(verdict_table(done.verdicts)), markdown, "--markdown")
    if problems := [*unread, *done.problems]:
        raise ConfigError("\n".join(problems))


def read_budget(text: str) -> float:
    """`2h`, `90m` or `1.5h` in seconds. Raises `ConfigError`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)\s*", text)
    if match is None or not float(match[1]):
        raise ConfigError(f"--budget: got {text!r}; allowed: a number with its unit, such as 2h, 90m or 600s")
    return float(match[1]) * _HOURS[match[2]]


def read_paths(given: list[str] | None) -> dict[str, Path]:
    """What `--data NAME=PATH` gives, by name. Raises `ConfigError`."""
    from stdc_lab.config.data import DATA_NAMES

    paths = {}
    for item in given or []:
        name, separator, path = item.partition("=")
        if not separator or not path or name not in DATA_NAMES:
            raise ConfigError(f"--data: got {item!r}; allowed: NAME=PATH, where NAME is {', '.join(DATA_NAMES)}")
        paths[name] = Path(path)
    return paths
