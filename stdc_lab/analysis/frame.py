"""A study as a table: a row a trial."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from stdc_lab.analysis.confirmation import comparable_values, with_confirmations
from stdc_lab.analysis.networks import SCORES, network_label, with_networks
from stdc_lab.analysis.pareto import pareto_front
from stdc_lab.analysis.storage import StoredStudy, StudyReader, read_storage
from stdc_lab.arch import ArchSpec
from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, OF_LATENCY, QUIET_SPREAD, Constraint, Interval, Objective
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError

TEXT_COLUMNS = ("state", "arch_id", "trial_key", "reference", "arm", "fingerprint", "latency_note", "reason", "arch")
WHOLE_COLUMNS = (
    "number",
    "seed",
    "macs",
    "num_params",
    "peak_activations",
    "peak_memory_bytes",
    "duplicate_of",
    "same_training_as",
    "confirms",
    "network",
    "network_seeds",
    "confirmed_seeds",
)
BOOLEAN_COLUMNS = (
    "on_front",
    "control",
    "feasible",
    "doubtful",
    "screened",
    "retimed",
    "latency_noisy",
)
COLUMNS = (
    "number",
    "state",
    "arch_id",
    "seed",
    "reference",
    "arm",
    "miou",
    "boundary_f",
    "latency_ms",
    "latency_p95_ms",
    "latency_spread",
    "latency_ms_low",
    "latency_ms_high",
    "latency_noisy",
    "latency_note",
    "latency_ms_in_search",
    "latency_ratio",
    "retimed",
    "fingerprint",
    "macs",
    "num_params",
    "peak_activations",
    "peak_memory_bytes",
    "on_front",
    "network",
    "network_seeds",
    "network_miou",
    "network_low",
    "network_high",
    "network_boundary_f",
    "confirmed_seeds",
    "confirmed_miou",
    "confirmed_low",
    "confirmed_high",
    "confirmed_boundary_f",
    "control",
    "confirms",
    "feasible",
    "doubtful",
    "screened",
    "fps",
    "gflops",
    "train_seconds",
    "reason",
    "duplicate_of",
    "same_training_as",
    "trial_key",
    "arch",
)

COPIED = (
    "arch_id",
    "trial_key",
    "seed",
    "reference",
    "arm",
    "miou",
    "boundary_f",
    "latency_ms",
    "latency_p95_ms",
    "latency_spread",
    "latency_ms_low",
    "latency_ms_high",
    "latency_noisy",
    "latency_note",
    "latency_ratio",
    "fingerprint",
    "macs",
    "num_params",
    "peak_activations",
    "peak_memory_bytes",
    "train_seconds",
    "reason",
    "duplicate_of",
    "confirms",
)
"""What a trial's attributes of the same names say."""


def load_study(folder_or_url: str | Path, study_name: str | None = None) -> pd.DataFrame:
    """A study's trials, a row each, in the order of their numbers; what was not measured is NaN.

    Columns: `COLUMNS`, then one for each varied parameter (`base_width`, `depths.stage3`, …). Beside what the
    design's table of words defines: `latency_spread` is interquartile range over median, `latency_ms_low` and
    `latency_ms_high` the ends of the median's 95 % interval, `latency_noisy` whether this is wider or the calls more
    scattered than was asked for, `latency_note` what else is wrong with a latency; after `study retime`
    the latencies are the new ones (`retimed` True) and the first are kept as `latency_ms_in_search`; `arm`: of a plan;
    `network…`: all trainings of the row's network, whatever their seeds, taken together, see `with_networks`;
    `on_front`: whether that network, by its mean scores and the median of its latest timing, is on the front of the
    complete and feasible ones; `duplicate_of`: the trial whose training the sampler proposed again; `same_training_as`:
    the trial whose training this one shares, though the study asks for both by name; `confirms`: the number of the
    trial that this one trained again with a fresh seed, and `confirmed_…`, `control`: what all of these came to, see
    `with_confirmations`; `feasible`: no limit or constraint is known to be broken, one on a score by the network's
    mean, one on latency only by the whole interval of its latest timing; `doubtful`: that interval holds the bound, or
    lies beyond it but the timing was noisy; `screened`: not trained, for what theory or the profile says; `gflops` is
    2·MACs/10⁹; `arch` is JSON for `ArchSpec.from_dict`. What is outside the space has its parameters read off its
    architecture where that is possible. `attrs` holds `study_name`, `objectives` (texts), `retimed_at` (ISO text or
    None), and of a plan `arms` (names) and `control` (the arm that the others are compared with; None without a plan).

    folder_or_url: a study's folder, or a storage's URL (`sqlite:///…`); with several studies in it,
    `study_name` says which. Raises `StudyError` if it cannot be read; never makes or changes a file.
    """
    return _frame_of(read_storage(folder_or_url, study_name), {})


class GrowingStudy:
    """`load_study` of a folder in which a search is at work: each call reads what has come since the last one."""

    def __init__(self, folder: Path) -> None:
        self._reader = StudyReader(folder)
        self._rows: dict[int, dict[str, Any]] = {}

    def load(self) -> pd.DataFrame:
        """The same frame as `load_study` gives, while no latency is measured anew."""
        return _frame_of(self._reader.read(), self._rows)

    def close(self) -> None:
        """Let go of the storage."""
        self._reader.close()


def _frame_of(stored: StoredStudy, known: dict[int, dict[str, Any]]) -> pd.DataFrame:
    """known: the rows of finished trials by number, taken from here and added to."""
    names = _varied_names(stored)
    retimed = stored.user_attrs.get("retimed")
    latencies = Retimed(retimed if isinstance(retimed, dict) else {}, stored.config)
    rows = []
    for trial in stored.trials:
        row = known.get(trial.number) or _row(trial, stored, latencies)
        if trial.state.is_finished():
            known[trial.number] = row
        rows.append(row)
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *names])
    frame = _typed(frame.sort_values("number", ignore_index=True))
    in_order = sorted(zip(stored.trials, rows, strict=True), key=lambda pair: pair[0].number)
    frame = with_networks(frame, [network_label(trial) for trial, _ in in_order])
    frame = _feasible_by_means(frame, in_order, stored.config)
    frame["fps"] = 1000 / frame["latency_ms"]
    frame["gflops"] = 2 * frame["macs"] / 1e9
    frame["on_front"] = front_of(frame, stored.objectives)
    frame = with_confirmations(frame)
    attributes: dict[Hashable, Any] = {
        "study_name": stored.name,
        "objectives": [str(objective) for objective in stored.objectives],
        "retimed_at": stored.user_attrs.get("retimed_at"),
    }
    frame.attrs = attributes | _arms_of(frame, stored.config)
    return frame


def _arms_of(frame: pd.DataFrame, config: StudyConfig | None) -> dict[Hashable, Any]:
    """A plan's arms and the one that the others are compared with; of a storage alone, in the order of its trials."""
    if config is not None:
        plan = config.plan
        return {"arms": [], "control": None} if plan is None else {"arms": list(plan.arms), "control": plan.control_arm}
    arms = [str(name) for name in frame["arm"].dropna().unique()]
    return {"arms": arms, "control": arms[0] if arms else None}


def front_of(
    frame: pd.DataFrame, objectives: Sequence[Objective] = DEFAULT_OBJECTIVES
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For each row: is it complete and feasible, and is no other such network better in all objectives?

    A network that was trained with several seeds is judged by its mean scores, and all its rows alike. Fresh trainings
    of a confirmation are on no front.
    """
    return pareto_front(comparable_values(frame, objectives), [objective.maximize for objective in objectives])


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


class Retimed:
    """The latencies of `study retime`, by architecture."""

    def __init__(self, by_arch: Mapping[str, Any], config: StudyConfig | None) -> None:
        self.by_arch = by_arch
        self.compared_with = next(iter(config.known_networks.items()), None) if config is not None else None

    def of(self, arch_id: str, ratio: float | None) -> dict[str, Any]:
        """What replaces the latencies of the search; nothing for an architecture that was not timed anew. A ratio is
        taken anew where there was one: from the rounds that both were timed in, or else of the two medians."""
        anew = self.by_arch.get(arch_id)
        median = self._median(arch_id)
        if median is None or not isinstance(anew, dict):
            return {}
        low, high = anew.get("ci95_ms") or (None, None)
        row = {"retimed": True, "latency_ms": median, "latency_p95_ms": anew.get("p95_ms")}
        row |= {"latency_ms_low": low, "latency_ms_high": high, "latency_spread": anew.get("spread")}
        row |= {"latency_noisy": anew.get("noisy"), "latency_note": anew.get("note")}
        return row | (self._ratio(anew, median) if ratio is not None else {})

    def _ratio(self, anew: Mapping[str, Any], median: float) -> dict[str, Any]:
        if self.compared_with is None:
            return {}
        name, other = self.compared_with
        if anew.get("reference") == name and anew.get("times_as_fast"):
            low, high = (1 / end for end in anew.get("times_as_fast_ci95") or [anew["times_as_fast"]] * 2)
            return {"latency_ratio": 1 / anew["times_as_fast"], "latency_ratio_low": high, "latency_ratio_high": low}
        other_ms = self._median(other.arch_id)
        if other_ms is None:
            return {}
        return {"latency_ratio": median / other_ms, "latency_ratio_low": None, "latency_ratio_high": None}

    def _median(self, arch_id: str) -> float | None:
        anew = self.by_arch.get(arch_id)
        return anew.get("median_ms") if isinstance(anew, dict) else None


def _row(trial: FrozenTrial, stored: StoredStudy, retimed: Retimed) -> dict[str, Any]:
    attributes = trial.user_attrs
    row: dict[str, Any] = {name: attributes.get(name) for name in COPIED}
    row |= {
        "number": trial.number,
        "state": trial.state.name,
        "on_front": False,
        "retimed": False,
    }
    if trial.state.name == "COMPLETE" and trial.values:
        told = zip(stored.objectives, trial.values, strict=True)
        row |= {one.figure: value for one, value in told if row.get(one.figure) is None}
    if row["arm"] is not None or row["reference"] is not None:  # asked for by name: a row of its own all the same
        row["same_training_as"], row["duplicate_of"] = row["duplicate_of"], None
    row["latency_ms_in_search"] = row["latency_ms"]
    row |= {name: attributes.get(name) for name in ("latency_ratio_low", "latency_ratio_high")}
    row |= retimed.of(str(attributes.get("arch_id")), row["latency_ratio"])
    row["control"] = bool(attributes.get("control"))
    row["screened"] = bool(attributes.get("screened"))
    if row["latency_noisy"] is None:  # of an older version, or never timed
        row["latency_noisy"] = (row["latency_spread"] or 0) > QUIET_SPREAD
    row["feasible"] = _is_feasible(trial, stored.config, row)
    row["doubtful"] = _is_doubtful(stored.config, row)
    arch = attributes.get("arch")
    row["arch"] = json.dumps(arch) if isinstance(arch, dict) else None
    if isinstance(arch, dict) and not trial.params and stored.config is not None:
        # A network that the space does not contain: its parameters are those of its architecture.
        with contextlib.suppress(StdcLabError, TypeError):
            return row | _read_off(ArchSpec.from_dict(arch), stored.config, row["arm"])
    return row | trial.params


def _feasible_by_means(
    frame: pd.DataFrame, trials: Sequence[tuple[FrozenTrial, Mapping[str, Any]]], config: StudyConfig | None
) -> pd.DataFrame:
    """Judge networks with several seeds by their means, where a constraint is on a score. trials: with their rows."""
    if config is None or not any(constraint.figure in SCORES for constraint in config.constraints):
        return frame
    for index in np.flatnonzero(frame["network_seeds"] > 1).tolist():
        trial, row = trials[index]
        means = {score: float(frame[f"network_{score}"].iloc[index]) for score in SCORES}
        known = {score: mean for score, mean in means.items() if not math.isnan(mean)}
        frame.loc[index, "feasible"] = _is_feasible(trial, config, {**row, **known})
    return frame


def _is_feasible(trial: FrozenTrial, config: StudyConfig | None, row: Mapping[str, Any]) -> bool:
    """Whether no limit or constraint is known to be broken, by the latencies that the row holds."""
    excess = trial.constraints
    for constraint in config.constraints if config is not None else ():
        value = row.get(constraint.figure)
        if value is not None:
            excess[str(constraint)] = constraint.excess(float(value), _interval(row, constraint))
    return all(value <= 0 for value in excess.values())


def _is_doubtful(config: StudyConfig | None, row: Mapping[str, Any]) -> bool:
    """Whether a constraint on latency is to be judged by another timing."""
    return any(
        constraint.is_doubtful(float(value), _interval(row, constraint), noisy=bool(row["latency_noisy"]))
        for constraint in (config.constraints if config is not None else ())
        if constraint.figure in OF_LATENCY and (value := row.get(constraint.figure)) is not None
    )


def _interval(row: Mapping[str, Any], constraint: Constraint) -> Interval | None:
    low, high = (row.get(f"{constraint.figure}_{end}") for end in ("low", "high"))
    return None if low is None or high is None else (float(low), float(high))


def _read_off(spec: ArchSpec, config: StudyConfig, arm: str | None) -> dict[str, Any]:
    train = config.space.training_of({}, config.train)
    if arm is not None and config.plan is not None and arm in config.plan.arms:
        train = config.plan.training_of(arm, config.train)
    return config.space.read_off(spec, train)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Text as text, numbers as numbers, however few rows hold one."""
    for name in frame.columns:
        if name in TEXT_COLUMNS:
            frame[name] = frame[name].astype("str")
        elif name in BOOLEAN_COLUMNS:
            frame[name] = frame[name].astype(bool)
        elif name == "number":
            frame[name] = frame[name].astype("int64")
        elif name in COLUMNS:
            frame[name] = frame[name].astype("float64")
        else:
            frame[name] = frame[name].infer_objects()
    return frame
