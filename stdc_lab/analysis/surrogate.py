"""A surrogate: what finished trainings tell of a figure of networks that nobody has trained, with an interval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd

from stdc_lab.analysis.architecture_features import architecture_features, study_features
from stdc_lab.analysis.gaussian_process import Numbers, Process, fit_process
from stdc_lab.errors import ResultsError

logger = logging.getLogger(__name__)

MIN_ROWS = 8
"""Fewer say nothing of noise, and little of anything else."""
DECADE = 10.0
ARCHITECTURE = "arch"
"""The column of a study's frame that stands for all features of its architectures."""


class Surrogate:
    """Predicts a figure of unseen networks from finished ones: a Gaussian process on standardised features.

        surrogate = Surrogate(None, "miou").fit(load_study("runs/mine"))
        surrogate.predict(candidates)  # a frame with the columns mean and sd

    features: columns of numbers; `arch` stands for the features of the network that it describes
        (`architecture_features`), so `["arch", "short_miou"]` is that and a cheap score. None: all that a study's frame
        tells of a trial before it is trained (`study_features`).
    target: the column to predict.
    seed: of the starts of the search for hyperparameters. Equal arguments and frames give equal predictions.

    A column that is positive and spans a factor of ten or more is taken by its logarithm. Rows without a target (not
    trained, failed) are left out, and so is a second row of one training (`trial_key`); a feature must be known in
    every row that is left. A column that does not vary is left out. `notes` says what was left out.
    """

    def __init__(self, features: Sequence[str] | str | None, target: str, *, seed: int = 0) -> None:
        self.features = None if features is None else [features] if isinstance(features, str) else list(features)
        self.target = target
        self.seed = seed
        self.notes: tuple[str, ...] = ()
        if self.features is not None and target in self.features:
            raise ResultsError(f"features: got {target}, which is the target; allowed: other columns")
        if self.features is not None and not self.features:
            raise ResultsError("features: got none; allowed: names of columns, or None for all that a study tells")
        self._fitted: _Fitted | None = None

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn from the rows of `frame` that have a target. Returns itself.

        Raises `ResultsError` for a missing column, one that holds text, NaN or infinite values in a feature, fewer than
        8 rows, a target or features that are the same in all rows.
        """
        rows, notes = self._rows_with_target(frame)
        values = rows[self.target].to_numpy(dtype=np.float64)
        if len(values) < MIN_ROWS:
            raise ResultsError(
                f"{self.target}: got {len(values)} rows that have it; allowed: {MIN_ROWS} or more to learn from"
            )
        if np.ptp(values) == 0:
            raise ResultsError(f"{self.target}: is {values[0]:g} in every row; there is nothing to learn")
        table = self._table(rows)
        constant = [str(name) for name in table.columns if np.ptp(table[name].to_numpy()) == 0]
        if len(constant) == table.shape[1]:
            raise ResultsError(f"features: the same in every row, all of them: {', '.join(constant)}")
        if constant:
            notes.append(f"left out, the same in every row: {', '.join(constant)}")
        self._fitted = _Fitted(table.drop(columns=constant), values, self.seed, like=list(map(str, table.columns)))
        self.notes = tuple(notes)
        for note in notes:
            logger.info("surrogate of %s: %s", self.target, note)
        return self

    def predict(self, frame: pd.DataFrame, *, noise: bool = True) -> pd.DataFrame:
        """`mean` and `sd` for each row of `frame`, indexed as it is, in the target's unit.

        A 90 % interval is mean ± 1.645 sd. noise: whether it is to hold what a training would measure; without, it
        holds the mean over many trainings of the network. Raises `ResultsError` before `fit`, and as `fit` does for
        features.
        """
        if self._fitted is None:
            raise ResultsError("surrogate: has not been fitted; call fit(frame) with finished trainings first")
        return self._fitted.predict(self._table(frame, self._fitted.like), noise)

    def _rows_with_target(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        _check_numbers(frame, [self.target])
        known = frame[self.target].notna()
        notes = [] if known.all() else [f"left out: {int((~known).sum())} of {len(frame)} rows without {self.target}"]
        rows = frame[known]
        if np.isinf(rows[self.target].to_numpy(dtype=np.float64)).any():
            raise ResultsError(f"{self.target}: infinite in some row; allowed: finite numbers, NaN where not measured")
        if "trial_key" in rows:
            repeats = rows["trial_key"].notna() & rows.duplicated("trial_key")
            if repeats.any():
                notes.append(f"left out: {int(repeats.sum())} rows whose training another row has")
            rows = rows[~repeats]
        return rows, notes

    def _table(self, frame: pd.DataFrame, like: Sequence[str] | None = None) -> pd.DataFrame:
        """The features of each row as finite numbers."""
        if self.features is None:
            found = study_features(frame, like)
        else:
            plain = [name for name in self.features if name != ARCHITECTURE]
            _check_numbers(frame, plain)
            found = frame[plain].astype(np.float64)
            if ARCHITECTURE in self.features:
                found = pd.concat([architecture_features(frame), found], axis=1)
        unknown = {str(name): int(count) for name, count in (~np.isfinite(found)).sum().items() if count}
        if unknown:
            listed = ", ".join(f"{name} in {count}" for name, count in unknown.items())
            raise ResultsError(
                f"features: not known, or infinite: {listed} of {len(found)} rows; leave these rows or columns out"
            )
        return found


class _Fitted:
    """What was learnt, and how features and target were standardised."""

    def __init__(self, table: pd.DataFrame, values: Numbers, seed: int, like: list[str]) -> None:
        self.like = like
        self._names = list(table.columns)
        numbers = table.to_numpy(dtype=np.float64)
        lowest, highest = numbers.min(axis=0), numbers.max(axis=0)
        self._logs = (lowest > 0) & (highest >= DECADE * lowest)
        self._floor = np.where(self._logs, lowest / DECADE, -np.inf)
        numbers = self._with_logs(numbers)
        self._centre, self._scale = numbers.mean(axis=0), numbers.std(axis=0)
        self._mean, self._sd = float(values.mean()), float(values.std())
        # The values' own mean and spread are estimates: what is predicted has Student's t, whose sd is this much wider.
        self._wider = float(np.sqrt((len(values) - 1) / (len(values) - 3)))
        rows = (numbers - self._centre) / self._scale
        self._process: Process = fit_process(rows, (values - self._mean) / self._sd, seed)

    def predict(self, table: pd.DataFrame, noise: bool) -> pd.DataFrame:
        numbers = self._with_logs(table[self._names].to_numpy(dtype=np.float64))
        mean, sd = self._process.predict((numbers - self._centre) / self._scale)
        if noise:
            sd = np.hypot(sd, self._process.noise_sd)
        sd = self._wider * self._sd * sd
        return pd.DataFrame({"mean": self._mean + self._sd * mean, "sd": sd}, index=table.index)

    def _with_logs(self, numbers: Numbers) -> Numbers:
        """What is far below all that was seen in such a column, zero among it, is taken as a tenth of the smallest."""
        numbers = np.maximum(numbers, self._floor)
        numbers[:, self._logs] = np.log(numbers[:, self._logs])
        return numbers


def _check_numbers(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame]
    if missing:
        raise ResultsError(f"columns: no {', '.join(missing)}; there are {', '.join(map(str, frame.columns))}")
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
    if texts:
        raise ResultsError(
            f"columns: {', '.join(texts)}: text, not numbers; allowed: columns of numbers, and {ARCHITECTURE} for "
            "what a network is"
        )
