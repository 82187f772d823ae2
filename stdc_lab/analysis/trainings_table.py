"""The trainings behind a claim: a CSV with a row an arm and seed, which needs no checkpoint to be judged again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError, model_validator

from stdc_lab.config.figures import CLASS_IOU
from stdc_lab.config.values import Value, in_words
from stdc_lab.errors import StudyError
from stdc_lab.files import read_bytes, write_text

COMPLETE, DIVERGED = "complete", "diverged"
FREQUENT = "frequent_miou"
"""Mean IoU over the classes that a protocol calls frequent."""
_BEFORE = ("arm", "seed", "state", "miou")
_AFTER = (
    "pixel_accuracy",
    "iterations",
    "seconds",
    "precision",
    "processor",
    "fingerprint",
    "training",
    "trial_key",
    "contents",
    "date",
    "reason",
)
_TOLD = {"arm", "seed", "state", "miou", "class_iou", "pixel_accuracy", "precision", "training", "contents"}
"""What a training's row says, apart from where, when and how fast it was run."""


class TrainingRow(Value):
    """A training that came to its end, or diverged. One that was killed is no row: it is run again."""

    arm: str
    seed: int
    state: Literal["complete", "diverged"]
    miou: float | None = None
    class_iou: dict[str, float | None] = Field(default_factory=dict)
    pixel_accuracy: float | None = None
    iterations: int
    """How many steps its schedule has."""
    seconds: float | None = None
    precision: str
    processor: str
    fingerprint: str
    """Of the machine, see `Environment`."""
    training: str
    """Key of what was asked for, whatever computed it: see `trial_key` without circumstances."""
    trial_key: str
    contents: str
    """Digest of the data set as it was decoded."""
    date: str
    """ISO 8601, UTC."""
    reason: str = ""
    """Why it diverged."""

    @model_validator(mode="after")
    def _has_a_score_unless_it_diverged(self) -> Self:
        if (self.miou is None) != (self.state == DIVERGED):
            raise ValueError(f"state {self.state} and miou {self.miou}; allowed: a miou of each that did not diverge")
        return self


def table_of(rows: Iterable[TrainingRow], arms: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame: by seed, and within a seed in the order of the arms; a column `iou.CLASS` for each class."""
    ordered = sorted(rows, key=lambda row: (row.seed, arms.index(row.arm) if row.arm in arms else len(arms), row.arm))
    classes = list(dict.fromkeys(name for row in ordered for name in row.class_iou))
    content = [
        row.model_dump(exclude={"class_iou"})
        | {f"{CLASS_IOU}{name}": _number(row.class_iou.get(name)) for name in classes}
        for row in ordered
    ]
    columns = [*_BEFORE, *(f"{CLASS_IOU}{name}" for name in classes), *_AFTER]
    frame = pd.DataFrame(content, columns=columns)
    numbers = ["miou", "pixel_accuracy", "seconds", *columns[len(_BEFORE) : -len(_AFTER)]]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def rows_of(frame: pd.DataFrame) -> list[TrainingRow]:
    """A frame of `table_of` as rows; its values may be texts. Raises ValueError that says which row is none."""
    classes = [name for name in frame.columns if str(name).startswith(CLASS_IOU)]
    rows = []
    for number, content in enumerate(frame.to_dict(orient="records"), 1):
        known = {str(key): (None if _is_none(value) else value) for key, value in content.items() if key not in classes}
        known["reason"] = known["reason"] or ""
        of_classes = {str(key)[len(CLASS_IOU) :]: content[key] for key in classes}
        if known["state"] == COMPLETE:
            known["class_iou"] = {key: None if _is_none(value) else value for key, value in of_classes.items()}
        try:
            rows.append(TrainingRow.model_validate(known))
        except ValidationError as error:
            said = "; ".join(map(in_words, error.errors(include_url=False)))
            raise ValueError(f"row {number}: {said}") from error
    return rows


def write_table(path: Path, rows: Iterable[TrainingRow], arms: Sequence[str]) -> None:
    """Write the rows as CSV; numbers have all their digits. Raises `StudyError` if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    table_of(rows, arms).to_csv(text, index=False, lineterminator="\n")
    write_text(path, text.getvalue(), StudyError)


def read_table(path: Path) -> list[TrainingRow]:
    """The rows of such a file; none if there is no file. Raises `StudyError` for one that is no such table."""
    if not path.exists():
        return []
    try:
        text = read_bytes(path).decode("utf-8-sig")  # a spreadsheet begins its files with a mark
        # As texts: an arm may be called `None`, and no digit depends on how pandas reads numbers.
        frame = pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)
        missing = [name for name in (*_BEFORE, *_AFTER) if name not in frame]
        if missing:
            raise ValueError(f"the column {missing[0]} is missing")
        rows = rows_of(frame)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StudyError(f"{path}: no table of trainings: {reason}; restore it, or move it away") from error
    seen: set[tuple[str, int]] = set()
    for row in rows:
        if (row.arm, row.seed) in seen:
            raise StudyError(f"{path}: two rows of arm {row.arm}, seed {row.seed}; keep one")
        seen.add((row.arm, row.seed))
    return rows


def with_frequent(frame: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The frame with `frequent_miou`, the mean IoU over these classes where each occurs. Raises `StudyError` for a
    class that it has no column of."""
    columns = [f"{CLASS_IOU}{name}" for name in classes]
    there = [str(one)[len(CLASS_IOU) :] for one in frame.columns if str(one).startswith(CLASS_IOU)]
    if not there:  # every training diverged
        return frame.assign(**{FREQUENT: np.nan})
    for column, name in zip(columns, classes, strict=True):
        if column not in frame:
            raise StudyError(f"frequent_classes: got {name!r}; allowed: {', '.join(there)}")
    return frame.assign(**{FREQUENT: frame[columns].mean(axis=1) if columns else np.nan})


def whole_pairs(rows: Sequence[TrainingRow], arms: Sequence[str]) -> tuple[list[TrainingRow], dict[int, str]]:
    """The rows of seeds whose arms were all trained on one machine in one precision; and of the others, why not."""
    kept: list[TrainingRow] = []
    left: dict[int, str] = {}
    for seed in sorted({row.seed for row in rows}):
        mine = {row.arm: row for row in rows if row.seed == seed and row.arm in arms}
        absent = [arm for arm in arms if arm not in mine]
        where = {(row.fingerprint, row.precision) for row in mine.values()}
        if absent:
            left[seed] = f"no training of {', '.join(absent)}"
        elif len(where) > 1:
            left[seed] = "arms of different machines or precisions"
        else:
            kept += mine.values()
    return kept, left


def digests_of(rows: Iterable[TrainingRow], arms: Sequence[str]) -> dict[str, str]:
    """What a look rests on: each pair, as `seed 3`, with eight hexadecimal digits for what its rows say.

    When and how fast they were trained is left out: a row that was lost and is trained again is the same.
    """
    found: dict[str, str] = {}
    kept, _ = whole_pairs(list(rows), arms)
    for seed in sorted({row.seed for row in kept}):
        of_seed = sorted((row for row in kept if row.seed == seed), key=lambda row: row.arm)
        content = json.dumps([row.model_dump(mode="json", include=_TOLD) for row in of_seed], sort_keys=True)
        found[f"seed {seed}"] = hashlib.sha256(content.encode()).hexdigest()[:8]
    return found


def _is_none(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
