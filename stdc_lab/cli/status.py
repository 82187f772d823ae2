"""How far a study is, from its folder alone: for `study status` in another terminal, and for the live view."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from stdc_lab.analysis.arms import compare_arms
from stdc_lab.analysis.frame import load_study
from stdc_lab.cli.options import write_json
from stdc_lab.cli.progress import clock
from stdc_lab.config.values import Value
from stdc_lab.reporting.figure_data import (
    finished_networks,
    further_figures,
    is_plan,
    reference_trials,
    shown_figures,
)
from stdc_lab.reporting.phrases import signed
from stdc_lab.storage import read_study_config

BARS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 24
LIVE_ROWS = 8
SAID_FIRST = ("number", "reference", "arm", "arch_id")
SAID_OF_NETWORKS = ("latency_ms_low", "latency_ms_high", "on_front", "feasible", "doubtful", "control")
SAID_OF_SEEDS = tuple(f"{of}_{what}" for of in ("network", "confirmed") for what in ("seeds", "miou", "low", "high"))
"""What the JSON tells of a network beside the figures of a report."""
NAME_WIDTH = 12
"""Of an arm's name at least, however narrow the terminal; what is longer goes on below."""


def sparkline(values: Sequence[float], width: int = SPARK_WIDTH) -> str:
    """Values as a line of bars, lowest to highest, evenly thinned to `width`; what is no number is left out."""
    shown = [value for value in values if math.isfinite(value)]
    if len(shown) > width:
        shown = [shown[round(place * (len(shown) - 1) / (width - 1))] for place in range(width)]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in shown)


class RunningTrial(Value):
    """A trial that a search is at work on."""

    number: int
    iteration: int
    """How far its training is; 0 while it is being timed."""
    iterations: int
    losses: tuple[float, ...]


class StudyStatus(Value):
    """How far a study is."""

    study: str
    trained: int
    wanted: int
    states: dict[str, int]
    """How many trials are in each state, fresh seeds and repetitions counted too: `COMPLETE`, `PRUNED` …"""
    at_work: bool
    """Whether a search is at work on it."""
    running: tuple[RunningTrial, ...]
    seconds_left: float | None
    """By the median of the trainings so far; null if none is left or done."""
    arms: tuple[dict[str, Any], ...]
    """Of a plan, as `compare_arms` gives them."""
    networks: tuple[dict[str, Any], ...]
    """Finished ones, fastest first: the columns of `load_study` that tell what they cost and reach, scores as means
    over seeds. Null is what was not measured."""
    doubts: tuple[str, ...]
    """What another timing would have to decide."""


def study_status(folder: Path, frame: pd.DataFrame) -> StudyStatus:
    """How far the study in a folder is; frame: its trials. Reads only. Raises `StudyError` without a study.yaml."""
    config = read_study_config(folder)
    trained, at_work = trained_rows(frame), is_at_work(folder)
    running = []
    for row in frame[frame["state"] == "RUNNING"].to_dict("records") if at_work else []:
        losses = read_losses(folder / "runs" / str(row["trial_key"]) / "curve.csv")
        running.append(
            RunningTrial(
                number=row["number"], iteration=len(losses), iterations=config.train.iterations, losses=tuple(losses)
            )
        )
    left, seconds = config.total_trials - len(trained), trained["train_seconds"].median()
    told = [*SAID_FIRST, *(one.name for one in shown_figures(frame)), *SAID_OF_NETWORKS, *SAID_OF_SEEDS]
    return StudyStatus(
        study=config.name,
        trained=len(trained),
        wanted=config.total_trials,
        states={str(state): int(count) for state, count in frame["state"].value_counts().items()},
        at_work=at_work,
        running=tuple(running),
        seconds_left=seconds * left / max(1, len(running)) if left > 0 and seconds > 0 else None,
        arms=_as_json(compare_arms(frame)),
        networks=_as_json(finished_networks(trained).sort_values(["latency_ms", "number"])[told]),
        doubts=tuple(doubts(frame)),
    )


def write_status(folder: Path, json_file: Path) -> None:
    """Write how far a study is as JSON, to standard output for `-`."""
    write_json(study_status(folder, load_study(folder)).model_dump_json(indent=1), json_file)


def print_status(folder: Path, console: Console | None = None, json_file: Path | None = None) -> None:
    """Print how many trials are trained, what is under way with its loss so far, the time left and the front.

    Reads only, but for the JSON that is asked for. Raises `StudyError` for a folder without a study.
    """
    console = console or Console(highlight=False)
    read_study_config(folder)  # what is no study is said before its trials are looked for
    frame = load_study(folder)
    status = study_status(folder, frame)
    if json_file is not None:
        write_json(status.model_dump_json(indent=1), json_file)
        if str(json_file) == "-":
            return
    others = ", ".join(f"{count} {state.lower()}" for state, count in status.states.items() if state != "COMPLETE")
    doing = f"a search is at work on {len(status.running)}" if status.at_work else "no search is at work on it"
    console.print(
        f"{folder}: {status.trained} of {status.wanted} trials trained{f' ({others})' if others else ''}; {doing}",
        markup=False,
    )
    for one in status.running:
        loss = f"{one.iteration}/{one.iterations}  loss {sparkline(one.losses)} " if one.losses else ""
        console.print(
            f"trial {one.number:>3}  {f'{loss}{one.losses[-1]:.3f}' if loss else 'being timed'}", markup=False
        )
    if status.seconds_left is not None:
        left, at_once = status.wanted - status.trained, max(1, len(status.running))
        console.print(f"about {clock(status.seconds_left)} left: {left} trainings, {at_once} at a time")
    console.print(results_table(frame))
    for line in status.doubts:
        console.print(line, markup=False)


def _as_json(rows: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """Rows as dicts of plain values, None for NaN."""
    return tuple(json.loads(rows.to_json(orient="records", double_precision=15)))


def doubts(frame: pd.DataFrame) -> list[str]:
    """What another timing would have to decide."""
    open_rows = frame[frame["doubtful"] & frame["duplicate_of"].isna()]
    screened = int(open_rows["screened"].sum())
    trained = len(trained_rows(open_rows))
    lines = []
    if trained:
        lines.append(f"? {trained} trained: another timing has to say whether a bound on latency is met: study retime")
    if screened:
        lines.append(f"{screened} screened out on a noisy timing: study retime times them, and queues what may do")
    return lines


def is_at_work(folder: Path) -> bool:
    """Whether a driver holds the folder's lock. Needs no right to write.

    The lock is shared for the moment of looking: others may look too, and a driver that starts just then waits for it.
    """
    if sys.platform == "win32":
        return False  # a search needs Linux or macOS
    import fcntl

    try:
        with (folder / ".driver.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until the file is closed
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_losses(path: Path) -> list[float]:
    """The loss of every step that a training has written so far."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [float(row["loss"]) for row in csv.DictReader(file) if row.get("loss")]
    except (OSError, ValueError):
        return []


def trained_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials of a study that were trained to their end, the fastest network first."""
    of_the_search = frame["duplicate_of"].isna() & frame["confirms"].isna()
    return frame[(frame["state"] == "COMPLETE") & of_the_search].sort_values("latency_ms")


def results_table(frame: pd.DataFrame, *, front_only: bool = False, rows: int | None = None) -> Table:
    """What a study has found so far: the arms of a plan, or else the networks with the front marked."""
    if is_plan(frame):
        return arms_table(frame)
    return front_table(trained_rows(frame), front_only=front_only, rows=rows)


def arms_table(frame: pd.DataFrame) -> Table:
    """The arms of a plan with mean mIoU and paired difference to the control, then its references."""
    control = str(frame.attrs["control"])
    arms, references = compare_arms(frame).to_dict("records"), reference_trials(frame).to_dict("records")
    table = Table(box=None, header_style="bold")
    longest = max(len(str(name)) for name in [*frame.attrs["arms"], *(row["reference"] for row in references)])
    table.add_column("arm", overflow="fold", min_width=min(longest, NAME_WIDTH))
    for title in ("mIoU (seeds)", "− control (pairs)", "latency ms", "GMACs", "M params"):
        table.add_column(title, justify="right", no_wrap=True)
    for arm in arms:
        beside = plus_minus(arm["miou_difference"], arm["miou_difference_high"], signed)
        table.add_row(
            str(arm["arm"]),
            f"{plus_minus(arm['miou'], arm['miou_high'])} ({arm['seeds']})",
            "control" if arm["control"] else f"{beside} ({arm['pairs']})",
            *_costs(arm, fps=False),
            style="bold" if arm["control"] else None,
        )
    for row in references:
        reached = f"{plus_minus(row['network_miou'], row['network_high'])} ({row['network_seeds']})"
        table.add_row(str(row["reference"]), reached, "–", *_costs(row, fps=False))
    table.caption = f"mean over seeds ± half the 95 % interval; differences to {control} are paired by seed"
    return table


def _costs(row: Mapping[Hashable, Any], *, fps: bool = True) -> tuple[str, ...]:
    """Latency (with a question mark where it is doubtful), frames a second, MACs and parameters of a network; dashes
    for what was not measured."""
    latency = row["latency_ms"]
    speed = ((latency, ".1f"), (1000 / latency, ".1f"))[: 2 if fps else 1]
    shown = (*speed, (row["macs"] / 1e9, ".2f"), (row["num_params"] / 1e6, ".2f"))
    texts = ["–" if math.isnan(value) else format(value, digits) for value, digits in shown]
    return (f"{texts[0]}{'?' if row.get('doubtful', False) else ''}", *texts[1:])


def plus_minus(mean: float, high: float, show: Callable[[float], str] = "{:.3f}".format) -> str:
    """`0.412 ±0.010`: a mean and half its interval; without the half where there is none, a dash without a mean."""
    if math.isnan(mean):
        return "–"
    return show(mean) if math.isnan(high) else f"{show(mean)} ±{high - mean:.3f}"


def front_table(trained: pd.DataFrame, *, front_only: bool = False, rows: int | None = None) -> Table:
    """Trained networks as a table, a row each, the front marked, the fastest first."""
    trained = finished_networks(trained).sort_values(["latency_ms", "number"])
    several = bool((trained["network_seeds"] > 1).any())
    confirmed = bool((trained["confirmed_seeds"] > 0).any())
    table = Table(box=None, header_style="bold")
    table.add_column("front")
    mious = ("mIoU", *(("seeds",) if several else ()), *(("fresh seeds",) if confirmed else ()))
    within, further = trained.attrs.get("latency_in"), further_figures(trained)
    latency = "latency ms" if within is None else "latency ms in\n" + within.replace(", ", ",\n")
    for title in ("trial", *mious, latency, "fps", "GMACs", "M params", *(one.heading for one in further)):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("network")
    shown = trained[trained["on_front"]] if front_only else trained
    for row in shown.iloc[:rows].to_dict("records"):
        table.add_row(
            "*" if row["on_front"] else "",
            str(row["number"]),
            plus_minus(row["miou"], row["network_high"]),
            *([str(row["network_seeds"])] if several else []),
            *([fresh_miou(row)] if confirmed else []),
            *_costs(row),
            *("–" if math.isnan(row[one.name]) else one.show(row[one.name]) for one in further),
            str(row["reference"] if isinstance(row["reference"], str) else row["arch_id"]),
            style="bold" if row["on_front"] else None,
        )
    notes = ["mIoU: mean over seeds ± half the 95 % interval"] if several else []
    if confirmed:
        notes.append("* front as the search chose it; fresh seeds, which chose nothing: mean ± half the 95 % interval")
    table.caption = "; ".join(notes) or None
    return table


def fresh_miou(row: Mapping[Hashable, Any]) -> str:
    """`0.412 ±0.010 (3)`: mean mIoU of fresh seeds, half its 95 % interval, how many; a dash without any."""
    if not row["confirmed_seeds"]:
        return "–"
    return f"{plus_minus(row['confirmed_miou'], row['confirmed_high'])} ({row['confirmed_seeds']})"
