"""`stdc-lab profile`: what a network costs."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stdc_lab.cli.options import NETWORK, read_architecture, read_network, read_size, write_json, write_text
from stdc_lab.cli.profile_progress import profiling_progress
from stdc_lab.errors import ConfigError, SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.arch import ArchSpec
    from stdc_lab.cli.tables import Table
    from stdc_lab.config import TrainingHeads
    from stdc_lab.nn import OwnNetwork
    from stdc_lab.profiling.comparison import Subject
    from stdc_lab.records import ProfileResult

ARCHITECTURES = (
    "Presets (stdc-lab arch list), YAML files, checkpoints (.pt); with --task cls also baselines: resnet50 …"
)
SIZE = "Input, HEIGHTxWIDTH, or several separated by commas; default: 512x1024, of a classifier 224x224."
CLASSES = "Number of classes; default: 19, of a classifier 1000."
TASK = "seg: the deployed segmenter. cls: the classifier that is pretrained."
TRAINING_HEADS = "Also what these training heads cost: auxiliary and detail strides, as auxiliary,8; or all."
RUNTIME = (
    "Also in these runtimes (eager, folded, compile, openvino_bf16 …), separated by commas, compared with eager and "
    "ranked; all: what is installed and native here."
)
BATCH = "Batch sizes for the runtimes (default: channels_last), separated by commas."
THREADS = "CPU threads; default: one a core, or OMP_NUM_THREADS if that is fewer."
REFERENCE = "The network that ratios are to; default: the first baseline, else the first."
SECONDS = "How long each network is timed; noisy ones twice as long, slow ones for seven calls."
PRECISION = "How narrow the median's 95 % interval is to be, as a share of it."
DETAILS = "All tables of every network; default: of a single one."
FILE = "(- for stdout)."
PIPE_WIDTH = 160
MIN_REPEATS = 7
"""The range of seven calls is a 95 % interval of the median at two looks, and profiling is to answer in 15 s also
where a call takes one."""
WARMUP_S = 1.0
STRIDES = (2, 4, 8, 16)
MAX_BATCH = 1024
PICTURES = (".png", ".svg")
DEFAULT_SIZES = {"seg": "512x1024", "cls": "224x224"}
BASELINES = ("efficientnet_b0", "mobilenetv2", "resnet18", "resnet50")
"""`profiling.baselines` says what they are; here by name, without torch. A later one is a reference sooner."""


def profile_command(
    arch: Annotated[list[str] | None, typer.Argument(help=ARCHITECTURES)] = None,
    network: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help=NETWORK)] = None,
    size: Annotated[str | None, typer.Option(help=SIZE)] = None,
    classes: Annotated[int | None, typer.Option(min=2, help=CLASSES)] = None,
    task: Annotated[str, typer.Option(help=TASK)] = "seg",
    training_heads: Annotated[str | None, typer.Option(help=TRAINING_HEADS)] = None,
    modules: Annotated[bool, typer.Option("--modules", help="Every module, not only the stages.")] = False,
    blocks: Annotated[bool, typer.Option("--blocks", help="Every module and block.")] = False,
    details: Annotated[bool | None, typer.Option(help=DETAILS)] = None,
    runtime: Annotated[str | None, typer.Option(help=RUNTIME)] = None,
    batch: Annotated[str, typer.Option(help=BATCH)] = "1",
    stages: Annotated[bool, typer.Option("--stages", help="Also how long each stage takes.")] = False,
    reference: Annotated[str | None, typer.Option(help=REFERENCE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help=THREADS)] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help=SECONDS)] = 1.5,
    precision: Annotated[float, typer.Option(min=0.001, max=1, help=PRECISION)] = 0.02,
    latency: Annotated[bool, typer.Option(help="Measure latency; without it, only count.")] = True,
    picture: Annotated[Path | None, typer.Option(help="Draw the stages into this .png or .svg file.")] = None,
    json: Annotated[Path | None, typer.Option(help=f"Also write the figures to this file {FILE}")] = None,
    csv: Annotated[Path | None, typer.Option(help=f"Also write a row a network to this file {FILE}")] = None,
    markdown: Annotated[Path | None, typer.Option(help=f"Also write the tables to this file {FILE}")] = None,
) -> None:
    """What networks cost: weights, MACs by several counters and why they differ, feature maps, latency, runtimes.

    Example: stdc-lab profile stdc1 stdc2 --size 512x1024 --runtime all --picture stages.png --json out.json
    """
    from stdc_lab.config.latency import LatencyConfig

    chosen_task = _read_task(task)
    heads = _read_heads(training_heads, chosen_task)
    sizes = [read_size(part) for part in (size or DEFAULT_SIZES[chosen_task]).split(",")]
    batches = _read_batches(batch)
    if not latency and (runtime or stages or reference or batches != (1,)):
        raise ConfigError("--no-latency: allowed without --runtime, --batch, --stages and --reference")
    if picture is not None and picture.suffix not in PICTURES:
        raise ConfigError(f"--picture: got {picture}; allowed: a file ending with {' or '.join(PICTURES)}")
    arch = _asked(arch or [], network, chosen_task)
    found = [None if name == network else _find(name, chosen_task) for name in arch]
    names = _names(arch)
    chosen_reference = _read_reference(reference, names) if latency else None
    config = LatencyConfig(
        size=sizes[0],
        threads=threads,
        warmup_s=WARMUP_S,
        measure_s=seconds,
        precision=precision,
        min_repeats=MIN_REPEATS,
    )
    console = _console([json, csv, markdown])

    from stdc_lab.deploy.runtimes import find_runtimes, left_out
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.profiling.comparison import Request, profile_together

    chosen = choose_device(device)
    wanted = runtime or ("channels_last" if batches != (1,) else "")
    runtimes = find_runtimes(wanted.split(","), chosen) if wanted else ()
    own = read_network(network)
    subjects = [_subject(name, one, chosen_task, classes, own) for name, one in zip(names, found, strict=True)]
    request = Request(
        sizes=sizes,
        timed=latency,
        stages=latency and (stages or picture is not None),
        runtimes=runtimes,
        batches=batches,
        reference=chosen_reference,
        heads=heads,
        depth=3 if blocks else 2 if modules else 1,
    )
    makings = len(subjects) * len(runtimes) * len(sizes) * len(batches)
    with profiling_progress(len(runtimes), makings) as heard:
        results = profile_together(subjects, request, config, chosen, heard.tell, heard.forecast)
    shown = [result.network or "" for result in results]
    if len(sizes) > 1:
        shown = [f"{name} {one.size[0]}×{one.size[1]}" for name, one in zip(shown, results, strict=True)]
    tables = _print(console, shown, results, len(results) == 1 if details is None else details)
    if "all" in wanted.split(","):
        timed = {one.name for one in runtimes}
        for name, reason in left_out(chosen).items():
            if name in timed:
                continue
            console.print(f"{name} was left out: {reason}", style="dim", markup=False, soft_wrap=True)
    if json is not None:
        write_json("[" + ",\n".join(result.model_dump_json(indent=1) for result in results) + "]", json)
    if csv is not None:
        _write_csv(shown, results, csv)
    if markdown is not None:
        from stdc_lab.cli.tables import as_markdown

        write_text("\n".join(map(as_markdown, tables)), markdown, "--markdown")
    if picture is not None:
        from stdc_lab.reporting.costs import draw_costs

        draw_costs(shown, results, picture)
        console.print(f"written: {picture}", markup=False)


def _asked(arch: Sequence[str], network: str | None, task: str) -> list[str]:
    """The names of all networks, the user's own last. Raises `ConfigError`."""
    if network is None and not arch:
        raise ConfigError("ARCH: got none; allowed: at least one, or --network MODULE:FUNCTION")
    if network is not None and task != "seg":
        raise ConfigError(f"--network: got {network!r} with --task {task}; allowed: a segmenter, --task seg")
    return [*arch, *([] if network is None else [network])]


def _find(name: str, task: str) -> ArchSpec | Path | None:
    """An architecture, a checkpoint's file, or None for a baseline. Raises `ConfigError`, `SpecError`."""
    if name in BASELINES:
        if task != "cls":
            raise ConfigError(f"ARCH: got {name!r}, a classifier; allowed: with --task cls")
        return None
    if name.endswith(".pt"):
        return Path(name)
    try:
        return read_architecture(name)
    except SpecError as error:
        if name.endswith((".yaml", ".yml", ".json")):
            raise
        raise SpecError(f"{error}; baselines with --task cls: {', '.join(BASELINES)}; a checkpoint: FILE.pt") from error


def _subject(
    name: str,
    found: ArchSpec | Path | None,
    task: Literal["seg", "cls"],
    classes: int | None,
    own: OwnNetwork | None,
) -> Subject:
    from stdc_lab.profiling import comparison

    if own is not None and name == own.path:
        return comparison.subject_of_own(own, classes)
    if found is None:
        return comparison.subject_of_baseline(name, classes)
    if isinstance(found, Path):
        return replace(comparison.subject_of_checkpoint(found, task, own), name=name)
    return comparison.subject_of_spec(name, found, task, classes)


def _names(arch: Sequence[str]) -> list[str]:
    """Short names: a file's without its folder and ending, numbered where two are alike."""
    names: list[str] = []
    for text in arch:
        name = Path(text).stem if text.endswith((".yaml", ".yml", ".json", ".pt")) else text
        count = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({count + 1})" if count else name)
    return names


def _read_batches(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= MAX_BATCH for word in words):
        raise ConfigError(f"--batch: got {text!r}; allowed: whole numbers from 1 to {MAX_BATCH}, separated by commas")
    return tuple(sorted({int(word) for word in words}))


def _read_reference(wanted: str | None, names: Sequence[str]) -> str | None:
    """What ratios are to: if nobody says, the first baseline, or the first network; none for a single one."""
    if wanted is not None and wanted not in names:
        raise ConfigError(f"--reference: got {wanted!r}; allowed: {', '.join(names)}")
    return wanted or next((name for name in reversed(BASELINES) if name in names), names[0])


def _read_task(text: str) -> Literal["seg", "cls"]:
    allowed: dict[str, Literal["seg", "cls"]] = {"seg": "seg", "cls": "cls"}
    if text in allowed:
        return allowed[text]
    raise ConfigError(f"--task: got {text!r}; allowed: seg, cls")


def _read_heads(text: str | None, task: str) -> TrainingHeads | None:
    """`auxiliary,8` or `all` as training heads. Raises `ConfigError`."""
    if text is None:
        return None
    if task != "seg":
        raise ConfigError(f"--training-heads: got {text!r}; allowed: nothing with --task cls, which has none")
    words = ["auxiliary", *map(str, STRIDES)] if text == "all" else [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word != "auxiliary" and word not in map(str, STRIDES)]
    if unknown or len(set(words)) < len(words):
        raise ConfigError(
            f"--training-heads: got {text!r}; allowed: all, or auxiliary, 2, 4, 8, 16 separated by commas, each once"
        )

    from stdc_lab.config import TrainingHeads

    strides = tuple(stride for stride in STRIDES if str(stride) in words)
    return TrainingHeads(auxiliary="auxiliary" in words, detail_strides=strides)


def escape(text: str) -> str:
    """Text that the console prints as it is."""
    from rich.markup import escape as escaped

    return escaped(text)


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
    from stdc_lab.cli import latency_tables
    from stdc_lab.cli import profile_tables as tables

    shown: list[Table] = []
    for name, result in zip(names, results, strict=True) if details else ():
        _print_heading(console, name, result)
        for index, table in enumerate(tables.network_tables(name, result)):
            _show(console, table, shown, titled=index > 0)
        _print_latency(console, result)
    if len(results) > 1:
        if not details:
            for table in (*tables.comparison_of_parts(names, results), tables.comparison_of_counters(names, results)):
                _show(console, table, shown)
            if any(result.stage_latencies for result in results):
                _show(console, latency_tables.part_latencies(names, results), shown)
        _show(console, tables.comparison_table(names, results), shown)
        for line in latency_tables.comparison_row(names, results):
            console.print(f"[bold]{escape(line)}[/bold]")
    for size in dict.fromkeys(result.size for result in results if result.runtimes):
        _show(console, latency_tables.runtimes_table([one for one in results if one.size == size]), shown)
    _print_environment(console, results)
    return shown


def _show(console: Console, table: Table, shown: list[Table], *, titled: bool = True) -> None:
    from stdc_lab.cli.tables import as_rich

    shown.append(table)
    if titled:
        console.print(f"\n[bold]{escape(table.title)}[/bold]")
    console.print(as_rich(table))
    for note in table.notes:
        console.print(note, style="dim", markup=False)


def _print_heading(console: Console, name: str, result: ProfileResult) -> None:
    what = "deployed segmenter" if result.task == "seg" else "classifier"
    known = "" if result.arch_id is None else f"arch_id {result.arch_id}  "
    console.print(
        f"[bold]{escape(name)}[/bold]  {known}{what}, {result.num_classes} classes, "
        f"input 1×3×{result.size[0]}×{result.size[1]}\n{result.num_params:,} parameters, {result.macs:,} MACs\n"
    )


def _print_latency(console: Console, result: ProfileResult) -> None:
    from stdc_lab.cli.latency_tables import NOISY, headline, how

    flops = f"{2 * result.macs / 1e9:,.2f} GFLOPs (derived: 2 × MACs)"
    latency = result.latency
    if latency is None:
        console.print(f"\n[bold]latency[/bold]: not run; {flops}\n")
        return
    console.print(f"\n[bold]latency[/bold]\n[bold]{headline(latency)}[/bold]\n{how(latency)}")
    console.print(f"{1000 / latency.median_ms:.1f} fps (derived: 1000 / ms), {flops}")
    if latency.noisy:
        console.print(f"[yellow]{NOISY}[/yellow]")


def _print_environment(console: Console, results: Sequence[ProfileResult]) -> None:
    from stdc_lab.cli.latency_tables import where

    machine = next((result.environment for result in results if result.environment), None)
    if machine is not None:
        console.print(f"\n{where(machine)}", style="dim", markup=False)


def _write_csv(names: Sequence[str], results: Sequence[ProfileResult], path: Path) -> None:
    from stdc_lab.cli.profile_tables import csv_rows

    text = io.StringIO()
    csv_format.writer(text, lineterminator="\n").writerows(csv_rows(names, results))
    write_text(text.getvalue().rstrip("\n"), path, "--csv")
