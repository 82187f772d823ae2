"""`stdc-lab data`: what is in a data set, what is wrong with it, and what a training sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdc_lab.cli.options import read_data_option, read_size, write_json
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.config import DataConfig
    from stdc_lab.data import Progress
    from stdc_lab.data.check import DataCheck

app = typer.Typer(no_args_is_help=True, help="Data sets: check one, look at one.")

EXIT_WRONG = 2
NAME = "Its name, such as camvid; folder: your own images and masks with a classes.yaml."
DATA = "Where the data set is: camvid=path/to/camvid."
SPLIT = "camvid: usual (train.txt and val.txt) or drive (one drive held out)."
HELD_OUT = "camvid with --split drive: the drive held out; default: 0006R0."
MAX_COUNT = 50


@app.command("check")
def check_command(
    name: Annotated[str, typer.Argument(help=NAME)],
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help=DATA)] = None,
    split: Annotated[str | None, typer.Option(help=SPLIT)] = None,
    held_out: Annotated[str | None, typer.Option(help=HELD_OUT)] = None,
    json: Annotated[Path | None, typer.Option(help="Also write it to this file (- for stdout).")] = None,
) -> None:
    """Walk a data set: sizes, classes, and everything that is wrong with it. Exit status 2 if anything is.

    Example: stdc-lab data check camvid --data camvid=path/to/camvid
    """
    config = read_data_config(name, split=split, held_out=held_out)
    path = _read_path(data, name)

    from rich.console import Console

    from stdc_lab.data.check import check_dataset

    with _progress() as progress:
        found = check_dataset(config, path, progress)
    console = Console(stderr=json is not None and str(json) == "-", highlight=False, soft_wrap=True)
    _print_check(console, found)
    if json is not None:
        write_json(found.model_dump_json(indent=1), json)
    if not found.clean:
        raise typer.Exit(EXIT_WRONG)


@app.command("preview")
def preview_command(
    name: Annotated[str, typer.Argument(help=NAME)],
    out: Annotated[Path, typer.Option(help="The picture, a .png file.")],
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help=DATA)] = None,
    size: Annotated[str | None, typer.Option(help="Height x width of the samples; default: 192x256.")] = None,
    count: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="How many training images are shown.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Another seed shows others, changed otherwise.")] = 0,
    split: Annotated[str | None, typer.Option(help=SPLIT)] = None,
    held_out: Annotated[str | None, typer.Option(help=HELD_OUT)] = None,
) -> None:
    """A picture of training images: labels, what augmentation makes of them, and the edges that details are learnt by.

    Example: stdc-lab data preview camvid --data camvid=path/to/camvid --out preview.png
    """
    config = read_data_config(name, size=read_size(size or "192x256"), split=split, held_out=held_out)
    path = _read_path(data, name)
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out: got {str(out)!r}; allowed: a file whose name ends in .png")

    from stdc_lab.cli.preview import draw_preview, preview_rows
    from stdc_lab.data.sample import draw_samples

    samples = draw_samples(config, path, count, seed)
    draw_preview(preview_rows(samples, seed), samples, out)
    typer.echo(f"drawn: {out}, {len(samples.frames)} training images of {name}")


def read_data_config(name: str, **fields: Any) -> DataConfig:
    """The settings that the options give, those that are None left out. Raises `ConfigError`."""
    from pydantic import ValidationError

    from stdc_lab.config.data import DataConfig, kind_with

    given = {field: value for field, value in fields.items() if value is not None}
    try:
        return DataConfig(name=name, **given)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            written = [str(part) for part in problem["loc"] if kind_with(str(part)) is None]
            option = "--" + written[0].replace("_", "-") if written else ""
            message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            got = f"got {problem['input']!r}; allowed: " if option else ""
            lines.append(f"{'NAME' if option == '--name' else option or 'options'}: {got}{message}")
        raise ConfigError("\n".join(lines)) from error


def _read_path(data: list[str] | None, name: str) -> Path | None:
    return read_data_option(data, name, "the data set that is asked for")


@contextmanager
def _progress() -> Iterator[Progress]:
    """A line on a terminal, nothing in a file or pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("checking {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    console = Console(stderr=True)
    with Bar(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _print_check(console: Console, found: DataCheck) -> None:
    from rich.markup import escape

    folder = "" if found.folder is None else f"  {escape(found.folder)}"
    variant = "".join(f"; {what}: {how}" for what, how in found.variant.items())
    console.print(f"[bold]{found.dataset}[/bold]{folder}\n{found.layout}{variant}")
    _print_parts(console, found)
    _print_classes(console, found)
    if found.clean:
        console.print("clean: nothing is wrong")
        return
    many = len(found.problems)
    console.print(f"[bold]{many} thing{' is' if many == 1 else 's are'} wrong:[/bold]")
    for problem in found.problems:
        console.print(f"  {problem.where}: {problem.what}", markup=False)


def _print_parts(console: Console, found: DataCheck) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("part")
    table.add_column("images", justify="right")
    table.add_column("labelled", justify="right")
    table.add_column("sizes")
    for name, part in found.parts.items():
        sizes = ", ".join(f"{size} ({count})" for size, count in part.sizes.items())
        table.add_row(name, str(part.images), _percent(part.labelled_share), sizes or "none")
    console.print(table)


def _print_classes(console: Console, found: DataCheck) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("id", justify="right")
    table.add_column("class")
    table.add_column("of labelled pixels", justify="right")
    for part in found.parts:
        table.add_column(f"{part} images", justify="right")
    for label, item in enumerate(found.classes):
        images = (str(item.images[part]) for part in found.parts)
        style = "red" if item.pixels == 0 else None
        table.add_row(str(label), escape(item.name), _percent(item.share), *images, style=style)
    console.print(table)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"
