"""`stdc-lab predict`: what a network sees in images and videos."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stdc_lab.cli.options import NETWORK_OF_FILE, read_network, read_size, write_json
from stdc_lab.cli.progress import progress_line
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stdc_lab.deploy.predict import Predictor, Speed


def predict_command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of ours: of a trial or a training, or imported.")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, folders of images, or videos.")],
    out: Annotated[Path, typer.Option(help="The folder that the pictures go to.")],
    size: Annotated[
        str | None,
        typer.Option(help="What the network sees, HEIGHTxWIDTH; default: as it was trained, else the image's own."),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Also image and overlay side by side, with a legend.")
    ] = False,
    compare: Annotated[
        list[Path] | None, typer.Option(help="Another checkpoint, for a panel of all on the same images; repeatable.")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Go on without inputs that cannot be read, and list them.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Name and colour classes as a data set, such as camvid; default: as trained.")
    ] = None,
    network: Annotated[str | None, typer.Option(metavar="MODULE:FUNCTION", help=NETWORK_OF_FILE)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Also write speeds and files to this file (- for stdout).")] = None,
) -> None:
    """Overlay, class map and coloured map of each image; an overlay of each video; the frame rate that was reached.

    Example: stdc-lab predict runs/quickstart/runs/KEY/checkpoint.pt photo.jpg --out seen --side-by-side
    """
    wanted = None if size is None else read_size(size)

    from rich.console import Console

    from stdc_lab.data.kinds import named_classes
    from stdc_lab.deploy.inputs import check_readable, find_inputs
    from stdc_lab.deploy.predict import check_comparable, load_predictor, predict_images, predict_video
    from stdc_lab.hardware.devices import choose_device
    from stdc_lab.machine import machine_lock

    if dataset is not None and dataset not in named_classes():
        raise ConfigError(f"--dataset: got {dataset!r}; allowed: {', '.join(named_classes())}")
    chosen = choose_device(device)
    found = find_inputs(inputs)
    _check_out(out, inputs)
    videos = [item for item in found if item.video]
    if compare and videos:
        raise ConfigError(f"--compare: got the video {videos[0].path}; allowed: images and folders of images")
    own = read_network(network)
    predictors = [load_predictor(path, chosen, wanted, dataset, own) for path in (checkpoint, *(compare or []))]
    check_comparable(predictors)
    console = Console(stderr=json is not None and str(json) == "-", highlight=False, soft_wrap=True)
    speeds: list[tuple[str, Predictor, Speed]] = []
    files: list[Path] = []
    with progress_line() as show, machine_lock(alone=False):
        readable = check_readable(found, skip_unreadable, lambda done, total: show("reading", done, total))
        _make(out)
        images = [item for item in readable.good if not item.video]
        if images:
            reached, written = predict_images(predictors, images, out, beside=side_by_side, on_progress=show)
            what = f"{len(images)} image{'s' if len(images) != 1 else ''}"
            speeds += [(what, *pair) for pair in zip(predictors, reached, strict=True)]
            files += written
        for item in readable.good:
            if item.video:
                speed, path = predict_video(predictors[0], item, out, beside=side_by_side, on_progress=show)
                speeds.append((item.path.name, predictors[0], speed))
                files.append(path)
    for reason in readable.skipped:
        console.print(f"skipped: {reason}", markup=False)
    report = [_speed(*entry) for entry in speeds]
    for line in report:
        console.print(_speed_line(line), markup=False)
    console.print(f"written: {len(files)} file{'s' if len(files) != 1 else ''} in {out}", markup=False)
    if json is not None:
        content = {"speeds": report, "files": [str(path) for path in files], "skipped": readable.skipped}
        write_json(json_module.dumps(content, indent=1), json)


def _check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Predictions among the images that they are of would be images to predict the next time."""
    for path in inputs:
        if path.is_dir() and path.resolve() == out.resolve():
            raise ConfigError(f"--out: got {out}, the folder of the images themselves; allowed: another folder")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: {out}: cannot be made: {error.strerror}") from error


def _speed(what: str, predictor: Predictor, speed: Speed) -> dict[str, Any]:
    import torch

    from stdc_lab.config.values import show_size
    from stdc_lab.hardware.environment import environment

    machine = environment(predictor.device, torch.get_num_threads())
    return {
        "what": what,
        "checkpoint": str(predictor.path),
        "arch_id": predictor.network.description["arch_id"],
        "own_network": predictor.network.description.get("own_network"),
        "images": speed.images,
        "network_fps": speed.network_fps,
        "whole_fps": speed.whole_fps,
        "sizes": [show_size(size) for size in sorted(speed.sizes)],
        "precision": str(predictor.dtype).removeprefix("torch."),
        "environment": machine.model_dump(mode="json"),
    }


def _speed_line(line: dict[str, Any]) -> str:
    machine = line["environment"]
    sizes = ", ".join(line["sizes"][:3]) + (" …" if len(line["sizes"]) > 3 else "")
    network = f"network {line['own_network']}" if line["own_network"] else f"arch_id {line['arch_id']}"
    whole = "" if line["whole_fps"] is None else f", {line['whole_fps']:.1f} with reading, drawing and writing"
    return (
        f"{line['what']}: {line['network_fps']:.1f} frames a second by the network alone{whole}\n"
        f"  {line['checkpoint']} ({network}) at {sizes}, batch 1, {line['precision']}, "
        f"{machine['device']} ({machine['processor']}), {machine['threads']} threads; for a latency that can be "
        "compared: stdc-lab profile"
    )
