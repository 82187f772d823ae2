"""How well a cheap score ranks networks as a dear one does: Kendall's tau, beside what noise alone leaves of it.

The numbers need a table and nothing else: a row a network, a column the cheap score (`low`), a column the dear one
(`high`). What seeds say of the noise comes as columns of standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from stdc_lab.errors import StdcLabError

MIN_NETWORKS = 4
"""Fewer say nothing of an order: any is as likely as one in six at least."""
MIN_FOR_INTERVAL = 8
"""Of fewer networks a bootstrap's interval is too narrow: it holds a tau of 0.85 in two of three cases with six."""
RESAMPLES = 1000
CEILING_DRAWS = 200
TIE_ERRORS = 2.0
"""Two networks are a tie if they differ by fewer standard errors of their difference."""
NEAR_REFERENCE = 0.10
"""How far from a reference's MACs its band reaches, as a share of them."""
CONFIDENCE = 0.95
RANDOM = "at random"
COLUMNS = (
    "predictor", "group", "networks", "tau", "low", "high", "ceiling", "tau_beyond_noise", "pairs",
    "pairs_beyond_noise",
)  # fmt: skip

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Group:
    """The networks of which a column lies in a range: of its values, or of its ranks as shares from 0 to 1."""

    name: str
    column: str | None = None
    """None: all networks."""
    above: float = 0.0
    """Outside the range where these are ranks, inside it where they are values."""
    to: float = 1.0
    by_value: bool = False

    def members(self, frame: pd.DataFrame) -> Flags:
        """For each row: does it belong to the group?"""
        if self.column is None:
            return np.ones(len(frame), dtype=np.bool_)
        values = frame[self.column].to_numpy(dtype=np.float64)
        if self.by_value:
            return np.asarray((values >= self.above) & (values <= self.to))
        shares = stats.rankdata(values) / len(values)
        rounding = 1e-9  # a third of the ranks is no number that floats have
        return np.asarray((shares > self.above + rounding) & (shares <= self.to + rounding))


def usual_groups(high: str, macs: str | None = None, reference: tuple[str, float] | None = None) -> tuple[Group, ...]:
    """All networks, the top quarter by the dear score, thirds by MACs, and the band of ±10 % around a reference.

    macs: the column; None leaves the thirds and the band out. reference: its name and MACs.
    """
    groups = [Group("all"), Group("top quarter", high, 0.75)]
    if macs is not None:
        thirds = ("lowest", "middle", "highest")
        groups += [Group(f"{name} third of MACs", macs, at / 3, (at + 1) / 3) for at, name in enumerate(thirds)]
    if macs is not None and reference is not None:
        name, value = reference
        ends = (1 - NEAR_REFERENCE) * value, (1 + NEAR_REFERENCE) * value
        groups.append(Group(f"MACs of {name} ±{100 * NEAR_REFERENCE:.0f} %", macs, *ends, by_value=True))
    return tuple(groups)


def calibration(
    frame: pd.DataFrame,
    low: str,
    high: str,
    *,
    low_error: str | None = None,
    high_error: str | None = None,
    beside: Mapping[str, str] | None = None,
    groups: Sequence[Group] | None = None,
    name: str | None = None,
    resamples: int = RESAMPLES,
    draws: int = CEILING_DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """How well `low`, and what else could stand for it, ranks networks as `high` does: a row a predictor and group.

    Columns: `predictor`; `group`; `networks`, how many it holds; `tau`, Kendall's tau-b of the predictor with `high`;
    `low`, `high`, its 95 % interval; `ceiling`, the tau that a predictor would have on average which ranks the networks
    as they truly are, with the noise of its own seeds and that of the dear score's; `tau_beyond_noise`, tau over the
    pairs whose dear scores differ by more than twice the standard error of the difference, since closer ones are ties;
    `pairs`, `pairs_beyond_noise`, how many pairs there are. NaN is what these networks cannot tell.

    The interval is the percentile one of a bootstrap over the group's networks. It is about the order of the scores as
    they were measured, noise included. It is NaN for fewer than 8 networks and for a perfect order, where a bootstrap
    says nothing or too much. The ceiling is a simulation: true scores are the measured ones, drawn together until their
    variance is what the noise leaves of it; normal noise of the given standard errors is added; the top quarter is
    chosen anew in each draw. The last predictor, `at random`, has the mean of tau over all orders, which is 0, and
    ±1.96 of its standard deviation, sqrt(2 (2 n + 5) / (9 n (n - 1))).

    frame: a row a network. low_error, high_error: columns of the scores' standard errors; without `high_error` neither
    ceiling nor ties are known, without `low_error` no ceiling of `low`. beside: other columns that may predict, by the
    predictor's name, more being better; they are taken to be free of noise. groups: `usual_groups` of `high` alone if
    absent. name: of the predictor `low`. resamples: of the bootstrap. draws: of the ceiling's
    simulation. seed: of both.
    Raises `StdcLabError` for a missing column, values that are no finite numbers, or fewer than 4 networks.
    """
    others = dict(beside or {})
    groups = usual_groups(high) if groups is None else groups
    asked = [low, high, low_error, high_error, *others.values(), *(group.column for group in groups)]
    _check(frame, list(dict.fromkeys(one for one in asked if one is not None)))
    dear = frame[high].to_numpy(dtype=np.float64)
    noise = None if high_error is None else frame[high_error].to_numpy(dtype=np.float64)
    predictors = {name or low: low} | others
    ceilings = {
        predictor: _ceilings(frame, column, low_error if column == low else "", high, high_error, groups, draws, seed)
        for predictor, column in predictors.items()
    }
    rows = []
    for group in groups:
        chosen = group.members(frame)
        there = None if noise is None else noise[chosen]
        for predictor, column in predictors.items():
            cheap = frame[column].to_numpy(dtype=np.float64)[chosen]
            rows.append(
                {
                    **_agreement(cheap, dear[chosen], there, resamples, seed),
                    "predictor": predictor,
                    "group": group.name,
                    "ceiling": ceilings[predictor][group.name],
                }
            )
        rows.append(_at_random(int(chosen.sum())) | {"group": group.name})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def pooled_deviation(values: Sequence[Sequence[float]]) -> float:
    """Standard deviation of a score over the seeds of one network, pooled; NaN if no network has two seeds."""
    several = [np.asarray(one, dtype=np.float64) for one in values if len(one) > 1]
    freedom = sum(len(one) - 1 for one in several)
    if not freedom:
        return math.nan
    return math.sqrt(sum(float(((one - one.mean()) ** 2).sum()) for one in several) / freedom)


def random_deviation(networks: int) -> float:
    """Standard deviation of Kendall's tau over all orders of so many networks; NaN for fewer than two."""
    if networks < 2:
        return math.nan
    return math.sqrt(2 * (2 * networks + 5) / (9 * networks * (networks - 1)))


def tau_of(one: Numbers, other: Numbers) -> float:
    """Kendall's tau-b; NaN for fewer than 4 values, or where one side is a single tie."""
    if len(one) < MIN_NETWORKS:
        return math.nan
    return float(stats.kendalltau(one, other).statistic)


def tau_beyond_noise(cheap: Numbers, dear: Numbers, errors: Numbers) -> tuple[float, int]:
    """Kendall's tau-b over the pairs that are no tie by the dear score's noise, and how many these are.

    errors: standard errors of the dear scores.
    """
    first, second = np.triu_indices(len(dear), 1)
    apart = np.abs(dear[first] - dear[second]) > TIE_ERRORS * np.hypot(errors[first], errors[second])
    ours, theirs = (np.sign(one[first] - one[second])[apart] for one in (cheap, dear))
    both = math.sqrt(float((ours**2).sum() * (theirs**2).sum()))
    return (float((ours * theirs).sum()) / both if both else math.nan), int(apart.sum())


def tau_interval(cheap: Numbers, dear: Numbers, *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of tau-b by resampling networks; NaN for few, or for a perfect order.

    A network that is drawn twice is tied with itself in both scores, and such a pair counts nowhere in tau-b.
    """
    count = len(dear)
    if count < MIN_FOR_INTERVAL or abs(abs(tau_of(cheap, dear)) - 1) < 1e-9:
        return math.nan, math.nan
    generator = np.random.default_rng([seed, count])
    times = generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float32)
    ours, theirs = (np.sign(one[:, None] - one).astype(np.float32) for one in (cheap, dear))
    agreeing, untied, untied_too = (
        np.einsum("ri,ri->r", times @ pairs, times, dtype=np.float64)
        for pairs in (ours * theirs, np.abs(ours), np.abs(theirs))
    )
    some = (untied > 0) & (untied_too > 0)
    if not some.any():
        return math.nan, math.nan
    taus = agreeing[some] / np.sqrt(untied[some] * untied_too[some])
    ends = np.quantile(taus, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(ends[0]), float(ends[1])


def _agreement(cheap: Numbers, dear: Numbers, errors: Numbers | None, resamples: int, seed: int) -> dict[str, Any]:
    few = len(dear) < MIN_NETWORKS
    beyond: tuple[float, float] = (math.nan, math.nan)
    if errors is not None and not few:
        beyond = tau_beyond_noise(cheap, dear, errors)
    ends = tau_interval(cheap, dear, resamples=resamples, seed=seed)
    return {
        "networks": len(dear),
        "tau": tau_of(cheap, dear),
        "low": ends[0],
        "high": ends[1],
        "tau_beyond_noise": beyond[0],
        "pairs": math.comb(len(dear), 2),
        "pairs_beyond_noise": beyond[1],
    }


def _at_random(networks: int) -> dict[str, Any]:
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * random_deviation(networks)
    known = networks >= MIN_NETWORKS
    return {
        "predictor": RANDOM,
        "networks": networks,
        "tau": 0.0 if known else math.nan,
        "low": -min(half, 1.0) if known else math.nan,
        "high": min(half, 1.0) if known else math.nan,
        "ceiling": math.nan,
        "tau_beyond_noise": math.nan,
        "pairs": math.comb(networks, 2),
        "pairs_beyond_noise": math.nan,
    }


def _ceilings(
    frame: pd.DataFrame,
    column: str,
    error: str | None,
    high: str,
    high_error: str | None,
    groups: Sequence[Group],
    draws: int,
    seed: int,
) -> dict[str, float]:
    """By group the mean tau of a predictor whose true order is that of the dear score.

    error: its standard errors' column; empty for a predictor without noise, None for unknown noise.
    """
    if error is None or high_error is None:
        return dict.fromkeys((group.name for group in groups), math.nan)
    dear_noise = frame[high_error].to_numpy(dtype=np.float64)
    cheap_noise = frame[error].to_numpy(dtype=np.float64) if error else np.zeros(len(frame))
    dear = without_noise(frame[high].to_numpy(dtype=np.float64), dear_noise)
    cheap = np.empty(len(frame))
    # The predictor's own true scores, in the order of the dear ones: its distances, against its noise, stay its own.
    cheap[np.argsort(dear, kind="stable")] = np.sort(without_noise(frame[column].to_numpy(np.float64), cheap_noise))
    generator = np.random.default_rng([seed, len(frame)])
    taus: dict[str, list[float]] = {group.name: [] for group in groups}
    for _ in range(draws):
        drawn = dear + dear_noise * generator.standard_normal(len(dear))
        predicted = cheap + cheap_noise * generator.standard_normal(len(dear))
        for group in groups:
            chosen = group.members(frame.assign(**{high: drawn}) if group.column == high else frame)
            taus[group.name].append(tau_of(predicted[chosen], drawn[chosen]))
    means = {name: np.array(found)[~np.isnan(found)] for name, found in taus.items()}
    return {name: float(found.mean()) if len(found) else math.nan for name, found in means.items()}


def without_noise(scores: Numbers, errors: Numbers) -> Numbers:
    """Scores drawn towards their mean until their variance is that of the true scores: what they show less the noise.

    All are equal where the noise explains the whole of it.
    """
    shown = float(scores.var(ddof=1))
    left = max(0.0, 1 - float((errors**2).mean()) / shown) if shown > 0 else 0.0
    return np.asarray(scores.mean() + math.sqrt(left) * (scores - scores.mean()))


def _check(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Raise `StdcLabError` for what cannot be ranked."""
    for name in names:
        if name not in frame:
            raise StdcLabError(f"no column {name!r}; there: {', '.join(map(str, frame.columns))}")
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            got = frame[name].iloc[int(wrong[0])]
            raise StdcLabError(f"column {name!r}, row {wrong[0]}: got {got!r}; allowed: finite numbers; leave it out")
    if len(frame) < MIN_NETWORKS:
        raise StdcLabError(f"got {len(frame)} networks; a ranking needs at least {MIN_NETWORKS}")
