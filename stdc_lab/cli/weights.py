"""`stdc-lab import` and `stdc-lab export`: checkpoints of the released code in, and files for use elsewhere out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stdc_lab.cli.options import NETWORK_OF_FILE, read_architecture, read_network, read_size
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stdc_lab.nn import OwnNetwork


def import_command(
    released: Annotated[
        Path, typer.Argument(help="A file of the released code: .pth (segmentation) or .tar (ImageNet).")
    ],
    arch: Annotated[str, typer.Option(help="What it holds: a preset such as stdc1, or a YAML or JSON file.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write.")],
    training_heads: Annotated[
        bool, typer.Option("--training-heads", help="Keep the training heads too, not only the deployed network.")
    ] = False,
) -> None:
    """Turn a released checkpoint into one of ours. Every key of the file is accounted for.

    Example: stdc-lab import model_maxmIOU50.pth --arch stdc1 --out stdc1.pt
    """
    spec = read_architecture(arch)

    from stdc_lab.nn import Classifier, Segmenter, build_classifier, build_model
    from stdc_lab.nn.checkpoints import load_released, read_released, save_checkpoint
    from stdc_lab.nn.released_forms import released_form

    form, state = released_form(spec), read_released(released)
    kind, classes = form.task_of(state, str(released)), form.classes_of(state)
    if classes is None:
        raise ConfigError(f"{released}: holds no weights of the classes: conv_out.conv_out.weight or linear.weight")
    network: Segmenter | Classifier
    if kind == "seg":
        network = build_model(spec, classes, form.every_head if training_heads else None)
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
    out: Annotated[Path, typer.Option(help="The file to write: .onnx, .xml (OpenVINO, with a .bin beside it), .pth.")],
    format: Annotated[
        str, typer.Option(help="onnx, openvino, or released: what the released code loads strictly.")
    ] = "released",
    size: Annotated[
        str | None, typer.Option(help="Input, HEIGHTxWIDTH; default: that of the training, else 512x1024.")
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help=NETWORK_OF_FILE)] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="For any batch and input size.")] = False,
    example: Annotated[
        bool, typer.Option("--example", help="With a script that runs the file without stdc_lab or torch.")
    ] = False,
) -> None:
    """Write a checkpoint of ours for use elsewhere: ONNX and OpenVINO files are run and compared once written.

    Their metadata hold class names, normalisation and arch_id.

    Example: stdc-lab export runs/quickstart/runs/KEY/checkpoint.pt --format onnx --size 512x1024 --out model.onnx
    """
    if format == "released":
        if size is not None or dynamic or example:
            raise ConfigError("--size, --dynamic, --example: allowed with --format onnx, openvino; not with released")
        _export_released(checkpoint, out, read_network(network))
        return
    wanted = None if size is None else read_size(size)

    from stdc_lab.deploy.export import export_checkpoint

    own = read_network(network)
    done = export_checkpoint(checkpoint, out, format, size=wanted, dynamic=dynamic, example=example, own=own)
    shapes = ", ".join("×".join(map(str, shape)) for shape in done.shapes)
    names = "named" if "class_names" in done.metadata else "without names"
    own_path = done.metadata.get("own_network")
    title = f"network {own_path}" if own_path else f"arch_id {done.metadata['arch_id']}"
    typer.echo(f"{checkpoint}: {done.metadata['network']} ({title}), {done.metadata['num_classes']} classes {names}")
    typer.echo(
        f"  run on {shapes}: largest error {done.agreement.max_rel_error:.1e} of the largest logit, the same class in "
        f"{done.agreement.argmax_share:.2%}"
    )
    for file in done.files:
        typer.echo(f"written: {file}")


def _export_released(checkpoint: Path, out: Path, own: OwnNetwork | None) -> None:
    from stdc_lab.nn.checkpoints import load_checkpoint, save_released

    restored = save_released(out, load_checkpoint(checkpoint, own).network)
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
