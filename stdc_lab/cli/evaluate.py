"""`stdc-lab evaluate`: what a file of weights reaches on a validation set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdc_lab.cli.options import NETWORK_OF_FILE, read_data_option, read_network, read_size, write_json
from stdc_lab.cli.progress import progress_line
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from stdc_lab.config import DataConfig
    from stdc_lab.records import EvaluationProtocol, EvaluationResult


def evaluate_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of ours: of a trial or a training, or imported.")],
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Where the data set is: camvid=path/to/camvid.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A data set's name, such as camvid; default: as the checkpoint was trained.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Of images and labels, HEIGHTxWIDTH; default: as the checkpoint was trained.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="camvid: usual or drive; default: as the checkpoint was trained.")
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="camvid with split drive: the drive held out.")] = None,
    scale: Annotated[
        list[float] | None,
        typer.Option(
            help="Resize images by this before the network; several are averaged. Default: as in the training."
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored images.")] = False,
    network: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help=NETWORK_OF_FILE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Also write it to this file (- for stdout).")] = None,
) -> None:
    """mIoU, IoU of each class, pixel accuracy and boundary F-score over a whole validation set, with the protocol.

    Without options it repeats the evaluation of the checkpoint's own training.

    Example: stdc-lab evaluate runs/quickstart/runs/KEY/checkpoint.pt --json evaluation.json
    """
    wanted = None if size is None else read_size(size)

    from rich.console import Console

    from stdc_lab.data import load_dataset
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.nn import load_checkpoint
    from stdc_lab.training.evaluate import check_scales, evaluate_checkpoint, segmenter_of

    chosen = choose_device(device)
    if scale:
        check_scales(scale)
    found = load_checkpoint(checkpoint, read_network(network))
    scales = check_scales(scale or [found.evaluation_scale])
    segmenter_of(checkpoint, found)
    name = dataset or _named_by(data)
    config = choose_data(checkpoint, found.data, name, size=wanted, split=split, held_out=held_out)
    path = read_data_option(data, config.name, "the data set that is evaluated")
    with progress_line() as show:
        loaded = load_dataset(config, path, progress=lambda what, done, total: show(f"preparing {what}", done, total))
        tell = partial(show, "evaluating")
        result = evaluate_checkpoint(
            checkpoint, found, config, loaded, chosen, scales=scales, flip=flip, on_progress=tell
        )
    console = Console(stderr=json is not None and str(json) == "-", highlight=False, soft_wrap=True)
    same_scale = scales == (found.evaluation_scale,) and not flip
    same_images = None if found.val_contents is None else found.val_contents == loaded.val.contents
    if config != found.data:
        same_images = False
    _print(console, result, own_record(result.recorded_miou, same_images, same_scale))
    if json is not None:
        write_json(result.model_dump_json(indent=1), json)


def choose_data(checkpoint: Path, recorded: DataConfig | None, name: str | None, **given: Any) -> DataConfig:
    """What is evaluated: as the checkpoint was trained (`recorded`), or what the options give (None: nothing) instead.

    Of another data set only the size is taken over. Raises `ConfigError` if options and checkpoint do not say enough,
    or what cannot be.
    """
    from stdc_lab.cli.data import read_data_config
    from stdc_lab.config.data import DATA_NAMES

    given = {field: value for field, value in given.items() if value is not None}
    if name is not None and name not in DATA_NAMES:
        raise ConfigError(f"--dataset: got {name!r}; allowed: {', '.join(DATA_NAMES)}")
    if recorded is None:
        for option, missing in (("--dataset", name is None), ("--size", "size" not in given)):
            if missing:
                raise ConfigError(f"{option}: {checkpoint} does not say what it was trained on; give {option} here")
        return read_data_config(str(name), **given)
    if name in (None, recorded.name):
        kept = recorded.model_dump(exclude={"name"})
        if given.get("split") == "usual":
            kept.pop("held_out", None)
        return read_data_config(recorded.name, **{**kept, **given})
    return read_data_config(str(name), **{"size": recorded.size, **given})


def own_record(miou: float | None, same_images: bool | None, same_scale: bool) -> str | None:
    """In words, how a checkpoint's own mIoU stands to what was evaluated here; None if it has none.

    same_images: whether it is of the same images and labels; None if the checkpoint does not say of which it is.
    """
    if miou is None:
        return None
    if same_images and same_scale:
        return f"the checkpoint's own record, same data and scale: mIoU {_shown(miou)}"
    if same_images is None:
        return f"the checkpoint says mIoU {_shown(miou)}, but not of which images: not to be compared"
    other = [] if same_images else ["of other data"]
    other += [] if same_scale else ["at another scale"]
    return f"the checkpoint says mIoU {_shown(miou)} {' and '.join(other)}: not to be compared"


def _named_by(data: list[str] | None) -> str | None:
    """The data set that a single `--data NAME=PATH` is about; None without one."""
    name, equals, _ = data[0].partition("=") if data and len(data) == 1 else ("", "", "")
    return name if equals else None


def _print(console: Console, result: EvaluationResult, recorded: str | None) -> None:
    """`recorded`: what is to be said of the checkpoint's own mIoU."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("class", box=None, header_style="bold")
    for title in ("IoU", "boundary F", "precision", "recall"):
        table.add_column(title, justify="right")
    columns = (
        result.class_iou,
        result.class_boundary_f,
        result.class_boundary_precision,
        result.class_boundary_recall,
    )
    for name in result.class_iou:
        table.add_row(escape(name), *(_shown(column[name]) for column in columns))
    console.print(table)
    console.print(
        f"[bold]mIoU {_shown(result.miou)}[/bold]  pixel accuracy {_shown(result.pixel_accuracy)}  "
        f"boundary F {_shown(result.boundary_f)}"
    )
    if recorded is not None:
        console.print(recorded, markup=False)
    for line in protocol_lines(result.protocol):
        console.print("  " + line, markup=False)
    console.print(f"  evaluated in {result.seconds:.1f} s")


def protocol_lines(protocol: EvaluationProtocol) -> list[str]:
    """The protocol as people read it."""
    data, machine = protocol.data, protocol.environment
    where = "".join(f", {what} {how}" for what, how in data.variant.items())
    scales = ", ".join(f"{scale:g}" for scale in protocol.scales)
    averaged = ", probabilities averaged" if len(protocol.scales) > 1 or protocol.flip else ""
    network = f"network {protocol.own_network}" if protocol.own_network else f"arch_id {protocol.arch_id}"
    return [
        f"data: {data.name}{where}, {protocol.num_images} validation images, labels {data.size[0]}x{data.size[1]}",
        f"scale {scales}{', and mirrored' if protocol.flip else ''}{averaged}",
        f"weights: {protocol.checkpoint}, {network}, {protocol.num_classes} classes",
        f"{protocol.precision} on {machine.device} ({machine.processor}), {machine.threads} threads, "
        f"PyTorch {machine.torch}",
        f"mIoU: {protocol.miou_is}",
        f"boundary F: {protocol.boundary_f_is}",
        *(f"note: {note}" for note in protocol.notes),
    ]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
