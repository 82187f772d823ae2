"""`stdc-lab judge`: a verdict on anybody's table of results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Assertion(StrEnum):
    better = "better"
    not_worse = "not_worse"
    equal = "equal"


class Direction(StrEnum):
    maximize = "maximize"
    minimize = "minimize"


def judge_command(
    results: Annotated[Path, typer.Argument(help="A CSV, a row a training: columns arm, seed and metrics.")],
    control: Annotated[str, typer.Option(help="The arm that the other is compared with.")],
    treatment: Annotated[str, typer.Option(help="The arm that the claim is about.")],
    metric: Annotated[str, typer.Option(help="The column to judge by.")],
    margin: Annotated[float, typer.Option(help="The smallest difference that matters, in the metric's unit.")],
    max_seeds: Annotated[
        int | None,
        typer.Option(help="The greatest number of seeds, fixed before the first result; without: one look at all."),
    ] = None,
    asserts: Annotated[Assertion, typer.Option(help="What the claim says of the treatment.")] = Assertion.better,
    direction: Annotated[Direction, typer.Option(help="Whether more or less is better.")] = Direction.maximize,
    arm_column: Annotated[str, typer.Option(help="The column that names the arm.")] = "arm",
    seed_column: Annotated[str, typer.Option(help="The column that pairs the arms.")] = "seed",
    json: Annotated[Path | None, typer.Option(help="Write the verdict there as JSON; - for standard output.")] = None,
) -> None:
    """Say whether a table of results supports a claim: is one arm better than another, no worse, or equal?

    A look after every pair costs nothing with --max-seeds. A training that diverged has `diverged` in a column `state`.

    Example: stdc-lab judge results.csv --control plain --treatment guided --metric miou --margin 0.006 --max-seeds 16
    """
    from json import dumps

    from stdc_lab.analysis.judge import judge
    from stdc_lab.analysis.results import read_results
    from stdc_lab.cli.options import write_json
    from stdc_lab.errors import ResultsError

    frame = read_results(results)
    try:
        verdict = judge(
            frame,
            control=control,
            treatment=treatment,
            metric=metric,
            margin=margin,
            max_seeds=max_seeds,
            asserts=asserts.value,
            direction=direction.value,
            arm_column=arm_column,
            seed_column=seed_column,
        )
    except ResultsError as error:
        raise ResultsError(f"{results}: {error}") from None
    if json is None or str(json) != "-":
        typer.echo(str(verdict))
    if json is not None:
        write_json(dumps(verdict.to_dict(), indent=2), json)
