"""Where the noise of a mIoU comes from: its variance over seeds, taken apart by class, by seed and the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stdc_lab.analysis.results import arms_of, contrast_of
from stdc_lab.config.figures import CLASS_IOU
from stdc_lab.errors import ResultsError


@dataclass(frozen=True)
class VarianceParts:
    """Of a paired difference in each class's IoU, over seeds.

    `by_class`: a row a class, the noisiest first: `effect`, the mean difference; `sd`, over seeds; `share`, of the
    variance of the mean over classes that comes with this class (they have the sum 1; NaN if nothing varies).
    `class_variance`, `seed_variance`, `rest_variance`: of a difference = mean + class + seed + rest, each above or at
    0. `sd`: of the mean over classes. `left_out`: classes without an IoU in some training.
    """

    by_class: pd.DataFrame
    class_variance: float
    seed_variance: float
    rest_variance: float
    sd: float
    seeds: int
    left_out: tuple[str, ...]


def variance_parts(
    frame: pd.DataFrame, weights: Mapping[str, float], *, arm_column: str = "arm", seed_column: str = "seed"
) -> VarianceParts:
    """Take the variance of a contrast apart. Two-way analysis of variance, a class and a seed a cell.

    frame: as for `judge`, with columns `iou.CLASS`. weights: of each arm, such as 1 and -1; one arm of weight 1 is
    taken apart as it is. Seeds of which a training diverged are left out.

    Raises `ResultsError` with fewer than two classes or two seeds, and as `judge` does.
    """
    names = [str(name) for name in frame.columns if str(name).startswith(CLASS_IOU)]
    whole = [name for name in names if not _is_missing(frame, name, list(weights), arm_column)]
    if len(whole) < 2:
        raise ResultsError(f"got {len(whole)} classes with an IoU in all trainings; allowed: two or more")
    table = np.stack(
        [
            contrast_of(arms_of(frame, list(weights), name, arm_column=arm_column, seed_column=seed_column), weights)
            for name in whole
        ]
    )
    table = table[:, ~np.isnan(table).any(axis=0)]
    classes, seeds = table.shape
    if seeds < 2:
        raise ResultsError(f"got {seeds} seeds without a diverged training; allowed: two or more")
    of_class, of_seed = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_class[:, None] - of_seed + table.mean()
    rest_variance = float((rest**2).sum()) / ((classes - 1) * (seeds - 1))
    spread = float(of_seed.var(ddof=1))
    shares = (table - of_class[:, None]) @ (of_seed - of_seed.mean()) / (seeds - 1) / classes
    by_class = pd.DataFrame(
        {
            "class": [name.removeprefix(CLASS_IOU) for name in whole],
            "effect": of_class,
            "sd": table.std(axis=1, ddof=1),
            "share": shares / spread if spread > 0 else np.full(classes, math.nan),
        }
    )
    return VarianceParts(
        by_class=by_class.sort_values("sd", ascending=False, ignore_index=True),
        class_variance=max(float(of_class.var(ddof=1)) - rest_variance / seeds, 0.0),
        seed_variance=max(spread - rest_variance / classes, 0.0),
        rest_variance=rest_variance,
        sd=math.sqrt(spread),
        seeds=seeds,
        left_out=tuple(name.removeprefix(CLASS_IOU) for name in names if name not in whole),
    )


def _is_missing(frame: pd.DataFrame, name: str, arms: Sequence[str], arm_column: str) -> bool:
    """Whether a class has no IoU in some training of these arms that ended well."""
    if arm_column not in frame:
        raise ResultsError(f"no column {arm_column!r}")
    rows = frame[frame[arm_column].astype("str").str.strip().isin(arms)]
    state = next((column for column in ("state", "State") if column in rows), None)
    if state is not None:
        rows = rows[rows[state].astype("str").str.strip().str.lower() != "diverged"]
    texts = rows[name].astype("str").str.strip().str.lower()
    return bool(rows[name].isna().any() or texts.isin(["", "nan"]).any())
