"""`stdc-lab profile`: what a network costs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.cli.options import read_architecture, read_size, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from stdc_lab.records import ProfileResult


def profile_command(
    arch: Annotated[list[str], typer.Argument(help="Architectures: presets (stdc-lab arch list) or YAML files.")],
    size: Annotated[str, typer.Option(help="Input, HEIGHTxWIDTH.")] = "512x1024",
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 19,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; default: one a core.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long each network is timed.")] = 3.0,
    latency: Annotated[bool, typer.Option(help="Measure latency; without it, only count.")] = True,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file (- for stdout).")] = None,
) -> None:
    """Parameters, multiply-accumulates by several counters, and latency at batch 1.

    Example: stdc-lab profile stdc1 --size 512x1024 --classes 19 --json out.json
    """
    from rich.console import Console

    from stdc_lab.config.latency import LatencyConfig

    config = LatencyConfig(size=read_size(size), threads=threads, measure_s=seconds)
    specs = [read_architecture(name) for name in arch]

    from stdc_lab.machine import choose_device
    from stdc_lab.profiling import profile

    chosen = choose_device(device)
    console = Console(stderr=json is not None and str(json) == "-")
    results = []
    for name, spec in zip(arch, specs, strict=True):
        with console.status(f"profiling {name}") if console.is_terminal else nullcontext():
            result = profile(spec, num_classes=classes, latency=config, timed=latency, device=chosen)
        results.append(result)
        _print(console, name, result)
    if json is not None:
        write_json("[" + ",\n".join(result.model_dump_json(indent=1) for result in results) + "]", json)


def _print(console: Console, name: str, result: ProfileResult) -> None:
    console.print(
        f"[bold]{name}[/bold]  arch_id {result.arch_id}  input 1×3×{result.size[0]}×{result.size[1]}, "
        f"{result.num_classes} classes, inference graph"
    )
    console.print(_stage_table(result))
    console.print(_counter_table(result))
    for counter, missed in result.not_counted.items():
        console.print(f"{counter} met and did not count: " + ", ".join(f"{op} ×{n}" for op, n in missed.items()))
    latency = result.latency
    if latency is None or result.environment is None:
        console.print("latency: not run")
        return
    console.print(
        f"latency: median [bold]{latency.median_ms:.1f} ms[/bold] (95 % interval {latency.ci95_ms[0]:.1f} to "
        f"{latency.ci95_ms[1]:.1f}), p95 {latency.p95_ms:.1f} ms, {1000 / latency.median_ms:.1f} fps\n"
        f"  {latency.runtime}, {latency.dtype}, {latency.device} ({result.environment.processor}), "
        f"{latency.threads} threads, {latency.repeats} calls after {latency.warmup_repeats} of warm-up"
    )
    if latency.spread > 0.1:
        console.print(
            f"  [yellow]the timings scatter (interquartile range {latency.spread:.0%} of the median): "
            "the machine was not quiet; close other programs and measure again[/yellow]"
        )


def _stage_table(result: ProfileResult) -> Table:
    from rich.table import Table

    table = Table("part", "output", box=None, header_style="bold")
    for title in ("parameters", "MACs", "share"):
        table.add_column(title, justify="right")
    for stage in result.stages:
        height, width = stage.output_size
        table.add_row(
            stage.name,
            f"{stage.output_channels}×{height}×{width}",
            f"{stage.num_params:,}",
            f"{stage.macs / 1e6:,.1f} M",
            f"{stage.macs / result.macs:.0%}",
        )
    table.add_row("whole", "", f"{result.num_params:,}", f"{result.macs / 1e6:,.1f} M", "", style="bold")
    return table


def _counter_table(result: ProfileResult) -> Table:
    from rich.table import Table

    table = Table("counter", box=None, header_style="bold")
    table.add_column("MACs", justify="right")
    table.add_column("counts")
    notes = {
        "theory": "convolutions and linear layers, in closed form",
        "torch": "convolutions and linear layers (its FLOPs halved)",
        "fvcore": "and batch norm, global pooling, bilinear upsampling",
        "thop": "and modules of batch norm and pooling by its own rules",
    }
    for counter, note in notes.items():
        value = getattr(result.counters, counter)
        table.add_row(counter, "not run" if value is None else f"{value:,}", note)
    return table
