"""`stdc-lab import` and `stdc-lab export`: checkpoints of the released code in, and out again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.cli.options import read_architecture
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


def import_command(
    released: Annotated[
        Path, typer.Argument(help="A file of the released code: .pth (segmentation) or .tar (ImageNet).")
    ],
    arch: Annotated[str, typer.Option(help="What it holds: a preset such as stdc1, or a YAML or JSON file.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    heads: Annotated[
        bool, typer.Option("--heads", help="Keep the training heads too, not only the deployed network.")
    ] = False,
) -> None:
    """Turn a released checkpoint into one of ours. Every key of the file is accounted for.

    Example: stdc-lab import model_maxmIOU50.pth --arch stdc1 --out stdc1.pt
    """
    spec = read_architecture(arch)

    from stdc_lab.config.training import TrainingHeads
    from stdc_lab.nn import build_classifier, build_model
    from stdc_lab.nn.backbone import StdcClassifier
    from stdc_lab.nn.checkpoints import load_released, read_released, save_checkpoint
    from stdc_lab.nn.released import classes_of, kind_of
    from stdc_lab.nn.segmenter import StdcSegmenter

    state = read_released(released)
    kind, classes = kind_of(state, str(released)), classes_of(state)
    if classes is None:
        raise ConfigError(f"{released}: holds no weights of the classes: conv_out.conv_out.weight or linear.weight")
    network: StdcSegmenter | StdcClassifier
    if kind == "seg":
        every = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16)) if heads else None
        network = build_model(spec, classes, every)
    else:
        network = build_classifier(spec, classes)
    report = load_released(network, released)
    save_checkpoint(out, network, {"imported": released.name})
    what = "segmenter" if kind == "seg" else "classifier"
    typer.echo(f"{released}: {what} {arch} (arch_id {spec.arch_id}), {classes} classes")
    typer.echo(f"  {report.used} tensors used, {report.second_names} second names of them agree")
    _list("skipped, which the network lacks", report.skipped)
    typer.echo(f"written: {out}")


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of ours: of a trial, or imported.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[str, typer.Option(help="released: what the released code loads strictly.")] = "released",
) -> None:
    """Write a checkpoint of ours in the format of the released code, with the layers that it registers.

    Example: stdc-lab export runs/quickstart/runs/KEY/checkpoint.pt --format released --out model.pth
    """
    if format != "released":
        raise ConfigError(f"--format: got {format!r}; allowed: released")

    from stdc_lab.nn.checkpoints import load_checkpoint, save_released

    restored = save_released(out, load_checkpoint(checkpoint).network)
    _list(
        "restored with fresh values, since the checkpoint lacks them and the main output needs none of them", restored
    )
    typer.echo(f"written: {out}")


def _list(title: str, keys: Sequence[str]) -> None:
    """Tensors by layer: the name of each layer once, with the number of its tensors."""
    if not keys:
        return
    layers: dict[str, int] = {}
    for key in keys:
        layer = key.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0) + 1
    typer.echo(f"  {len(keys)} {title}:")
    for layer, count in layers.items():
        typer.echo(f"    {layer}" + (f" ({count} tensors)" if count > 1 else ""))
