"""How often is a verdict wrong, when the differences are looked at after every pair?

    .venv/bin/python benchmarks/verdicts.py [--tables 100000] [--seeds 16]

Draws tables of paired differences whose truth is known, and lets the rules of `stdc_lab.judge` decide at the first look
that they can. Wrong is: *supported* where the assertion is false, *contradicted* where it is true, *no difference that
matters* where there is one. The rate is the worst over true differences of 0 and of the margin to both sides, and over
margins of a quarter of a standard deviation and of a whole one, for each assertion. Beside the repeated interval stand
two that are no good for this: a plain t interval at every look, and a bootstrap's percentiles (of a tenth of the
tables). Ends with status 1 if the repeated interval errs in more than 5 % of the symmetrical tables, by more than three
standard errors. Skewed differences are judged wrongly far more often: look at them before
you believe a verdict.

With 100,000 tables of up to 16 pairs (half a minute on one core):

| differences | asserts | repeated interval | plain t at every look | bootstrap at every look |
|---|---|---:|---:|---:|
| normal | better | 4.9% | 18.8% | 41.1% |
| normal | not_worse | 4.9% | 18.8% | 41.4% |
| normal | equal | 4.9% | 18.5% | 41.2% |
| t, 3 degrees of freedom | better | 3.6% | 15.2% | 40.7% |
| t, 3 degrees of freedom | not_worse | 3.6% | 15.3% | 42.2% |
| t, 3 degrees of freedom | equal | 3.6% | 15.2% | 41.7% |
| 10 % at five sd | better | 3.2% | 14.5% | 41.6% |
| 10 % at five sd | not_worse | 3.2% | 14.6% | 43.6% |
| 10 % at five sd | equal | 3.2% | 14.6% | 42.7% |
| lognormal | better | 22.5% | 39.8% | 52.5% |
| lognormal | not_worse | 22.5% | 39.9% | 53.3% |
| lognormal | equal | 22.5% | 39.9% | 53.3% |
| an arm collapses in 10 % | better | 32.0% | 49.9% | 60.4% |
| an arm collapses in 10 % | not_worse | 32.0% | 50.6% | 63.0% |
| an arm collapses in 10 % | equal | 32.0% | 50.6% | 63.0% |

| effect ÷ sd | *supported* within 16 pairs, hardly any margin |
|---:|---:|
| 0.5 | 41.5% |
| 1.0 | 94.3% |
| 1.5 | 100.0% |
| 2.0 | 100.0% |

| margin ÷ sd | *no difference that matters* of no effect | a decision at twice the margin | seeds that would do |
|---:|---:|---:|---:|
| 0.5 | 4.1% | 94.3% | 34 |
| 0.77 | 52.6% | 100.0% | 16 |
| 0.83 | 64.6% | 100.0% | 14 |
| 1.0 | 87.0% | 100.0% | 11 |
| 1.25 | 96.9% | 100.0% | 8 |
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Annotated, get_args

import numpy as np
import typer
from scipy import special

from stdc_lab.analysis.decisions import (
    VERDICTS,
    Asserts,
    chances,
    decide,
    first_decisions,
    is_wrong,
    plan_of,
    seeds_that_would_do,
)
from stdc_lab.analysis.sequential import FIRST_LOOK, repeated_intervals, running

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
MARGINS = (0.25, 1.0)
"""In standard deviations of a difference."""


def contaminated(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One in ten with five times the standard deviation."""
    return draw.standard_normal(shape) * np.where(draw.random(shape) < 0.1, 5, 1) / math.sqrt(0.9 + 0.1 * 25)


def lognormal(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    spread = math.sqrt((math.e - 1) * math.e)
    return (draw.lognormal(size=shape) - math.exp(0.5)) / spread


def collapsing(draw: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One arm loses ten standard deviations in a tenth of its seeds."""
    lost = 10 * (draw.random(shape) < 0.1)
    return (draw.standard_normal(shape) - lost + 1) / math.sqrt(1 + 100 * 0.1 * 0.9)


SYMMETRICAL: dict[str, Draw] = {
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "t, 3 degrees of freedom": lambda draw, shape: draw.standard_t(3, shape) / math.sqrt(3),
    "10 % at five sd": contaminated,
}
SKEWED: dict[str, Draw] = {"lognormal": lognormal, "an arm collapses in 10 %": collapsing}


def plain_t(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of one look, at every look."""
    mean, error = running(differences)
    half = special.stdtrit(np.arange(mean.shape[1]) + FIRST_LOOK - 1, 0.975) * error
    return mean - half, mean + half


def bootstrap(differences: np.ndarray, resamples: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of means of what was drawn again from the pairs, at every look."""
    draw, ends = np.random.default_rng(1), []
    for pairs in range(FIRST_LOOK, differences.shape[1] + 1):
        means = np.empty((len(differences), resamples))
        for resample in range(resamples):
            chosen = draw.integers(0, pairs, (len(differences), pairs))
            means[:, resample] = np.take_along_axis(differences, chosen, axis=1).mean(axis=1)
        ends.append(np.quantile(means, [0.025, 0.975], axis=1))
    low, high = np.stack(ends, axis=2)
    return low, high


def wrong_rate(low: np.ndarray, high: np.ndarray, asserts: Asserts) -> float:
    """The worst share of wrong verdicts over margins, and over true differences of 0 and of the margin to both sides.

    low, high: intervals at each look, tables × looks, where there is no difference.
    """
    rates = []
    for margin in MARGINS:
        for effect in (0.0, margin, -margin):
            found = first_decisions(decide(low + effect, high + effect, margin, asserts))
            rates.append(float(is_wrong(found, effect, margin, asserts).mean()))
    return max(rates)


def main(
    tables: Annotated[int, typer.Option(help="Simulated tables of each kind.")] = 100_000,
    seeds: Annotated[int, typer.Option(help="Pairs of each, at most.")] = 16,
) -> None:
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)
    good = True
    print("| differences | asserts | repeated interval | plain t at every look | bootstrap at every look |")
    print("|---|---|---:|---:|---:|")
    for name, distribution in (SYMMETRICAL | SKEWED).items():
        noise = distribution(np.random.default_rng(0), (tables, seeds))
        looks = [
            repeated_intervals(noise, seeds),
            plain_t(noise),
            bootstrap(noise[: max(tables // 10, 1)]),
        ]
        for asserts in get_args(Asserts):
            rates = [wrong_rate(low, high, asserts) for low, high in looks]
            good = good and (name in SKEWED or rates[0] <= allowed)
            print(f"| {name} | {asserts} | " + " | ".join(f"{rate:.1%}" for rate in rates) + " |", flush=True)
    _print_power(seeds)
    sys.exit(0 if good else 1)


def _print_power(seeds: int) -> None:
    print(f"\n| effect ÷ sd | *{VERDICTS[1]}* within {seeds} pairs, hardly any margin |\n|---:|---:|")
    for effect in (0.5, 1.0, 1.5, 2.0):
        found = chances(assumed_sd=1, margin=0.01, max_seeds=seeds, effect=effect)
        print(f"| {effect} | {found['supported']:.1%} |")
    print(f"\n| margin ÷ sd | *{VERDICTS[3]}* of no effect | a decision at twice the margin | seeds that would do |")
    print("|---:|---:|---:|---:|")
    for margin in (0.5, 0.77, 0.83, 1.0, 1.25):
        plan, enough = (
            plan_of(assumed_sd=1, margin=margin, max_seeds=seeds),
            seeds_that_would_do(assumed_sd=1, margin=margin),
        )
        print(f"| {margin} | {plan.null_chance:.1%} | {plan.decision_chance:.1%} | {enough} |")


if __name__ == "__main__":
    typer.run(main)
