"""`stdc-lab profile`: what a network costs."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stdc_lab.cli.options import read_architecture, read_size, write_json, write_text
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.cli.tables import Table
    from stdc_lab.config import TrainingHeads
    from stdc_lab.records import ProfileResult

SIZE = "Input, HEIGHTxWIDTH; default: 512x1024, of a classifier 224x224."
CLASSES = "Number of classes; default: 19, of a classifier 1000."
HEAD = "seg: the deployed segmenter. cls: the classifier that is pretrained."
HEADS = "Also what these training heads cost: auxiliary and detail strides, as auxiliary,8; or all."
DETAILS = "All tables of every network; default: of a single one."
FILE = "(- for stdout)."
PIPE_WIDTH = 160
STRIDES = (2, 4, 8, 16)


def profile_command(
    arch: Annotated[list[str], typer.Argument(help="Architectures: presets (stdc-lab arch list) or YAML files.")],
    size: Annotated[str | None, typer.Option(help=SIZE)] = None,
    classes: Annotated[int | None, typer.Option(min=2, help=CLASSES)] = None,
    head: Annotated[str, typer.Option(help=HEAD)] = "seg",
    heads: Annotated[str | None, typer.Option(help=HEADS)] = None,
    modules: Annotated[bool, typer.Option("--modules", help="Every module, not only the stages.")] = False,
    blocks: Annotated[bool, typer.Option("--blocks", help="Every module and block.")] = False,
    details: Annotated[bool | None, typer.Option(help=DETAILS)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one a core.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long each network is timed.")] = 3.0,
    latency: Annotated[bool, typer.Option(help="Measure latency; without it, only count.")] = True,
    json: Annotated[Path | None, typer.Option(help=f"Also write the figures to this file {FILE}")] = None,
    csv: Annotated[Path | None, typer.Option(help=f"Also write a row a network to this file {FILE}")] = None,
    markdown: Annotated[Path | None, typer.Option(help=f"Also write the tables to this file {FILE}")] = None,
) -> None:
    """What networks cost: weights, MACs by several counters and why they differ, feature maps, latency at batch 1.

    Example: stdc-lab profile stdc1 --size 512x1024 --classes 19 --json out.json
    """
    from stdc_lab.config.latency import LatencyConfig

    chosen_head = _read_head(head)
    training_heads = _read_heads(heads, chosen_head)
    default_size = "512x1024" if chosen_head == "seg" else "224x224"
    config = LatencyConfig(size=read_size(size or default_size), threads=threads, measure_s=seconds)
    specs = [read_architecture(name) for name in arch]
    console = _console([json, csv, markdown])

    from stdc_lab.machine import choose_device
    from stdc_lab.profiling import profile

    chosen = choose_device(device)
    names = [Path(name).stem for name in arch]
    results = []
    for name, spec in zip(names, specs, strict=True):
        with console.status(f"profiling {name}") if console.is_terminal else nullcontext():
            result = profile(
                spec,
                num_classes=classes,
                head=chosen_head,
                heads=training_heads,
                depth=3 if blocks else 2 if modules else 1,
                latency=config,
                timed=latency,
                device=chosen,
            )
        results.append(result)
    tables = _print(console, names, results, len(arch) == 1 if details is None else details)
    if json is not None:
        write_json("[" + ",\n".join(result.model_dump_json(indent=1) for result in results) + "]", json)
    if csv is not None:
        _write_csv(names, results, csv)
    if markdown is not None:
        from stdc_lab.cli.tables import as_markdown

        write_text("\n".join(map(as_markdown, tables)), markdown, "--markdown")


def _read_head(text: str) -> Literal["seg", "cls"]:
    allowed: dict[str, Literal["seg", "cls"]] = {"seg": "seg", "cls": "cls"}
    if text in allowed:
        return allowed[text]
    raise ConfigError(f"--head: got {text!r}; allowed: seg, cls")


def _read_heads(text: str | None, head: str) -> TrainingHeads | None:
    """`auxiliary,8` or `all` as training heads. Raises `ConfigError`."""
    if text is None:
        return None
    if head != "seg":
        raise ConfigError(f"--heads: got {text!r}; allowed: nothing with --head cls, which has no training heads")
    words = ["auxiliary", *map(str, STRIDES)] if text == "all" else [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word != "auxiliary" and word not in map(str, STRIDES)]
    if unknown or len(set(words)) < len(words):
        raise ConfigError(
            f"--heads: got {text!r}; allowed: all, or auxiliary, 2, 4, 8, 16 separated by commas, each once"
        )

    from stdc_lab.config import TrainingHeads

    strides = tuple(stride for stride in STRIDES if str(stride) in words)
    return TrainingHeads(auxiliary="auxiliary" in words, detail_strides=strides)


def _console(files: Sequence[Path | None]) -> Console:
    """People read stdout, unless one of the files goes there. Raises `ConfigError` if two of them do."""
    from rich.console import Console

    to_stdout = sum(file is not None and str(file) == "-" for file in files)
    if to_stdout > 1:
        raise ConfigError("--json, --csv, --markdown: got - for more than one of them; allowed: one of them to stdout")
    console = Console(stderr=to_stdout > 0, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _print(console: Console, names: Sequence[str], results: Sequence[ProfileResult], details: bool) -> list[Table]:
    """Print all that was found, and give the tables of it."""
    from stdc_lab.cli import profile_tables as tables
    from stdc_lab.cli.tables import as_rich

    shown: list[Table] = []

    def show(table: Table, *, titled: bool = True) -> None:
        shown.append(table)
        if titled:
            console.print(f"\n[bold]{table.title}[/bold]")
        console.print(as_rich(table))
        for note in table.notes:
            console.print(note, style="dim", markup=False)

    for name, result in zip(names, results, strict=True) if details else ():
        _print_heading(console, name, result)
        for index, table in enumerate(tables.network_tables(name, result)):
            show(table, titled=index > 0)
        _print_latency(console, result)
    if len(results) > 1:
        if not details:
            for table in (*tables.comparison_of_parts(names, results), tables.comparison_of_counters(names, results)):
                show(table)
        show(tables.comparison_table(names, results))
    return shown


def _print_heading(console: Console, name: str, result: ProfileResult) -> None:
    from rich.markup import escape

    what = "deployed segmenter" if result.head == "seg" else "classifier"
    console.print(
        f"[bold]{escape(name)}[/bold]  arch_id {result.arch_id}  {what}, {result.num_classes} classes, "
        f"input 1×3×{result.size[0]}×{result.size[1]}\n{result.num_params:,} parameters, {result.macs:,} MACs\n"
    )


def _print_latency(console: Console, result: ProfileResult) -> None:
    latency = result.latency
    if latency is None or result.environment is None:
        console.print(f"\n[bold]latency[/bold]: not run; {2 * result.macs / 1e9:,.2f} GFLOPs (derived: 2 × MACs)\n")
        return
    console.print(
        f"\n[bold]latency[/bold]\nmedian [bold]{latency.median_ms:.1f} ms[/bold] "
        f"(95 % interval {latency.ci95_ms[0]:.1f} to {latency.ci95_ms[1]:.1f}), p95 {latency.p95_ms:.1f} ms\n"
        f"derived: {1000 / latency.median_ms:.1f} fps (1000 / ms), {2 * result.macs / 1e9:,.2f} GFLOPs (2 × MACs)\n"
        f"{latency.runtime}, {latency.dtype}, {latency.device} ({result.environment.processor}), "
        f"{latency.threads} threads, {latency.repeats} calls after {latency.warmup_repeats} of warm-up"
    )
    if latency.spread > 0.1:
        console.print(
            f"[yellow]the timings scatter (interquartile range {latency.spread:.0%} of the median): "
            "the machine was not quiet; close other programs and measure again[/yellow]"
        )
    console.print()


def _write_csv(names: Sequence[str], results: Sequence[ProfileResult], path: Path) -> None:
    from stdc_lab.cli.profile_tables import csv_rows

    text = io.StringIO()
    csv_format.writer(text, lineterminator="\n").writerows(csv_rows(names, results))
    write_text(text.getvalue().rstrip("\n"), path, "--csv")
