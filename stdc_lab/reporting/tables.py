"""The tables of a report: cells with what is shown and what they are sorted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.reporting.figure_data import (
    QUIET_SPREAD,
    aims,
    confirmed_networks,
    front_members,
    reference_trials,
    show_value,
)
from stdc_lab.reporting.words import compare, signed, state_word, trial_name, without_paths


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


Measure = tuple[str, str, str, float, int]
MEASURES: tuple[Measure, ...] = (
    ("mIoU", "mean IoU over the classes, validation, 0 to 1", "miou", 1, 3),
    ("Latency ms", "of a call, median, inference graph", "latency_ms", 1, 2),
    ("p95 ms", "95th percentile of the latency", "latency_p95_ms", 1, 2),
    ("FPS", "images a second: 1000 × batch / latency in ms", "fps", 1, 1),
    ("MACs 10⁹", "multiply-accumulates of convolutions and linear layers", "macs", 1e9, 2),
    ("GFLOPs", "2 × MACs / 10⁹", "gflops", 1, 2),
    ("Params 10⁶", "parameters of the inference graph", "num_params", 1e6, 2),
)
"""Heading, explanation, column, divisor, digits."""
FURTHER_MEASURES: tuple[Measure, ...] = (
    ("Boundary F", "boundary F-score, validation, 0 to 1", "boundary_f", 1, 3),
    ("Latency ratio", "over the reference network’s, timed in turns with it", "latency_ratio", 1, 3),
    ("Peak 10⁶", "elements of feature maps alive at once, by theory", "peak_activations", 1e6, 2),
    ("Memory MiB", "of a call, measured", "peak_memory_bytes", 2**20, 1),
)
"""Shown where they are objectives of the study."""


def measures_of(frame: pd.DataFrame, *, front: bool = False) -> tuple[Measure, ...]:
    """The measures that a study's tables show; fewer in that of the front."""
    usual = (one for one in MEASURES if not (front and one[2] in ("latency_p95_ms", "gflops")))
    words = " ".join(aims(frame)).split()
    return (*usual, *(one for one in FURTHER_MEASURES if one[2] in words))


def front_table(frame: pd.DataFrame) -> Table:
    """Members of both fronts and what else has fresh seeds, fastest first, beside each reference."""
    confirmed = confirmed_networks(frame)
    shown = front_members(frame)
    if not confirmed.empty:
        shown = pd.concat([shown, confirmed]).drop_duplicates("number").sort_values(["latency_ms", "number"])
    references, names = reference_trials(frame), varied_parameters(frame)
    measures = measures_of(frame, front=True)
    headings = [("Network", "the trial’s number, or the reference’s name")]
    headings += [(heading, text) for heading, text, *_ in measures]
    headings += CONFIRMED if not confirmed.empty else []
    for name in references["reference"]:
        headings.append((f"Latency ÷ {name}", f"below 1: faster than {name}"))
        headings.append((f"mIoU − {name}", f"above 0: more accurate than {name}, one training each"))
    headings += [(name, "varied parameter") for name in names]
    rows = []
    for _, trial in shown.iterrows():
        cells = [_name_cell(trial), *_measures(trial, measures)]
        cells += _confirmed(trial) if not confirmed.empty else []
        for one in compare(trial, references):
            cells += [
                Cell(f"{one.latency_ratio:.2f}", one.latency_ratio),
                Cell(signed(one.miou_difference), one.miou_difference),
            ]
        rows.append(Row((*cells, *_parameters(trial, names)), "reference" if pd.notna(trial["reference"]) else ""))
    return Table(tuple(headings), tuple(rows))


CONFIRMED = [
    ("Front", "by single trainings, by the means of fresh seeds, or by both"),
    ("Fresh mIoU", "mean over the fresh seeds, which had no part in choosing the network"),
    ("95 %", "interval of that mean"),
    ("Seeds", "fresh ones"),
    ("First − fresh", "above 0: the training that chose the network was better than those after it"),
]


def _confirmed(trial: pd.Series) -> list[Cell]:
    """What fresh seeds made of a network, under the headings `CONFIRMED`."""
    fronts = {
        (True, True): "both",
        (True, False): "single only",
        (False, True): "confirmed only",
        (False, False): "near",
    }
    front = fronts[bool(trial["on_front"]), bool(trial["on_confirmed_front"])]
    low, high, lead = trial["confirmed_low"], trial["confirmed_high"], trial["miou"] - trial["confirmed_miou"]
    return [
        Cell(front, front, number=False),
        _number(trial["confirmed_miou"], 1, 3),
        Cell("–") if pd.isna(low) else Cell(f"{low:.3f}–{high:.3f}", float(low)),
        Cell(str(int(trial["confirmed_seeds"])), float(trial["confirmed_seeds"])),
        Cell("–") if pd.isna(lead) else Cell(signed(lead), float(lead)),
    ]


def trials_table(frame: pd.DataFrame) -> Table:
    """Every trial in the order of its number, with what became of it."""
    names = varied_parameters(frame)
    retimed = bool(frame["retimed"].any())
    headings = [("Trial", "number; a reference by its name"), ("State", "what became of it"), ("Note", "")]
    measures = measures_of(frame)
    headings += [(heading, text) for heading, text, *_ in measures]
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
    """Whether the report describes a trial on its own: front members and references."""
    done = trial["state"] == "COMPLETE" and pd.isna(trial["duplicate_of"]) and pd.isna(trial["confirms"])
    return bool(done and (trial["on_front"] or trial["on_confirmed_front"] or pd.notna(trial["reference"])))


def _name_cell(trial: pd.Series) -> Cell:
    number = int(trial["number"])
    text = trial_name(trial) if pd.isna(trial["reference"]) else f"{trial['reference']} (#{number})"
    return Cell(text, number, f"trial-{number}" if has_section(trial) else None, number=False)


def _measures(trial: pd.Series, measures: tuple[Measure, ...]) -> list[Cell]:
    return [_number(trial[column], divisor, digits) for _, _, column, divisor, digits in measures]


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
