"""A front of single trainings is too good to be true: what fresh seeds make of it.

The best of many noisy values is in part the luckiest (winner's curse). So choosing and judging are done on different
data: the search's own trainings choose the front, and trainings with seeds that had no part in that judge its members.
No front is chosen from the fresh trainings, for its members would be the luckiest of these. Selection alone is told
from what else may set first trainings apart by controls: networks that are trained again whatever their score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from stdc_lab.analysis.networks import CONFIDENCE, Estimate, half_interval, paired_difference, scores_of
from stdc_lab.analysis.pareto import BoolArray, pareto_front
from stdc_lab.config.figures import SHARE, figure_of
from stdc_lab.config.objectives import Objective


def comparable_values(frame: pd.DataFrame, objectives: Sequence[Objective]) -> np.ndarray:
    """The objectives of the rows that may be on a front (complete, feasible, no fresh seed of another), N×M; NaN in
    the others. Scores are means over the seeds of a row's network."""
    columns = [f"network_{one.figure}" if figure_of(one.figure).by_seed else one.figure for one in objectives]
    values = frame[columns].to_numpy(dtype=np.float64, copy=True)
    counts = (frame["state"] == "COMPLETE") & frame["feasible"] & frame["confirms"].isna()
    values[~counts.to_numpy(dtype=bool)] = np.nan
    return values


def worth_confirming(frame: pd.DataFrame, objectives: Sequence[Objective], tie: float) -> BoolArray:
    """For each row of a study's frame: is it on the front, or would it be if its scores were higher by `tie`?"""
    values, maximize = comparable_values(frame, objectives), [one.maximize for one in objectives]
    is_score = [figure_of(one.figure).unit == SHARE and one.maximize for one in objectives]
    raised = values + np.where(is_score, tie, 0.0)
    front = pareto_front(values, maximize)
    members = values[front]
    # A row of its own beside the front, for near ties must not hide one another.
    ties = [bool(pareto_front(np.vstack([row, members]), maximize)[0]) for row in raised]
    return np.asarray(front | np.array(ties, dtype=np.bool_))


def with_confirmations(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with what the fresh trainings of each row reached.

    `confirmed_seeds`: how many there are. `confirmed_miou`: their mean; `confirmed_low`, `confirmed_high`: its 95 %
    interval (Student's t, by the spread of that network's own seeds; none with fewer than two).
    `confirmed_boundary_f` …: means of the other scores. `control`: whether the network was trained again whatever its
    score: a reference (once all that finished were), or drawn by lot. Whether a network is on the front is left as it
    was.
    """
    fresh = _fresh(frame)
    groups = fresh.groupby(fresh["confirms"].astype("int64"))
    frame["confirmed_seeds"] = frame["number"].map(groups.size()).fillna(0).astype("int64")
    for score in scores_of(frame):
        frame[f"confirmed_{score}"] = frame["number"].map(groups[score].mean()).astype("float64")
    deviation = frame["number"].map(groups["miou"].std()).astype("float64")
    half = [half_interval(sd, count) for sd, count in zip(deviation, frame["confirmed_seeds"], strict=True)]
    frame["confirmed_low"] = frame["confirmed_miou"] - np.array(half, dtype=np.float64)
    frame["confirmed_high"] = frame["confirmed_miou"] + np.array(half, dtype=np.float64)
    drawn = frame["number"].isin(fresh.loc[fresh["control"], "confirms"])
    references = (frame["state"] == "COMPLETE") & frame["reference"].notna() & frame["confirms"].isna()
    # Two references that are one network are trained again once.
    again = frame.loc[references].groupby("network")["confirmed_seeds"].max()
    whole = bool((again > 0).all())
    frame["control"] = (frame["confirmed_seeds"] > 0) & (drawn | (references & whole))
    return frame


def fresh_difference(frame: pd.DataFrame, number: int, other: int) -> Estimate:
    """Mean mIoU of one network minus another's over the fresh seeds that both have, with its 95 % interval."""
    fresh = _fresh(frame)
    one, beside = (
        fresh[fresh["confirms"] == which].drop_duplicates("seed").set_index("seed")["miou"] for which in (number, other)
    )
    return paired_difference(one, beside)


def seed_deviation(frame: pd.DataFrame) -> tuple[float, int]:
    """Standard deviation of mIoU over fresh seeds, pooled over the networks, and its degrees of freedom (0: none)."""
    groups = [values.to_numpy() for _, values in _fresh(frame).groupby("confirms")["miou"]]
    freedom = sum(len(values) - 1 for values in groups)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in groups)
    return (math.sqrt(squares / freedom) if freedom else math.nan), freedom


@dataclass(frozen=True)
class Curse:
    """By how much the trainings that put networks on the front were better than fresh ones of the same networks."""

    networks: int
    """How many members of the front were trained again."""
    lead: float
    """Mean over them of the mIoU that chose them minus the mean of the fresh ones."""
    controls: int
    """How many networks were trained again whatever their score; members of the front may be among them."""
    control_lead: float
    """The same mean over these: what sets first trainings apart without any choice; NaN without a control."""
    luck: float
    """`lead` minus `control_lead`: what the choice alone has added; NaN without a control."""
    low: float
    high: float
    """The 95 % interval of `luck` (Welch's t over networks); NaN where there are too few."""


def winners_curse(frame: pd.DataFrame) -> Curse | None:
    """How lucky the choice of the front was; None if none of its members is confirmed."""
    confirmed = frame[(frame["confirmed_seeds"] > 0) & (frame["state"] == "COMPLETE")]
    confirmed = confirmed.drop_duplicates("network")
    leads = (confirmed["network_miou"] - confirmed["confirmed_miou"]).to_numpy(dtype=np.float64)
    chosen = confirmed["on_front"].to_numpy(dtype=np.bool_)
    control = confirmed["control"].to_numpy(dtype=np.bool_)
    if not chosen.any():
        return None
    lead = float(leads[chosen].mean())
    if not (control & ~chosen).any() and not (chosen & ~control).any():
        control = np.zeros_like(control)  # the same networks: nothing to compare
    if not control.any():
        return Curse(int(chosen.sum()), lead, 0, math.nan, math.nan, math.nan, math.nan)
    control_lead = float(leads[control].mean())
    half = _contrast_half(leads, chosen, control)
    luck = lead - control_lead
    return Curse(int(chosen.sum()), lead, int(control.sum()), control_lead, luck, luck - half, luck + half)


def _contrast_half(leads: np.ndarray, chosen: BoolArray, control: BoolArray) -> float:
    """Half of the 95 % interval of the chosen networks' mean minus the controls': Welch's, where none is both.

    A network that is both counts once, with the difference of its two weights.
    """
    weights = chosen / chosen.sum() - control / control.sum()
    variances, freedoms = [], []
    groups = [group for group in (chosen, control & ~chosen) if group.any()]
    spreads = [float(np.var(leads[group], ddof=1)) if group.sum() > 1 else math.nan for group in groups]
    known = [spread for spread in spreads if not math.isnan(spread)]
    if not known:
        return math.nan
    for group, spread in zip(groups, spreads, strict=True):
        # A single network has no spread of its own: it is taken to be like the others.
        variances.append(float((weights[group] ** 2).sum()) * (known[0] if math.isnan(spread) else spread))
        freedoms.append(max(int(group.sum()) - 1, 0))
    variance = sum(variances)
    if variance == 0:
        return 0.0
    usable = [(part, freedom) for part, freedom in zip(variances, freedoms, strict=True) if freedom]
    freedom = variance**2 / sum(part**2 / freedom for part, freedom in usable)
    if len(usable) < len(groups):  # the one spread that is known is all that there is
        freedom = usable[0][1]
    return float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)


def _fresh(frame: pd.DataFrame) -> pd.DataFrame:
    """The finished trainings of a confirmation."""
    return frame[(frame["state"] == "COMPLETE") & frame["confirms"].notna()]
