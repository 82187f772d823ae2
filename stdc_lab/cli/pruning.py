"""What `stdc-lab study pruning` prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from stdc_lab.analysis.pruning_report import PruningReport, pruning_report
from stdc_lab.cli.options import write_json
from stdc_lab.cli.progress import clock
from stdc_lab.cli.tables import Row, Table, as_rich

HOW = (
    "Replay, by margin: the finished trials judged anew in the order of their numbers, each by those before it; what "
    "the study names is not stopped. Share: of the training. Hypervolume: of the front without those that would have "
    "been stopped, over that with them."
)


def show_pruning(folder: Path, json_file: Path | None) -> None:
    """Print what stopping trials saved, would have saved and would have lost; and write it as JSON if asked to."""
    report = pruning_report(folder)
    if json_file is not None:
        write_json(report.model_dump_json(indent=1), json_file)
    if str(json_file) != "-":
        _print(report, Console(highlight=False, soft_wrap=True))


def _print(report: PruningReport, console: Console) -> None:
    console.print(f"{report.study}: {report.finished} trainings came to their end", markup=False)
    noises = tuple(Row((str(one.iteration), str(one.trainings), f"{one.noise:.4f}")) for one in report.noises)
    if noises:
        console.print(as_rich(Table("rungs", ("rung (iteration)", "trainings", "noise (mIoU)"), noises, words=0)))
    if report.stopped:
        console.print(f"{len(report.stopped)} were stopped, which saved about {clock(report.saved_s)}:", markup=False)
        rows = tuple(
            Row(
                (
                    f"#{one.number}",
                    f"{one.iteration}/{one.iterations}",
                    f"{one.miou:.3f}",
                    "–" if one.expected_miou is None else f"{one.expected_miou:.3f}",
                    {True: "yes", False: "no", None: "–"}[one.would_be_on_front],
                    clock(one.saved_s),
                )
            )
            for one in report.stopped
        )
        columns = ("stopped", "at", "mIoU there", "expected at the end", "then on the front", "saved")
        console.print(as_rich(Table("stopped", columns, rows)))
    rows = tuple(
        Row(
            (
                f"{one.margin:g}",
                str(len(one.stopped)),
                clock(one.saved_s),
                f"{100 * one.saved_share:.0f} %",
                ", ".join(f"#{number}" for number in one.lost_from_front) or "none",
                "–" if one.hypervolume_share is None else f"{one.hypervolume_share:.4f}",
            ),
            "bold" if report.pruning is not None and one.margin == report.pruning.margin else "",
        )
        for one in report.replays
    )
    columns = ("margin", "stopped", "saves", "share", "lost from the front", "hypervolume")
    console.print(as_rich(Table("replay", columns, rows, words=0)))
    console.print(HOW, markup=False)
