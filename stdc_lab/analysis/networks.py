"""One network, one point: trainings that differ in their seed alone are averaged before anything is compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from stdc_lab.config.figures import FIGURES
from stdc_lab.storage import StoredTrial

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval (Student's t, by the spread of these seeds alone)."""

    mean: float
    low: float
    high: float
    """The interval; NaN with fewer than two seeds."""
    count: int


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean of some values and its interval; NaN for none.

    The spread is that of these values alone. A spread pooled over networks would be narrower, and too narrow for those
    whose seeds scatter more than the others': it covers 87 % where it says 95 % at one and a half times the spread.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan, 0)
    half = half_interval(float(np.std(known, ddof=1)) if len(known) > 1 else math.nan, len(known))
    mean = float(known.mean())
    return Estimate(mean, mean - half, mean + half, len(known))


def paired_difference(one: pd.Series, other: pd.Series) -> Estimate:
    """One minus other, over the seeds that both have; both are indexed by their seeds, each of which occurs once."""
    return estimate((one - other).dropna().to_numpy())


def half_interval(deviation: float, count: int) -> float:
    """Half of the 95 % interval of a mean of `count` values with this standard deviation; NaN for fewer than two."""
    if count < 2:
        return math.nan
    return float(special.stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(count)


def network_label(trial: StoredTrial) -> str:
    """What a trial trained, whatever its seed: the arm, the point of the space, or the network outside of it."""
    notes = trial.notes
    if notes.arm is not None:
        return f"arm {notes.arm}"
    if trial.params:
        return f"{notes.arch_id} {sorted(trial.params.items())}"
    return f"trial {trial.number}" if notes.reference is None else f"reference {notes.reference}"


def scores_of(frame: pd.DataFrame) -> list[str]:
    """The figures of a study's frame that depend on the seed, and have a column for their mean."""
    return [name for name in map(str, frame.columns) if f"network_{name}" in frame]


def with_networks(frame: pd.DataFrame, labels: Sequence[str], asked: Sequence[str] = ()) -> pd.DataFrame:
    """The frame with the trainings of each row's network, whatever their seeds, taken together.

    `network`: the number of the first complete trial of the same network and training; NaN for what is not complete and
    for fresh trainings of a confirmation. Trials that share a training (one `trial_key`) share a network, whatever they
    are called. `network_seeds`: how many trainings there are. `network_miou`, `network_boundary_f` …: their means, for
    each figure that depends on the seed; `network_low`, `network_high`: the 95 % interval of that mIoU, see `estimate`.

    labels: of the rows, see `network_label`. asked: the class IoUs that the study asks for.
    """
    counts = ((frame["state"] == "COMPLETE") & frame["confirms"].isna()).to_numpy()
    networks = _first_of_each(frame, labels, counts)
    frame["network"] = np.where(counts, networks, np.nan)
    trainings = frame[counts].assign(key=frame["trial_key"].fillna(frame["number"].astype("str")))
    groups = trainings.drop_duplicates(["network", "key"]).groupby("network")
    frame["network_seeds"] = frame["network"].map(groups.size()).fillna(0).astype("int64")
    for score in (*(one.name for one in FIGURES.values() if one.by_seed), *asked):
        frame[f"network_{score}"] = frame["network"].map(groups[score].mean()).astype("float64")
    deviation = frame["network"].map(groups["miou"].std()).astype("float64")
    half = [half_interval(sd, n) for sd, n in zip(deviation, frame["network_seeds"], strict=True)]
    frame["network_low"] = frame["network_miou"] - np.array(half, dtype=np.float64)
    frame["network_high"] = frame["network_miou"] + np.array(half, dtype=np.float64)
    return frame


def _first_of_each(frame: pd.DataFrame, labels: Sequence[str], counts: np.ndarray) -> list[int]:
    """For each row the smallest number among the counted rows that it is one network with, by label or by key."""
    first = {int(number): int(number) for number in frame["number"]}

    def root(number: int) -> int:
        while first[number] != number:
            number = first[number]
        return number

    seen: dict[str, int] = {}
    rows = zip(frame["number"], labels, frame["trial_key"], counts, strict=True)
    for number, label, key, counted in rows:
        if not counted:
            continue
        for name in (f"label {label}", f"key {key}" if isinstance(key, str) else f"trial {number}"):
            one, other = root(seen.setdefault(name, int(number))), root(int(number))
            first[max(one, other)] = min(one, other)
    return [root(int(number)) for number in frame["number"]]
