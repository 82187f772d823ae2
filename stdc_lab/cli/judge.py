"""`stdc-lab judge`: a verdict on anybody's table of results."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stdc_lab.errors import ConfigError


class Assertion(StrEnum):
    better = "better"
    not_worse = "not_worse"
    equal = "equal"


class Direction(StrEnum):
    maximize = "maximize"
    minimize = "minimize"


def judge_command(
    results: Annotated[Path, typer.Argument(help="A CSV, a row a training: columns arm, seed and metrics.")],
    claim: Annotated[
        Path | None,
        typer.Option(metavar="CLAIM.yaml", help="A claim's file, in place of the options up to --direction."),
    ] = None,
    control: Annotated[str | None, typer.Option(help="The arm that the other is compared with.")] = None,
    treatment: Annotated[str | None, typer.Option(help="The arm that the claim is about.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="The smallest difference that matters, in the metric's unit.")
    ] = None,
    max_seeds: Annotated[
        int | None,
        typer.Option(help="The greatest number of seeds, fixed before the first result; without: one look at all."),
    ] = None,
    asserts: Annotated[Assertion | None, typer.Option(help="What the claim says; default: better.")] = None,
    direction: Annotated[Direction | None, typer.Option(help="Which is better; default: maximize.")] = None,
    metric: Annotated[str | None, typer.Option(help="The column to judge by; of a claim: its metric.")] = None,
    arm_column: Annotated[str, typer.Option(help="The column that names the arm.")] = "arm",
    seed_column: Annotated[str, typer.Option(help="The column that pairs the arms.")] = "seed",
    json: Annotated[Path | None, typer.Option(help="Write the verdict there as JSON; - for standard output.")] = None,
) -> None:
    """Say whether a table of results supports a claim: is one arm better than another, no worse, or equal?

    A look after every pair costs nothing with --max-seeds. A training that diverged has `diverged` in a column `state`.

    Example: stdc-lab judge results.csv --control plain --treatment guided --metric miou --margin 0.006 --max-seeds 16
    Example: stdc-lab judge results.csv --claim studies/claims/detail_auxiliary.yaml
    """
    from json import dumps

    from stdc_lab.analysis.judge import judge_contrast
    from stdc_lab.analysis.results import read_results
    from stdc_lab.cli.options import write_json
    from stdc_lab.errors import ResultsError

    own = {
        "--control": control,
        "--treatment": treatment,
        "--margin": margin,
        "--max-seeds": max_seeds,
        "--asserts": asserts,
        "--direction": direction,
    }
    question = _of_options(own, metric) if claim is None else _of_claim(claim, own, metric)
    frame = read_results(results)
    try:
        verdict = judge_contrast(frame, arm_column=arm_column, seed_column=seed_column, **question)
    except ResultsError as error:
        raise ResultsError(f"{results}: {error}") from None
    if json is None or str(json) != "-":
        typer.echo(str(verdict))
    if json is not None:
        write_json(dumps(verdict.to_dict(), indent=2), json)


def _of_options(own: dict[str, Any], metric: str | None) -> dict[str, Any]:
    """What is asked by the options alone, as `judge_contrast` takes it. Raises `ConfigError`."""
    needed = {name: own[name] for name in ("--control", "--treatment", "--margin")} | {"--metric": metric}
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise ConfigError(f"judge: {', '.join(missing)} missing; allowed: these four, or --claim CLAIM.yaml")
    if own["--control"] == own["--treatment"]:
        raise ConfigError(f"--control and --treatment are both {own['--control']!r}; allowed: two arms")
    return {
        "weights": {own["--treatment"]: 1.0, own["--control"]: -1.0},
        "metric": metric,
        "margin": own["--margin"],
        "max_seeds": own["--max-seeds"],
        "asserts": (own["--asserts"] or Assertion.better).value,
        "direction": (own["--direction"] or Direction.maximize).value,
    }


def _of_claim(path: Path, own: dict[str, Any], metric: str | None) -> dict[str, Any]:
    """What a claim's file asks, of a column that may have another name. Raises `ConfigError`."""
    from stdc_lab.config.claim import TrainedClaim
    from stdc_lab.config.reading import read_claim

    given = [name for name, value in own.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]}: the claim's file says this; leave it out, or leave out --claim")
    claim = read_claim(path)
    if not isinstance(claim, TrainedClaim):
        raise ConfigError(f"{path}: got a claim of kind {claim.kind}; allowed: trained, whose table is of trainings")
    return {
        "weights": claim.weights,
        "metric": metric or claim.metric,
        "margin": claim.margin,
        "max_seeds": claim.max_seeds,
        "asserts": claim.asserts,
        "direction": claim.direction,
    }
