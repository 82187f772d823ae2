"""`stdc-lab arch`: list, show, compare and draw architectures. Nothing here needs torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdc_lab.cli.options import read_architecture, read_size, write_json
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.arch import ArchSpec
    from stdc_lab.arch.costs import NetworkCost, Part

app = typer.Typer(no_args_is_help=True, help="Architectures: list them, show one, compare two, draw one.")

ARCHITECTURE = "A preset (see `stdc-lab arch list`) or a YAML or JSON file."
SIZE = "Input, HEIGHTxWIDTH; default: 512x1024, of a classifier 224x224."
CLASSES = "Number of classes; default: 19, of a classifier 1000."
TASK = "seg: the deployed segmenter. cls: the classifier that is pretrained."
JSON = "Also write it to this file (- for stdout)."
LEGEND = (
    "MACs: multiply-accumulates of convolutions and linear layers. act.: elements that these put out.\n"
    "field: side in pixels of what the convolutional path sees of the image; *: and the whole of it by a global mean."
)
PIPE_WIDTH = 160


@app.command("list")
def list_command(json: Annotated[Path | None, typer.Option(help=JSON)] = None) -> None:
    """The named networks: the released ones and an arm for each claim about architecture.

    Example: stdc-lab arch list
    """
    from rich.table import Table

    from stdc_lab.arch import presets, total_cost
    from stdc_lab.arch.presets import preset_notes

    table = Table(box=None, header_style="bold")
    for title, side in (("name", "left"), ("arch_id", "left"), ("M params", "right"), ("GMACs", "right")):
        table.add_column(title, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("what it is")
    rows = []
    for name, spec in presets.items():
        cost = total_cost(spec)
        table.add_row(name, spec.arch_id, f"{cost.num_params / 1e6:.2f}", f"{cost.macs / 1e9:.2f}", preset_notes[name])
        row = {"name": name, "arch_id": spec.arch_id, "num_params": cost.num_params, "macs": cost.macs}
        rows.append({**row, "note": preset_notes[name], "arch": spec.to_dict()})
    console = _console(json)
    console.print(table)
    console.print(
        "Deployed segmenters, 19 classes, MACs at 512x1024. One of them: stdc-lab arch show NAME", style="dim"
    )
    _write(rows, json)


@app.command("show")
def show_command(
    arch: Annotated[str, typer.Argument(help=ARCHITECTURE)],
    size: Annotated[str | None, typer.Option(help=SIZE)] = None,
    classes: Annotated[int | None, typer.Option(min=2, help=CLASSES)] = None,
    task: Annotated[str, typer.Option(help=TASK)] = "seg",
    blocks: Annotated[bool, typer.Option("--blocks", help="Every module and block, not only the stages.")] = False,
    draw: Annotated[Path | None, typer.Option(help="Draw the network and a module to this .svg or .png file.")] = None,
    json: Annotated[Path | None, typer.Option(help=JSON)] = None,
) -> None:
    """What a network is made of: output, parameters, MACs and receptive field of every stage, from theory.

    Example: stdc-lab arch show stdc2 --size 512x1024 --draw stdc2.svg
    """
    spec = read_architecture(arch)
    cost = _analyse(spec, size, classes, task)
    console = _console(json)
    _print_summary(console, arch, cost)
    _print_parts(console, cost, depth=3 if blocks else 1)
    console.print(LEGEND, style="dim")
    if draw is not None:
        from stdc_lab.reporting.drawing import draw_architecture

        name = "" if arch == spec.arch_id else Path(arch).name
        draw_architecture(spec, draw, name=name, size=cost.size, num_classes=cost.num_classes)
        console.print(f"drawn: {draw}", markup=False)
    _write(_as_json(arch, cost), json)


@app.command("diff")
def diff_command(
    first: Annotated[str, typer.Argument(metavar="A", help=ARCHITECTURE)],
    second: Annotated[str, typer.Argument(metavar="B", help=ARCHITECTURE)],
    size: Annotated[str | None, typer.Option(help=SIZE)] = None,
    classes: Annotated[int | None, typer.Option(min=2, help=CLASSES)] = None,
    task: Annotated[str, typer.Option(help=TASK)] = "seg",
    json: Annotated[Path | None, typer.Option(help=JSON)] = None,
) -> None:
    """What tells two networks apart: the fields that differ, and what that costs in every stage.

    Example: stdc-lab arch diff stdc1 stdc2
    """
    costs = [_analyse(read_architecture(name), size, classes, task) for name in (first, second)]
    fields = _differences(costs[0].spec, costs[1].spec)
    console = _console(json)
    _print_differences(console, (first, second), fields)
    _print_changes(console, (first, second), *costs)
    sides = [_as_json(name, cost) for name, cost in zip((first, second), costs, strict=True)]
    changed = [{"field": name, "a": a, "b": b} for name, (a, b) in fields.items()]
    _write({"a": sides[0], "b": sides[1], "fields": changed}, json)


def _analyse(spec: ArchSpec, size: str | None, classes: int | None, task: str) -> NetworkCost:
    from stdc_lab.arch import analyse

    if task == "seg":
        return analyse(spec, read_size(size or "512x1024"), classes or 19)
    if task == "cls":
        return analyse(spec, read_size(size or "224x224"), classes or 1000, task="cls")
    raise ConfigError(f"--task: got {task!r}; allowed: seg, cls")


def _console(json: Path | None) -> Console:
    """People read stdout, unless JSON goes there."""
    from rich.console import Console

    console = Console(stderr=json is not None and str(json) == "-", highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _write(content: Any, path: Path | None) -> None:
    if path is not None:
        write_json(json.dumps(content, indent=1), path)


def _print_summary(console: Console, name: str, cost: NetworkCost) -> None:
    from rich.markup import escape

    from stdc_lab.arch import total_cost

    spec = cost.spec
    what = "deployed segmenter" if cost.task == "seg" else "classifier"
    console.print(
        f"[bold]{escape(name)}[/bold]  arch_id {spec.arch_id}  {what}, {cost.num_classes} classes, "
        f"input 1×3×{cost.size[0]}×{cost.size[1]}"
    )
    for title, text in spec.facts():
        console.print(f"{escape(title)}: {escape(text)}")
    if spec.classifies:
        classes = cost.num_classes if cost.task == "cls" else 1000
        executed = total_cost(spec, cost.size, classes, task="cls").num_params
        registered = executed + spec.unused_classifier_params
        console.print(
            f"as a classifier of {classes} classes: {executed:,} parameters; {registered:,} as the released network "
            "counts,\n  with a batch norm that it registers and never runs"
        )


def _print_parts(console: Console, cost: NetworkCost, depth: int) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("part", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for title in ("parameters", "share", "M MACs", "share", "M act.", "field"):
        table.add_column(title, justify="right", no_wrap=True)

    def add(part: Part, level: int) -> None:
        height, width = part.output_size
        table.add_row(
            "  " * level + part.name,
            f"{part.output_channels}×{height}×{width}",
            f"{part.cost.num_params:,}",
            f"{part.cost.num_params / cost.cost.num_params:.1%}",
            f"{part.cost.macs / 1e6:,.1f}",
            f"{part.cost.macs / cost.cost.macs:.1%}",
            f"{part.cost.activations / 1e6:.2f}",
            _field(part),
            style=None if level == 0 else "dim",
        )
        for inner in part.parts if level + 1 < depth else ():
            add(inner, level + 1)

    for part in cost.parts:
        add(part, 0)
    whole = cost.cost
    table.add_row(
        "whole", "", f"{whole.num_params:,}", "", f"{whole.macs / 1e6:,.1f}", "", f"{whole.activations / 1e6:.2f}", "",
        style="bold",
    )  # fmt: skip
    console.print(table)


def _print_differences(console: Console, names: tuple[str, str], fields: dict[str, tuple[Any, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not fields:
        console.print("no field differs: one network")
        return
    table = Table(box=None, header_style="bold")
    for title in ("field", *names):
        table.add_column(escape(title))
    for field, values in fields.items():
        table.add_row(field, *map(_shown, values))
    console.print(table)
    console.print()


def _print_changes(console: Console, names: tuple[str, str], first: NetworkCost, second: NetworkCost) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", title_justify="left")
    table.add_column("part", no_wrap=True)
    for unit in ("parameters", "M MACs", "field"):
        for name in names:
            table.add_column(f"{unit}\n{escape(Path(name).stem)}", justify="right")
        if unit != "field":
            table.add_column("change", justify="right")
    sides = [{part.name: part for part in cost.parts} for cost in (first, second)]
    for name in dict.fromkeys(name for side in sorted(sides, key=len, reverse=True) for name in side):
        a, b = (side.get(name) for side in sides)
        table.add_row(
            name,
            *_change(a.cost.num_params if a else None, b.cost.num_params if b else None, in_millions=False),
            *_change(a.cost.macs if a else None, b.cost.macs if b else None, in_millions=True),
            *("–" if part is None else _field(part) for part in (a, b)),
        )
    params, macs = (first.cost.num_params, second.cost.num_params), (first.cost.macs, second.cost.macs)
    changes = (*_change(*params, in_millions=False), *_change(*macs, in_millions=True))
    table.add_row("whole", *changes, "", "", style="bold")
    console.print(table)
    height, width = first.size
    console.print(f"Input {height}x{width}, {first.num_classes} classes.\n{LEGEND}", style="dim")


def _change(a: int | None, b: int | None, *, in_millions: bool) -> tuple[str, str, str]:
    """Two counts and the change from one to the other."""
    left, right = ("–" if value is None else f"{value / 1e6:,.1f}" if in_millions else f"{value:,}" for value in (a, b))
    if a is None or b is None:
        return left, right, ""
    return left, right, "same" if a == b else f"{b / a - 1:+.1%}"


def _differences(a: ArchSpec, b: ArchSpec) -> dict[str, tuple[Any, Any]]:
    """Fields whose values differ, those of the decoder as `decoder.…`; what follows from them where it says more."""
    sides = [{**_flat(spec.to_dict()), **spec.derived()} for spec in (a, b)]
    names = dict.fromkeys(name for side in sides for name in side)
    pairs = {name: (sides[0].get(name), sides[1].get(name)) for name in names}
    return {name: (first, second) for name, (first, second) in pairs.items() if first != second}


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        flat |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _as_json(name: str, cost: NetworkCost) -> dict[str, Any]:
    def parts(items: tuple[Part, ...]) -> list[dict[str, Any]]:
        return [
            {
                "name": part.name,
                **part.cost._asdict(),
                "output_channels": part.output_channels,
                "output_size": list(part.output_size),
                "receptive_field": part.receptive_field,
                "whole_image": part.whole_image,
                "parts": parts(part.parts),
            }
            for part in items
        ]

    return {
        "name": name,
        "arch_id": cost.spec.arch_id,
        "arch": cost.spec.to_dict(),
        "task": cost.task,
        "size": list(cost.size),
        "num_classes": cost.num_classes,
        **cost.cost._asdict(),
        "parts": parts(cost.parts),
    }


def _field(part: Part) -> str:
    if part.receptive_field is None:
        return "whole image"
    return f"{part.receptive_field:,}" + (" *" if part.whole_image else "")


def _joined(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "; ".join(_shown(inner) for inner in value)
    if value is None:
        return "–"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()
