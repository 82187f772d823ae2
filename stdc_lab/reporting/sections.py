"""What a report says of one network: read from its run's folder, with words where a file is missing."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from stdc_lab.arch import ArchSpec
from stdc_lab.config.values import show_size
from stdc_lab.errors import StdcLabError
from stdc_lab.files import read_bytes, read_json
from stdc_lab.records import MacCounters, ProfileResult, TrialRecord
from stdc_lab.reporting.figure_data import trial_name
from stdc_lab.reporting.tables import Cell, Row, Table

MOST_SAMPLES = 6
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Sample:
    """A panel of image, labels and prediction."""

    name: str
    uri: str


@dataclass(frozen=True)
class Samples:
    """Panels of one trial, the legend of their colours, and what is to be said where some are missing."""

    panels: tuple[Sample, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """Class and colour (`#rrggbb`)."""
    missing: str = ""


@dataclass(frozen=True)
class Network:
    """A front member or a reference as the report describes it."""

    number: int
    anchor: str
    title: str
    one_of_several: str
    """Which training the details are of, where the network has several; empty where it has one."""
    figures: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    arch: str | None
    """JSON for `ArchSpec.from_dict`; None if the trial's architecture was not kept."""
    num_classes: int | None
    record: TrialRecord | None
    stages: Table | None
    counters: tuple[tuple[str, str, str], ...]
    """Counter, its count in 10⁹ or "not run", and what it did not count."""
    class_iou: tuple[tuple[str, float | None], ...]
    samples: Samples


def read_record(folder: Path, trial: pd.Series) -> TrialRecord | None:
    """The record of a trial; None if it is missing, cannot be read, or is not a record."""
    run = run_folder(folder, trial)
    try:
        return None if run is None else TrialRecord.model_validate_json(read_bytes(run / "trial.json"))
    except (OSError, ValidationError, StdcLabError):
        return None


def run_folder(folder: Path, trial: pd.Series) -> Path | None:
    """Where a trial's files are; None for one without a key (or with one that would lead elsewhere)."""
    key = trial["trial_key"]
    return folder / "runs" / key if isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_-]+", key) else None


def describe(trial: pd.Series, record: TrialRecord | None, samples: Samples) -> Network:
    """All that is known of one trial's network."""
    spec = _spec(trial)
    number = int(trial["number"])
    seeds = int(trial["network_seeds"])
    return Network(
        number=number,
        anchor=f"trial-{number}",
        title=f"{trial_name(trial)} – {_role(trial)}",
        one_of_several=(
            f"Class IoU, curve and predictions are those of one training of {seeds}: #{number}, seed "
            f"{int(trial['seed'])}."
            if seeds > 1 and pd.notna(trial["seed"])
            else ""
        ),
        figures=_headline(trial),
        settings=_settings(spec, record, trial),
        arch=None if spec is None else json.dumps(spec.to_dict()),
        num_classes=None if record is None else record.profile.num_classes,
        record=record,
        stages=None if record is None else stages_table(record.profile),
        counters=() if record is None else counters(record.profile),
        class_iou=() if record is None else tuple(record.result.class_iou.items()),
        samples=samples,
    )


def stages_table(profile: ProfileResult) -> Table:
    """The parts of a network with output, parameters, MACs and shares; what is in no part is a row of its own."""
    headings = (
        ("Part", ""),
        ("Channels", "of its output"),
        ("Output", "height × width, pixels"),
        ("Params", "parameters"),
        ("MACs 10⁶", "multiply-accumulates"),
        ("Share of MACs", "of the whole network"),
    )
    parts = [
        (
            stage.name,
            str(stage.output_channels),
            show_size(stage.output_size).replace("x", "×"),
            stage.num_params,
            stage.macs,
        )
        for stage in profile.stages
    ]
    num_params, macs = (sum(part[index] for part in parts) for index in (3, 4))  # type: ignore[misc]
    if parts and (num_params != profile.num_params or macs != profile.macs):
        parts.append(("elsewhere", "–", "–", profile.num_params - num_params, profile.macs - macs))
    parts.append(("whole network", "–", "–", profile.num_params, profile.macs))
    rows = tuple(
        Row(
            (
                Cell(name, name, number=False),
                Cell(channels),
                Cell(size),
                Cell(f"{params:,}".replace(",", "\u202f"), params),
                Cell(f"{macs / 1e6:,.1f}".replace(",", "\u202f"), macs),
                Cell(f"{macs / profile.macs:.1%}" if profile.macs else "–", macs),
            ),
            "total" if name == "whole network" else "",
        )
        for name, channels, size, params, macs in parts
    )
    return Table(headings, rows)


def counters(profile: ProfileResult) -> tuple[tuple[str, str, str], ...]:
    """For each counter: its name, its MACs in 10⁹ (or "not run"), and the operations that it did not count."""
    counted = []
    for name in MacCounters.model_fields:
        value = getattr(profile.counters, name)
        skipped = profile.not_counted.get(name, {})
        missed = ", ".join(f"{operation} × {count}" for operation, count in skipped.items())
        counted.append((name, "not run" if value is None else f"{value / 1e9:.3f}", missed))
    return tuple(counted)


def read_samples(folder: Path, trial: pd.Series) -> Samples:
    """The prediction panels of a trial (at most `MOST_SAMPLES`), as data URIs, with their legend."""
    run = run_folder(folder, trial)
    files = sorted((run / "predictions").glob("*.png")) if run is not None else []
    if not files:
        return Samples(missing="No sample predictions were kept for this trial.")
    panels, unreadable = [], 0
    for file in files[:MOST_SAMPLES]:
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        if content.startswith(PNG_MAGIC):
            panels.append(Sample(file.stem, data_uri(content)))
        else:
            unreadable += 1
    words = []
    if unreadable:
        words.append(f"{unreadable} of its sample predictions cannot be read.")
    if len(files) > MOST_SAMPLES:
        words.append(f"{len(files) - MOST_SAMPLES} more are in the trial’s folder.")
    legend = _read_legend(files[0].with_name("legend.json"))
    if not legend:
        words.append("The legend of their colours was not kept.")
    return Samples(tuple(panels), legend, " ".join(words))


def data_uri(png: bytes) -> str:
    """A PNG as text that a page can hold."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _read_legend(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        legend = read_json(path)
    except (OSError, ValueError):
        return ()
    if not isinstance(legend, dict):
        return ()
    colour = re.compile(r"#[0-9a-fA-F]{6}")
    return tuple((str(name), value) for name, value in legend.items() if colour.fullmatch(str(value)))


def _spec(trial: pd.Series) -> ArchSpec | None:
    try:
        return ArchSpec.from_dict(json.loads(trial["arch"])) if isinstance(trial["arch"], str) else None
    except (ValueError, TypeError, StdcLabError):
        return None


def _role(trial: pd.Series) -> str:
    """What a network is in the study: `arm, 3 seeds`, `reference, on the front, 2 fresh seeds`."""
    roles = [word for word, name in (("arm", "arm"), ("reference", "reference")) if pd.notna(trial[name])]
    if pd.isna(trial["arm"]):
        roles += ["on the front" if trial["on_front"] else "not on the front"]
    seeds, fresh = int(trial["network_seeds"]), int(trial["confirmed_seeds"])
    roles += [f"{seeds} seeds"] if seeds > 1 else []
    roles += [f"{fresh} fresh seed{'s' if fresh > 1 else ''}"] if fresh else []
    return ", ".join(roles)


def _headline(trial: pd.Series) -> tuple[tuple[str, str], ...]:
    over = f", mean of {int(trial['network_seeds'])}" if trial["network_seeds"] > 1 else ""
    if pd.notna(trial["network_low"]):
        over += f" (95 %: {trial['network_low']:.3f} to {trial['network_high']:.3f})"
    p95 = f", p95 {trial['latency_p95_ms']:.2f}" if pd.notna(trial["latency_p95_ms"]) else ""
    shown = [
        ("mIoU", f"{trial['miou']:.3f}{over}"),
        ("Latency", f"{trial['latency_ms']:.2f} ms{p95}"),
        ("MACs", f"{trial['macs'] / 1e9:.3f} × 10⁹" if pd.notna(trial["macs"]) else "not measured"),
        ("Parameters", f"{trial['num_params'] / 1e6:.2f} × 10⁶" if pd.notna(trial["num_params"]) else "not counted"),
        ("Trained in", f"{trial['train_seconds']:.0f} s" if pd.notna(trial["train_seconds"]) else "not noted"),
        ("arch_id", str(trial["arch_id"]) if pd.notna(trial["arch_id"]) else "not noted"),
    ]
    return tuple(shown)


def _settings(spec: ArchSpec | None, record: TrialRecord | None, trial: pd.Series) -> tuple[tuple[str, str], ...]:
    rows = [] if spec is None else list(spec.facts())
    if record is not None:
        heads = record.train.heads
        rows.append(("Detail heads while training", ", ".join(f"1/{s}" for s in heads.detail_strides) or "none"))
        rows.append(("Auxiliary heads while training", "yes" if heads.auxiliary else "no"))
    if pd.notna(trial["seed"]) and trial["network_seeds"] <= 1:
        rows.append(("Seed", str(int(trial["seed"]))))
    return tuple(rows)
