"""A study as one page that needs nothing beside itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from stdc_lab.analysis.frame import load_study, varied_parameters
from stdc_lab.config.reading import yaml_text
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.files import write_text
from stdc_lab.records import TrialRecord
from stdc_lab.reporting import protocol
from stdc_lab.reporting.arms import arms_figure, arms_table
from stdc_lab.reporting.canvas import save_png
from stdc_lab.reporting.figure_data import (
    confirmed_networks,
    finished_networks,
    finished_trials,
    front_members,
    is_plan,
    latency_warning,
)
from stdc_lab.reporting.figures import curve_figure, macs_figure, parameters_figure, pareto_figure
from stdc_lab.reporting.pareto_data import pareto_axes
from stdc_lab.reporting.sections import Samples, data_uri, describe, read_record, read_samples
from stdc_lab.reporting.tables import front_table, trials_table
from stdc_lab.reporting.words import aims_in_words, asked, cautions, summary
from stdc_lab.storage import read_study_config

PAGE = "index.html"
OWN_PNG = re.compile(r"(pareto|arms|macs|parameters|curve-\d+)\.png")


def render_report(folder: str | Path, with_images: bool = True, out: Path | None = None) -> Path:
    """Write a study's report and give the path of its page.

    The page holds its style, script and images itself; the charts are also put beside it as PNGs, in place of
    those of an earlier report.

    folder: a study's folder. with_images: whether sample predictions, which show the data set, are in it.
    out: the report's folder; `report` in the study's folder if absent.
    Raises `StudyError` if the study cannot be read or the report cannot be written.
    """
    folder = Path(folder)
    frame, config = load_study(folder), read_study_config(folder)
    target = folder / "report" if out is None else Path(out)
    described = described_trials(frame)
    records = {int(trial["number"]): read_record(folder, trial) for _, trial in described.iterrows()}
    samples = {
        int(trial["number"]): read_samples(folder, trial) if with_images else Samples()
        for _, trial in described.iterrows()
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        images = _write_figures(target, _figures(frame, config, records))
    except OSError as error:
        raise StudyError(f"{target}: cannot be written: {error.strerror}; use another --out") from error
    return write_text(target / PAGE, _render(frame, config, records, samples, images, with_images), _refused)


def described_trials(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks that get a section, a row each: the front, fastest first, then references that are not on it; of a
    plan its arms, in its order, then the references."""
    networks = finished_networks(frame)
    if is_plan(frame):
        order = {name: place for place, name in enumerate(frame.attrs["arms"])}
        first = networks[networks["arm"].notna()].sort_values("arm", key=lambda names: names.map(order))
    else:
        first = front_members(frame)
    references = networks[networks["reference"].notna()]
    return pd.concat([first, references[~references["network"].isin(first["network"])]])


def _figures(frame: pd.DataFrame, config: StudyConfig, records: Mapping[int, TrialRecord | None]) -> dict[str, Figure]:
    """The charts by the name of their file."""
    known = [record for record in records.values() if record is not None]
    line = protocol.caption(config, known)
    figures = {"pareto": pareto_figure(frame, line)}
    if is_plan(frame):  # what its arms are is the question; few networks correlate with nothing
        figures["arms"] = arms_figure(frame, line)
    elif not finished_trials(frame).empty:
        figures |= {"macs": macs_figure(frame, line), "parameters": parameters_figure(frame, line)}
    return figures | {
        f"curve-{number}": curve_figure(record.result.curve, record.train.iterations, computed=record.result.computed)
        for number, record in records.items()
        if record
    }


def _refused(said: str) -> StudyError:
    return StudyError(f"{said}; use another --out")


def _write_figures(target: Path, figures: Mapping[str, Figure]) -> dict[str, str]:
    """Write the charts as PNGs, drop those of an earlier report, and give them as data URIs."""
    images = {name: data_uri(save_png(figure, target / f"{name}.png", _refused)) for name, figure in figures.items()}
    for path in target.iterdir():
        if OWN_PNG.fullmatch(path.name) and path.stem not in images:
            path.unlink()
    return images


def _render(
    frame: pd.DataFrame,
    config: StudyConfig,
    records: Mapping[int, TrialRecord | None],
    samples: Mapping[int, Samples],
    images: Mapping[str, str],
    with_images: bool,
) -> str:
    from stdc_lab import __version__

    environment = Environment(
        loader=PackageLoader("stdc_lab.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known = [record for record in records.values() if record is not None]
    networks = [
        describe(trial, records[int(trial["number"])], samples[int(trial["number"])])
        for _, trial in described_trials(frame).iterrows()
    ]
    retimed_at = frame.attrs.get("retimed_at")
    values: dict[str, Any] = {
        "title": config.title or config.name,
        "config": config,
        "aims": aims_in_words(frame),
        "confirmed": not confirmed_networks(frame).empty,
        "drawn": pareto_axes(frame),
        "constrained": bool(config.constraints or config.space.limits),
        "summary": summary(frame),
        "cautions": cautions(frame, config),
        "warning": latency_warning(frame),
        "images": images,
        "asked": asked(config),
        "plan": config.plan,
        "arms": arms_table(frame) if is_plan(frame) else None,
        "several": bool((frame["network_seeds"] > 1).any()),
        "front": front_table(frame),
        "trials": trials_table(frame),
        "varied": varied_parameters(frame),
        "networks": networks,
        "with_images": with_images,
        "protocol": (
            ("Search", protocol.search_rows(config)),
            ("Training and score", protocol.training_rows(config, known)),
            ("Latency and cost", protocol.latency_rows(config, known, retimed_at)),
            ("Environment", [*protocol.environment_rows(known), ("Report by", f"stdc_lab {__version__}")]),
        ),
        "commands": commands(
            config, retimed=bool(retimed_at), fresh_seeds=int(frame["confirmed_seeds"].max() if len(frame) else 0)
        ),
        "study_yaml": yaml_text(config, flow=False),
    }
    return environment.get_template("report.html.j2").render(values)


def commands(config: StudyConfig, *, retimed: bool, fresh_seeds: int = 0) -> list[tuple[str, str]]:
    """What to type to run the study again: a command and what it does."""
    data = "" if config.data.made_here else f" --data {config.data.name}=PATH"
    folder = f"runs/{config.name}"
    search = f"stdc-lab search study.yaml{data} --out {folder}"
    lines = [(search, "trains and times every trial; called again, it goes on where it stopped")]
    if fresh_seeds:
        confirm = f"stdc-lab study confirm {folder} {fresh_seeds}{data}"
        lines.append((confirm, "trains the front, near ties and controls again with fresh seeds"))
    if retimed:
        lines.append((f"stdc-lab study retime {folder}", "times all finished networks anew, in one pass"))
    lines.append((f"stdc-lab report {folder}", "writes this page"))
    return lines
