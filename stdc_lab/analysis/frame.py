"""A study as a table: a row a trial."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from stdc_lab.analysis.pareto import pareto_front
from stdc_lab.analysis.storage import StoredStudy, read_storage
from stdc_lab.arch import ArchSpec
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError

TEXT_COLUMNS = ("state", "arch_id", "trial_key", "reference", "fingerprint", "reason", "arch")
WHOLE_COLUMNS = ("number", "seed", "macs", "num_params", "duplicate_of")
COLUMNS = (
    "number",
    "state",
    "arch_id",
    "seed",
    "reference",
    "miou",
    "latency_ms",
    "latency_p95_ms",
    "latency_spread",
    "latency_ms_in_search",
    "retimed",
    "fingerprint",
    "macs",
    "num_params",
    "on_front",
    "fps",
    "gflops",
    "train_seconds",
    "reason",
    "duplicate_of",
    "trial_key",
    "arch",
)


def load_study(folder_or_url: str | Path, study_name: str | None = None) -> pd.DataFrame:
    """A study's trials, a row each, in the order of their numbers; what was not measured is NaN.

    Columns: `COLUMNS`, then one for each varied parameter (`base_width`, `depths.stage3`, …). Beside what the
    design's table of words defines: `latency_spread` is interquartile range over median; after `search --retime`
    the latencies are the new ones (`retimed` True) and the first are kept as `latency_ms_in_search`; `on_front`
    is over complete trials; `gflops` is 2·MACs/10⁹; `arch` is JSON for `ArchSpec.from_dict`. A reference
    outside the space has its parameters read off its architecture where that is possible.
    `attrs` holds `study_name` and `retimed_at` (ISO text or None).

    folder_or_url: a study's folder, or a storage's URL (`sqlite:///…`); with several studies in it,
    `study_name` says which. Raises `StudyError` if it cannot be read; never makes or changes a file.
    """
    stored = read_storage(folder_or_url, study_name)
    names = _varied_names(stored)
    retimed = stored.user_attrs.get("retimed")
    rows = [_row(trial, stored.config, retimed if isinstance(retimed, dict) else {}) for trial in stored.trials]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *names])
    frame = _typed(frame.sort_values("number", ignore_index=True))
    frame["fps"] = 1000 / frame["latency_ms"]
    frame["gflops"] = 2 * frame["macs"] / 1e9
    frame["on_front"] = front_of(frame)
    frame.attrs = {"study_name": stored.name, "retimed_at": stored.user_attrs.get("retimed_at")}
    return frame


def front_of(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each row: is it complete, and does no other complete trial have mIoU and latency better than it?"""
    values = frame[["miou", "latency_ms"]].to_numpy(dtype=np.float64, copy=True)
    values[(frame["state"] != "COMPLETE").to_numpy()] = np.nan
    return pareto_front(values, [True, False])


def varied_parameters(frame: pd.DataFrame) -> list[str]:
    """Columns of a study's frame that are parameters of its space."""
    return [str(column) for column in frame.columns if column not in COLUMNS]


def write_trials_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a study's frame as CSV; the file appears whole or not at all. Raises `StudyError` if it cannot be."""
    path = Path(path)
    whole = frame.astype({column: "Int64" for column in WHOLE_COLUMNS if column in frame})
    partial: str | None = None
    try:
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            whole.to_csv(file, index=False, lineterminator="\n")
        os.chmod(partial, 0o644)  # mkstemp's 0600 would hide the file from the rest of the group
        os.replace(partial, path)
    except OSError as error:
        if partial is not None:
            with contextlib.suppress(OSError):
                os.unlink(partial)
        raise StudyError(f"{path}: cannot be written: {error.strerror}") from error


def _varied_names(stored: StoredStudy) -> list[str]:
    """Names of the varied parameters: in the space's order, then what else the trials hold."""
    known = list(stored.config.space.parameters) if stored.config is not None else []
    found = [name for trial in stored.trials for name in trial.params]
    return [name for name in dict.fromkeys([*known, *found]) if name not in COLUMNS]


def _row(trial: FrozenTrial, config: StudyConfig | None, retimed: Mapping[str, Any]) -> dict[str, Any]:
    attributes = trial.user_attrs
    copied = ("arch_id", "trial_key", "seed", "reference", "macs", "num_params", "fingerprint", "train_seconds")
    row: dict[str, Any] = {name: attributes.get(name) for name in (*copied, "reason", "duplicate_of")}
    values = trial.values if trial.state.name == "COMPLETE" and trial.values else [None, None]
    row |= {"number": trial.number, "state": trial.state.name, "miou": values[0]}
    row |= {name: attributes.get(name) for name in ("latency_p95_ms", "latency_spread")}
    row["latency_ms"] = row["latency_ms_in_search"] = attributes.get("latency_ms", values[1])
    anew = retimed.get(str(attributes.get("arch_id")))
    row["on_front"] = False
    row["retimed"] = False
    if isinstance(anew, dict) and "median_ms" in anew:
        row |= {"retimed": True, "latency_ms": anew["median_ms"], "latency_p95_ms": anew.get("p95_ms")}
        row["latency_spread"] = anew.get("spread")
    arch = attributes.get("arch")
    row["arch"] = json.dumps(arch) if isinstance(arch, dict) else None
    if isinstance(arch, dict) and not trial.params and config is not None:
        # A reference that the space does not contain: its parameters are those of its architecture.
        with contextlib.suppress(StdcLabError, TypeError):
            return row | config.space.read_off(ArchSpec.from_dict(arch), config.train)
    return row | trial.params


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as text, numbers as numbers, however few rows hold one."""
    for name in frame.columns:
        if name in TEXT_COLUMNS:
            frame[name] = frame[name].astype("str")
        elif name in ("on_front", "retimed"):
            frame[name] = frame[name].astype(bool)
        elif name == "number":
            frame[name] = frame[name].astype("int64")
        elif name in COLUMNS:
            frame[name] = frame[name].astype("float64")
        else:
            frame[name] = frame[name].infer_objects()
    return frame
