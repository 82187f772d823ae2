"""`stdc-lab`: the commands, and what their exit status means."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from stdc_lab.cli import (
    arch,
    calibrate,
    data,
    evaluate,
    judge,
    predict,
    profile,
    report,
    reproduce,
    search,
    study,
    train,
    weights,
)
from stdc_lab.cli.moved import refuse_moved
from stdc_lab.errors import StdcLabError

EXIT_USER = 2
EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted; what was finished is kept"

app = typer.Typer(
    name="stdc-lab",
    help="Which design decisions of a real-time segmentation network are worth their cost?",
    epilog="Sizes are HEIGHTxWIDTH. Exit status: 0 done, 1 a bug, 2 your input, 130 interrupted (what is done stays).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(arch.app, name="arch")
app.add_typer(data.app, name="data")
app.command("profile")(profile.profile_command)
app.command("search")(search.search_command)
app.add_typer(study.app, name="study")
app.command("train")(train.train_command)
app.command("pretrain")(train.pretrain_command)
app.command("evaluate")(evaluate.evaluate_command)
app.command("predict")(predict.predict_command)
app.command("judge")(judge.judge_command)
app.command("report")(report.report_command)
app.command("calibrate")(calibrate.calibrate_command)
app.command("reproduce")(reproduce.reproduce_command)
app.command("import")(weights.import_command)
app.command("export")(weights.export_command)


def _version(wanted: bool) -> None:
    if wanted:
        from stdc_lab import __version__

        typer.echo(f"stdc-lab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("stdc_lab").setLevel(logging.DEBUG if verbose else logging.INFO)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line: the user's mistakes end in one message and status 2, bugs in a traceback and 1."""
    # Schedulers end a job by SIGTERM, and a shell starts background jobs deaf to SIGINT: both end a search as
    # Ctrl-C does, with everything finished kept.
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        refuse_moved(sys.argv[1:])
        app()
    except StdcLabError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USER)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        sys.exit(EXIT_USER)
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:  # typer has turned the interrupt into this already
            typer.echo(INTERRUPTED, err=True)
        raise
    except KeyboardInterrupt:
        typer.echo(INTERRUPTED, err=True)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
