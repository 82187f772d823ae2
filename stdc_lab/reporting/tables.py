"""The tables of a report: cells with what is shown and what they are sorted by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stdc_lab.analysis.confirmation import fresh_difference
from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.config.figures import Figure
from stdc_lab.reporting.figure_data import (
    QUIET_SPREAD,
    confirmed_networks,
    front_members,
    reference_trials,
    show_value,
    shown_figures,
    trial_name,
)
from stdc_lab.reporting.phrases import signed, without_paths
from stdc_lab.reporting.words import compare, state_word


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what it is sorted by, and the section that it leads to."""

    text: str
    key: str | float | None = None
    """None is sorted last."""
    anchor: str | None = None
    number: bool = True
    """Set to the right, as numbers are."""


@dataclass(frozen=True)
class Row:
    """A row of cells, and whether to set it apart: `front`, `reference`, `unfinished` or nothing."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Column headings with the explanation that stands behind each, and rows."""

    headings: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


NOT_OF_THE_FRONT = ("latency_p95_ms", "gflops")


def front_table(frame: pd.DataFrame) -> Table:
    """Members of the front and what else has fresh seeds, fastest first, beside each reference; a row a network."""
    confirmed = confirmed_networks(frame)
    shown = front_members(frame)
    if not confirmed.empty:
        shown = pd.concat([shown, confirmed]).drop_duplicates("number").sort_values(["latency_ms", "number"])
    references, names = reference_trials(frame), varied_parameters(frame)
    measures = [one for one in shown_figures(frame) if one.name not in NOT_OF_THE_FRONT]
    headings = [("Network", "the trial’s number, or the reference’s name")]
    headings += [(one.heading, one.meaning) for one in measures]
    several = bool((shown["network_seeds"] > 1).any())
    headings += SEVERAL if several else []
    headings += CONFIRMED if not confirmed.empty else []
    for name in references["reference"]:
        headings.append((f"Latency ÷ {name}", f"below 1: faster than {name}"))
        headings.append((f"mIoU − {name}", f"above 0: more accurate than {name}, by the trainings that chose"))
    fresh = references[references["confirmed_seeds"] > 0]
    for name in fresh["reference"]:
        headings.append((f"Fresh mIoU − {name}", f"above 0: more accurate than {name}, paired by fresh seeds"))
        headings.append(("95 % of it", "interval of that difference, Student’s t over the pairs"))
    headings += [(name, "varied parameter") for name in names]
    rows = []
    for _, trial in shown.iterrows():
        cells = [_name_cell(trial), *_measures(trial, measures)]
        cells += _several(trial) if several else []
        cells += _confirmed(trial) if not confirmed.empty else []
        for one in compare(trial, references):
            cells += [
                Cell(f"{one.latency_ratio:.2f}", one.latency_ratio),
                Cell(signed(one.miou_difference), one.miou_difference),
            ]
        for number in fresh["number"]:
            apart = fresh_difference(frame, int(trial["number"]), int(number))
            beside = apart.count and trial["number"] != number
            cells += [
                Cell(signed(apart.mean), apart.mean) if beside else Cell("–"),
                interval_cell(apart.low, apart.high, signed) if beside else Cell("–"),
            ]
        rows.append(Row((*cells, *_parameters(trial, names)), "reference" if pd.notna(trial["reference"]) else ""))
    return Table(tuple(headings), tuple(rows))


CONFIRMED = [
    ("Why again", "on the front by the trainings that chose, near it, or taken whatever its score (control)"),
    ("Fresh mIoU", "mean over the fresh seeds, which had no part in choosing the network"),
    ("95 %", "interval of that mean, by the network’s own spread"),
    ("Fresh seeds", "how many"),
    ("First − fresh", "above 0: the training that chose the network was better than those after it"),
]


SEVERAL = [
    ("95 % of mIoU", "interval of the mean over the seeds, by the network’s own spread"),
    ("Seeds", "how many trainings the mIoU is the mean of"),
]


def _several(trial: pd.Series) -> list[Cell]:
    """Of how many trainings a network's mIoU is the mean, under the headings `SEVERAL`."""
    count = int(trial["network_seeds"])
    return [interval_cell(trial["network_low"], trial["network_high"]), Cell(str(count), float(count))]


def interval_cell(low: float, high: float, show: Callable[[float], str] = "{:.3f}".format) -> Cell:
    """An interval, sorted by its lower end; a dash where there is none."""
    return Cell("–") if pd.isna(low) else Cell(f"{show(low)} to {show(high)}", float(low))


def _confirmed(trial: pd.Series) -> list[Cell]:
    """What fresh seeds made of a network, under the headings `CONFIRMED`."""
    why = [word for word, holds in (("front", trial["on_front"]), ("control", trial["control"])) if holds]
    reason = ", ".join(why) or ("near" if trial["confirmed_seeds"] else "–")
    low, high, lead = trial["confirmed_low"], trial["confirmed_high"], trial["miou"] - trial["confirmed_miou"]
    return [
        Cell(reason, reason, number=False),
        _number(trial["confirmed_miou"], 1, 3),
        interval_cell(low, high),
        Cell(str(int(trial["confirmed_seeds"])), float(trial["confirmed_seeds"])),
        Cell("–") if pd.isna(lead) else Cell(signed(lead), float(lead)),
    ]


def trials_table(frame: pd.DataFrame) -> Table:
    """Every trial in the order of its number, with what became of it."""
    names = varied_parameters(frame)
    retimed = bool(frame["retimed"].any())
    headings = [("Trial", "number; a reference or an arm by its name"), ("State", "what became of it"), ("Note", "")]
    measures = shown_figures(frame)
    headings += [(one.heading, one.meaning) for one in measures]
    headings.append(("Spread", f"of the timing: interquartile range / median; above {QUIET_SPREAD:g} not quiet"))
    if retimed:
        headings.append(("Before ms", "latency as measured while searching"))
    headings.append(("Trained s", "training and evaluation, seconds"))
    headings += [(name, "varied parameter") for name in names]
    headings.append(("Seed", "of the training"))
    rows = []
    for _, trial in frame.iterrows():
        state, note = state_word(trial), trial_note(trial)
        cells = [_name_cell(trial), Cell(state, state, number=False), Cell(note, note or None, number=False)]
        cells += [*_measures(trial, measures), _number(trial["latency_spread"], 1, 2)]
        cells += [_number(trial["latency_ms_in_search"], 1, 2)] if retimed else []
        cells += [_number(trial["train_seconds"], 1, 0), *_parameters(trial, names), _number(trial["seed"], 1, 0)]
        rows.append(Row(tuple(cells), _kind(trial)))
    return Table(tuple(headings), tuple(rows))


def trial_note(trial: pd.Series) -> str:
    """What is worth knowing of a trial beyond its numbers: reason, repetition, front, unquiet timing."""
    notes = []
    if pd.notna(trial["same_training_as"]):
        notes.append(f"the same training as #{int(trial['same_training_as'])}, done once")
    if pd.notna(trial["duplicate_of"]):
        notes.append(f"repeats #{int(trial['duplicate_of'])}, not trained again")
    elif pd.notna(trial["confirms"]):
        notes.append(f"#{int(trial['confirms'])} with a fresh seed")
    elif trial["on_front"]:
        notes.append("on the front")
    elif trial["state"] == "COMPLETE" and not trial["feasible"]:
        notes.append("breaks a limit or constraint")
    if trial["latency_spread"] > QUIET_SPREAD:
        notes.append("timed on an unquiet machine")
    if pd.notna(trial["latency_note"]):
        notes.append(f"latency is {trial['latency_note']}")
    if trial["doubtful"]:
        judged = "was screened out on a noisy timing" if trial["screened"] else "may or may not meet a bound on latency"
        notes.append(f"{judged}: to be timed again")
    elif trial["screened"] and trial["retimed"] and trial["feasible"]:
        notes.append("breaks no bound by the new timing")
    if pd.notna(trial["reason"]):
        notes.append(without_paths(str(trial["reason"])))
    elif trial["state"] == "FAIL":
        notes.append("no reason was recorded")
    return "; ".join(notes)


def has_section(trial: pd.Series) -> bool:
    """Whether the report describes a finished trial's network on its own: front members, arms and references."""
    return bool(trial["on_front"] or pd.notna(trial["reference"]) or pd.notna(trial["arm"]))


def _name_cell(trial: pd.Series) -> Cell:
    number = int(trial["number"])
    named = pd.notna(trial["reference"]) or pd.notna(trial["arm"])
    text = f"{trial_name(trial)} (#{number})" if named else trial_name(trial)
    finished = trial["state"] == "COMPLETE" and pd.notna(trial["network"]) and pd.notna(trial["latency_ms"])
    anchor = f"trial-{int(trial['network'])}" if finished and has_section(trial) else None
    return Cell(text, number, anchor, number=False)


def _measures(trial: pd.Series, measures: Sequence[Figure]) -> list[Cell]:
    return [measure_cell(one, trial[one.name]) for one in measures]


def measure_cell(figure: Figure, value: Any) -> Cell:
    """A figure's value in its unit; a dash where it was not measured."""
    return Cell("–") if pd.isna(value) else Cell(figure.show(value), float(value))


def _parameters(trial: pd.Series, names: list[str]) -> list[Cell]:
    return [_parameter(trial[name]) for name in names]


def _parameter(value: Any) -> Cell:
    if pd.isna(value):
        return Cell("–")
    key = str(value) if isinstance(value, str) else float(value)
    return Cell(show_value(value), key)


def _number(value: Any, divisor: float, digits: int) -> Cell:
    if pd.isna(value):
        return Cell("–")
    return Cell(f"{value / divisor:.{digits}f}", float(value))


def _kind(trial: pd.Series) -> str:
    if trial["state"] != "COMPLETE" or pd.notna(trial["duplicate_of"]):
        return "unfinished"
    if pd.notna(trial["reference"]):
        return "reference"
    return "front" if trial["on_front"] else ""
