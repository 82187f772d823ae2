"""A study as a table: a row a trial."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stdc_lab.analysis.columns import Kind, columns, is_column
from stdc_lab.analysis.confirmation import comparable_values, with_confirmations
from stdc_lab.analysis.networks import network_label, scores_of, with_networks
from stdc_lab.analysis.pareto import pareto_front
from stdc_lab.analysis.retimed import Retimed
from stdc_lab.arch import ArchSpec
from stdc_lab.config.bounds import Bound, Interval
from stdc_lab.config.figures import CLASS_IOU, FIGURES, figure_of
from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, QUIET_SPREAD, Objective
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StdcLabError, StudyError
from stdc_lab.files import write_text
from stdc_lab.storage import StoredStudy, StoredTrial, StudyReader, read_storage


def load_study(folder_or_url: str | Path, study_name: str | None = None) -> pd.DataFrame:
    """A study's trials, a row each, in the order of their numbers; what was not measured is NaN.

    Columns: one for each of `FIGURES` and what stands beside them (`columns`), among them `iou.CLASS` for the IoU of
    each class where trials noted it, then one for each varied parameter (`base_width`, `depths.stage3`, …). Beside what
    the design's table of words defines: `latency_spread` is interquartile range over median, `latency_ms_low` and
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
    None), `latency_in` (the runtime, dtype, batch and threads of the latencies; None for eager float32 at batch 1; of a
    batch, a latency is that of the whole call, and `fps` is 1000 · batch / `latency_ms`), and of a plan `arms` (names)
    and `control` (the arm that the others are compared with; None without a plan).

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
    latencies = Retimed(stored.notes.retimed or {}, stored.config)
    rows = []
    for trial in stored.trials:
        row = known.get(trial.number) or _row(trial, stored, latencies)
        if trial.is_finished:
            known[trial.number] = row
        rows.append(row)
    asked = _class_ious_asked_for(stored)
    noted = [f"{CLASS_IOU}{name}" for trial in stored.trials for name in trial.notes.class_iou or ()]
    kinds = columns(dict.fromkeys([*noted, *asked]), asked)
    frame = pd.DataFrame(rows, columns=[*kinds, *names])
    frame = _typed(frame.sort_values("number", ignore_index=True), kinds)
    in_order = sorted(zip(stored.trials, rows, strict=True), key=lambda pair: pair[0].number)
    frame = with_networks(frame, [network_label(trial) for trial, _ in in_order], asked)
    frame = _feasible_by_means(frame, in_order, stored.config)
    timing = None if stored.config is None else stored.config.latency
    frame["fps"] = 1000 * (1 if timing is None else timing.batch) / frame["latency_ms"]
    frame["gflops"] = 2 * frame["macs"] / 1e9
    frame["on_front"] = front_of(frame, stored.objectives)
    frame = with_confirmations(frame)
    attributes: dict[Hashable, Any] = {
        "study_name": stored.name,
        "objectives": [str(objective) for objective in stored.objectives],
        "retimed_at": stored.notes.retimed_at,
        "latency_in": None if timing is None or timing.is_usual else str(timing),
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
    return [str(column) for column in frame.columns if not is_column(str(column))]


def write_trials_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a study's frame as CSV; the file appears whole or not at all. Raises `StudyError` if it cannot be."""
    whole = frame.astype({name: "Int64" for name, kind in columns().items() if kind == "whole" and name in frame})
    write_text(Path(path), whole.to_csv(index=False, lineterminator="\n"), StudyError)


def _varied_names(stored: StoredStudy) -> list[str]:
    """Names of the varied parameters: in the space's order, then what else the trials hold."""
    known = list(stored.config.space.parameters) if stored.config is not None else []
    found = [name for trial in stored.trials for name in trial.params]
    return [name for name in dict.fromkeys([*known, *found]) if not is_column(name)]


def _class_ious_asked_for(stored: StoredStudy) -> list[str]:
    """The objectives and constraints of a study that are IoUs of a class."""
    names = [one.figure for one in stored.objectives]
    names += [one.figure for one in (stored.config.constraints if stored.config is not None else ())]
    return list(dict.fromkeys(name for name in names if name.startswith(CLASS_IOU)))


def _row(trial: StoredTrial, stored: StoredStudy, retimed: Retimed) -> dict[str, Any]:
    notes, attributes = trial.notes, trial.notes.attributes()
    row: dict[str, Any] = {name: attributes.get(name) for name in columns()}
    row |= {f"{CLASS_IOU}{name}": iou for name, iou in (notes.class_iou or {}).items()}
    row |= {
        "number": trial.number,
        "state": trial.state,
        "on_front": False,
        "retimed": False,
    }
    if trial.state == "COMPLETE" and trial.values:
        told = zip(stored.objectives, trial.values, strict=True)
        row |= {one.figure: value for one, value in told if row.get(one.figure) is None}
    if row["arm"] is not None or row["reference"] is not None:  # asked for by name: a row of its own all the same
        row["same_training_as"], row["duplicate_of"] = row["duplicate_of"], None
    row["latency_ms_in_search"] = row["latency_ms"]
    ends = [f"{one.name}_{end}" for one in FIGURES.values() if one.scatters for end in ("low", "high")]
    row |= {name: attributes.get(name) for name in ends}
    row |= retimed.of(str(notes.arch_id), row["latency_ratio"])
    row["control"] = bool(notes.control)
    row["screened"] = bool(notes.screened)
    if row["latency_noisy"] is None:  # of an older version, or never timed
        row["latency_noisy"] = (row["latency_spread"] or 0) > QUIET_SPREAD
    row["feasible"] = _is_feasible(trial, stored.config, row)
    row["doubtful"] = _is_doubtful(stored.config, row)
    row["arch"] = None if notes.arch is None else json.dumps(notes.arch)
    if notes.arch is not None and not trial.params and stored.config is not None:
        # A network that the space does not contain: its parameters are those of its architecture.
        with suppress(StdcLabError, TypeError):
            return row | _read_off(ArchSpec.from_dict(notes.arch), stored.config, row["arm"])
    return {**row, **trial.params}


def _feasible_by_means(
    frame: pd.DataFrame, trials: Sequence[tuple[StoredTrial, Mapping[str, Any]]], config: StudyConfig | None
) -> pd.DataFrame:
    """Judge networks with several seeds by their means, where a constraint is on a score. trials: with their rows."""
    if config is None or not any(figure_of(constraint.figure).by_seed for constraint in config.constraints):
        return frame
    for index in np.flatnonzero(frame["network_seeds"] > 1).tolist():
        trial, row = trials[index]
        means = {score: float(frame[f"network_{score}"].iloc[index]) for score in scores_of(frame)}
        known = {score: mean for score, mean in means.items() if not math.isnan(mean)}
        frame.loc[index, "feasible"] = _is_feasible(trial, config, {**row, **known})
    return frame


def _is_feasible(trial: StoredTrial, config: StudyConfig | None, row: Mapping[str, Any]) -> bool:
    """Whether no limit or constraint is known to be broken, by the latencies that the row holds."""
    excess = dict(trial.constraints)
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
        if figure_of(constraint.figure).scatters and (value := row.get(constraint.figure)) is not None
    )


def _interval(row: Mapping[str, Any], constraint: Bound) -> Interval | None:
    low, high = (row.get(f"{constraint.figure}_{end}") for end in ("low", "high"))
    return None if low is None or high is None else (float(low), float(high))


def _read_off(spec: ArchSpec, config: StudyConfig, arm: str | None) -> dict[str, Any]:
    train = config.space.training_of({}, config.train)
    if arm is not None and config.plan is not None and arm in config.plan.arms:
        train = config.plan.training_of(arm, config.train)
    return config.space.read_off(spec, train)


def _typed(frame: pd.DataFrame, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Text as text, numbers as numbers, however few rows hold one."""
    types: dict[Kind, Any] = {"text": "str", "flag": "bool", "number": "float64", "whole": "float64"}
    for name in frame.columns:
        if name == "number":
            frame[name] = frame[name].astype("int64")
        elif name in kinds:
            frame[name] = frame[name].astype(types[kinds[name]])
        else:
            frame[name] = frame[name].infer_objects()
    return frame
