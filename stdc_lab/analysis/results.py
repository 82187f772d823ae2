"""Results of trainings as a table, a row a training: read, checked, and paired by seed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stdc_lab.errors import ResultsError
from stdc_lab.files import MAX_JSON_BYTES, read_bytes

FINISHED = ("complete", "completed", "finished", "done", "success", "")
DIVERGED = "diverged"
_STATE_COLUMNS = ("state", "State")
_MISSING = ("", "nan", "na", "n/a", "null", "none")
_SHOWN = 8


@dataclass(frozen=True)
class ArmResults:
    """The trainings of one arm, in the order of their seeds. `values`: NaN where a training diverged."""

    arm: str
    seeds: tuple[object, ...] | None
    values: np.ndarray

    @property
    def diverged(self) -> int:
        return int(np.isnan(self.values).sum())


def read_results(path: str | Path) -> pd.DataFrame:
    """A CSV of results, all columns as texts, which `judge` turns into numbers as it needs them.

    Raises `ResultsError` for a file that cannot be read, has more than 32 MiB, two columns of one name, or a row of
    another length than its header.
    """
    try:
        text = read_bytes(Path(path), MAX_JSON_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ResultsError(f"{path}: got bytes that are no UTF-8; allowed: a CSV file in UTF-8") from error
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise ResultsError(f"{path}: cannot be read as CSV: {error}") from error
    if len(rows) < 2:
        raise ResultsError(f"{path}: got {len(rows)} rows; allowed: a header and a row a training")
    header = [name.strip() for name in rows[0]]
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise ResultsError(f"{path}: column {doubled[0]!r} is there {header.count(doubled[0])} times; allowed: once")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise ResultsError(
                f"{path}: row {number} has {len(row)} fields and the header {len(header)}; allowed: as many, separated "
                "by commas, numbers with a decimal point"
            )
    return pd.DataFrame(rows[1:], columns=header, dtype="str")


def check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Raises `ResultsError` for a column that is missing or there twice."""
    for name in names:
        found = int((frame.columns == name).sum())
        if found == 0:
            shown = ", ".join(map(str, frame.columns[:30]))
            hint = " (separated by semicolons?)" if len(frame.columns) == 1 and ";" in str(frame.columns[0]) else ""
            raise ResultsError(f"no column {name!r}; got {shown}{hint}")
        if found > 1:
            raise ResultsError(f"column {name!r} is there {found} times; allowed: once")


def arms_of(
    frame: pd.DataFrame, arms: Sequence[str], metric: str, *, arm_column: str = "arm", seed_column: str | None = "seed"
) -> list[ArmResults]:
    """The trainings of some arms, each in the order of its seeds; the same seeds in all of them.

    seed_column: None if nothing says which trainings belong together. Raises `ResultsError`, by name, for a column or
    an arm that is missing, two rows of one arm and seed, a value that is no finite number in a training that did not
    diverge, a training that failed, and a seed that some arm lacks.
    """
    check_columns(frame, [arm_column, metric, *([] if seed_column is None else [seed_column])])
    names = frame[arm_column].astype("str").str.strip()
    known = list(dict.fromkeys(names))
    for arm in arms:
        if arm not in known:
            raise ResultsError(f"column {arm_column!r}: no arm {arm!r}; got {', '.join(known[:30])}")
    found = []
    for arm in arms:
        rows = frame[(names == arm).to_numpy()]
        seeds = None if seed_column is None else _seeds(rows[seed_column], arm, seed_column)
        order = range(len(rows)) if seeds is None else sorted(range(len(rows)), key=lambda place: _key(seeds[place]))
        where = [arm if seeds is None else f"{arm}, seed {seeds[place]}" for place in order]
        values = _values(rows.iloc[list(order)], metric, where)
        found.append(ArmResults(arm, None if seeds is None else tuple(seeds[place] for place in order), values))
    _check_paired(found)
    return found


def _check_paired(found: Sequence[ArmResults]) -> None:
    everywhere = {arm.arm: set(arm.seeds or ()) for arm in found}
    all_seeds = set().union(*everywhere.values())
    for arm, seeds in everywhere.items():
        lacking = sorted(all_seeds - seeds, key=_key)
        if lacking:
            shown = ", ".join(map(str, lacking[:_SHOWN])) + (" …" if len(lacking) > _SHOWN else "")
            raise ResultsError(
                f"unpaired: arm {arm!r} has no row of seed {shown}, which another arm has; allowed: every seed in "
                "every arm (a training that diverged has a row too, with `diverged` in a column `state`)"
            )


def _key(seed: object) -> tuple[int, float, str]:
    return (0, seed, "") if isinstance(seed, int | float) else (1, 0.0, str(seed))


def _seeds(column: pd.Series, arm: str, name: str) -> list[object]:
    """Whole numbers where all are, else texts. Raises `ResultsError` for one that is missing or there twice."""
    texts = column.astype("str").str.strip()
    if column.isna().any() or texts.str.lower().isin(_MISSING).any():
        raise ResultsError(f"column {name!r}: arm {arm!r} has a row without a seed")
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float)
    seeds: list[object] = list(texts)
    if np.isfinite(numbers).all():
        seeds = [int(number) if number == int(number) else float(number) for number in numbers.tolist()]
    seen: set[object] = set()
    for seed in seeds:
        if seed in seen:
            raise ResultsError(f"two rows of arm {arm!r} and seed {seed}; allowed: one")
        seen.add(seed)
    return seeds


def _values(rows: pd.DataFrame, metric: str, where: Sequence[str]) -> np.ndarray:
    """The metric of an arm's trainings, NaN where one diverged. Raises `ResultsError`."""
    state = next((name for name in _STATE_COLUMNS if name in rows), None)
    states = [""] * len(rows) if state is None else [_text(value).lower() for value in rows[state].tolist()]
    values = np.empty(len(rows))
    for place, (value, said) in enumerate(zip(rows[metric].tolist(), states, strict=True)):
        if said == DIVERGED:
            values[place] = math.nan
            continue
        if said not in FINISHED:
            raise ResultsError(
                f"arm {where[place]}: {state} is {said!r}; allowed: {', '.join(FINISHED[:-1])} or {DIVERGED} (train it "
                "again if it was broken off)"
            )
        values[place] = _number(value, metric, where[place])
    return values


def _text(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return "" if text.lower() in _MISSING else text


def _number(value: object, metric: str, where: str) -> float:
    text = _text(value)
    if not text:
        raise ResultsError(
            f"column {metric!r}, arm {where}: no value (NaN); allowed: a number, or `diverged` in a column `state`"
        )
    try:
        number = float(text) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        hint = " with a decimal point, not a comma" if "," in text else ""
        raise ResultsError(f"column {metric!r}, arm {where}: got {text[:40]!r}; allowed: a number{hint}") from None
    if not math.isfinite(number):
        raise ResultsError(f"column {metric!r}, arm {where}: got {text[:40]}; allowed: a finite number")
    return number


def contrast_of(found: Sequence[ArmResults], weights: Mapping[str, float]) -> np.ndarray:
    """Of each seed the weighted sum over the arms; NaN where one of them diverged."""
    parts = np.stack([weights[arm.arm] * arm.values for arm in found])
    return np.asarray(parts.sum(axis=0))
