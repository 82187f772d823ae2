"""Weights and pictures → class maps, and files that show them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stdc_lab.arithmetic import TRAINING, computing
from stdc_lab.config.values import show_size
from stdc_lab.data import IMAGE_MEAN, IMAGE_STD, Pixels
from stdc_lab.data.files import resize_image
from stdc_lab.data.kinds import named_classes
from stdc_lab.deploy.comparison import ROWS, Row, compared, distinct_labels, panel, tile_width
from stdc_lab.deploy.inputs import Input, VideoFile, open_video, read_image
from stdc_lab.deploy.palette import MAX_CLASSES, Classes, classes_of
from stdc_lab.deploy.pictures import coloured, indexed_png, overlaid, png, side_by_side
from stdc_lab.errors import CheckpointError, ConfigError
from stdc_lab.files import write_bytes
from stdc_lab.hardware.devices import choose_dtype, place, synchronise
from stdc_lab.nn import OwnNetwork, Segmenter, load_checkpoint, strip_heads, title_of

OnProgress = Callable[[str, int, int], None]
"""Told what is predicted, how many images or frames are done, and how many there are (0: not known)."""


@dataclass(frozen=True)
class Predictor:
    """A network in its inference form on its device, and how it is used."""

    network: Segmenter
    path: Path
    label: str
    """What it is called in pictures: the reference it is a trial of, the training's name, or the file's."""
    classes: Classes
    size: tuple[int, int] | None
    """Height and width that images are resized to before the network; None: their own."""
    device: torch.device
    dtype: torch.dtype


@dataclass
class Speed:
    """How long one network took; the first call for each size of image is warm-up and is not counted."""

    images: int = 0
    network_s: float = 0.0
    """From the normalised image on the device to the logits at the network's size."""
    whole_s: float = 0.0
    """With reading, resizing, drawing and writing."""
    sizes: set[tuple[int, int]] = field(default_factory=set)
    """Heights and widths that the network saw."""

    @property
    def network_fps(self) -> float | None:
        """Images a second, by the network alone; None before the first."""
        return self.images / self.network_s if self.network_s else None

    @property
    def whole_fps(self) -> float | None:
        """Images a second, all in all; None before the first."""
        return self.images / self.whole_s if self.whole_s else None


def load_predictor(
    path: Path,
    device: torch.device,
    size: tuple[int, int] | None = None,
    dataset: str | None = None,
    own: OwnNetwork | None = None,
) -> Predictor:
    """A predictor from one of our files.

    size: default: that of the training, if the file says so. dataset: by which the classes are named, default: that
    of the training. own: see `load_checkpoint`. Raises `CheckpointError` if the file cannot be read, or is a
    classifier's; `ConfigError` for a data set with another number of classes.
    """
    found = load_checkpoint(path, own)
    network = found.network
    if not isinstance(network, Segmenter):
        raise CheckpointError(f"{path}: got the weights of a classifier; allowed: those of a segmenter")
    if network.num_classes > MAX_CLASSES:
        raise CheckpointError(f"{path}: got {network.num_classes} classes; allowed: up to {MAX_CLASSES}, 8-bit maps")
    data = found.data
    if dataset is None and found.legend is not None:
        colours = [tuple(bytes.fromhex(colour[1:])) for colour in found.legend.values()]
        classes = Classes(tuple(found.legend), np.array(colours, np.uint8))
    else:
        classes = classes_of(dataset or (data.name if data else None), network.num_classes)
    if dataset is not None and classes.names[0] == "class 0":
        allowed = ", ".join(f"{name} ({len(names)})" for name, (names, _) in named_classes().items())
        raise ConfigError(
            f"--dataset: got {dataset!r}, but {path} has {network.num_classes} classes; allowed: {allowed}"
        )
    named = (found.protocol.get("reference"), found.protocol.get("name"))
    stem = path.resolve().parent.name if path.stem in ("checkpoint", "last", "best") else path.stem
    return Predictor(
        network=place(strip_heads(network), device).eval(),
        path=path,
        label=next((name for name in named if isinstance(name, str) and name), stem),
        classes=classes,
        size=size or (data.size if data else None),
        device=device,
        dtype=choose_dtype(found.precision, device),
    )


def check_comparable(predictors: Sequence[Predictor]) -> None:
    """Raises `CheckpointError` unless all have the same classes: a colour would mean different things."""
    first = predictors[0]
    for other in predictors[1:]:
        if other.classes.names != first.classes.names:
            raise CheckpointError(
                f"--compare: {other.path} has the classes {_few(other.classes.names)}; allowed: those of {first.path}, "
                f"{_few(first.classes.names)}; where only the names differ, --dataset names them alike"
            )


def predict_image(predictor: Predictor, image: Pixels, speed: Speed | None = None) -> Pixels:
    """The class ids H×W of an image H×W×3 (RGB).

    It is resized for the network if the predictor has a size; the logits are brought back bilinearly, corners
    aligned, so edges are as smooth as the image. `speed` hears how long the network took.
    """
    speed = speed if speed is not None else Speed()
    resized = resize_image(image, predictor.size or (image.shape[0], image.shape[1]))
    device, dtype = predictor.device, predictor.dtype
    low = dtype != torch.float32
    with torch.inference_mode(), computing(TRAINING), torch.autocast(device.type, dtype=dtype, enabled=low):
        inputs = to_input(resized, device)
        seen = (resized.shape[0], resized.shape[1])
        if seen not in speed.sizes:
            warmup = time.perf_counter()
            predictor.network(inputs)
            synchronise(device)
            speed.sizes.add(seen)
            speed.whole_s -= time.perf_counter() - warmup
        started = time.perf_counter()
        logits = predictor.network(inputs).logits
        synchronise(device)
        speed.network_s += time.perf_counter() - started
        speed.images += 1
        return class_ids(logits, (image.shape[0], image.shape[1]))


def to_input(image: Pixels, device: torch.device) -> Tensor:
    """H×W×3 uint8 RGB → 1×3×H×W float32 on the device, normalised as in training, channels-last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).to(device).float()[None]
    mean = torch.tensor(IMAGE_MEAN, device=device) * 255
    std = torch.tensor(IMAGE_STD, device=device) * 255
    return ((tensor - mean) / std).permute(0, 3, 1, 2)


def class_ids(logits: Tensor, size: tuple[int, int]) -> Pixels:
    """1×classes×h×w logits → class ids H×W of the best class at `size`.

    One class after another: all logits of a photograph at its own size are more than many a machine holds.
    """
    if tuple(logits.shape[2:]) == size:
        return np.asarray(logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy(), np.uint8)
    best = torch.full(size, -torch.inf, device=logits.device)
    ids = torch.zeros(size, dtype=torch.uint8, device=logits.device)
    for index in range(logits.shape[1]):
        one = logits[:, index : index + 1].float()
        enlarged = functional.interpolate(one, size, mode="bilinear", align_corners=True)[0, 0]
        ids[enlarged > best] = index
        best = torch.maximum(best, enlarged)
    return np.asarray(ids.cpu().numpy(), np.uint8)


def predict_images(
    predictors: Sequence[Predictor],
    inputs: Sequence[Input],
    out: Path,
    *,
    beside: bool = False,
    on_progress: OnProgress | None = None,
) -> tuple[list[Speed], list[Path]]:
    """Predict images with the first predictor; with several, also compare all of them. Gives speeds and files.

    For each image `NAME_overlay.png`, `NAME_classes.png` (indexed, the values are class ids) and `NAME_coloured.png`,
    with `beside` also `NAME_side.png`; for a comparison `comparison.png`, or `comparison-1.png` … for many images.
    Raises DataError for an image that cannot be read.
    """
    speeds = [Speed() for _ in predictors]
    written: list[Path] = []
    rows: list[Row] = []
    width = 0
    classes = predictors[0].classes
    pages = -(-len(inputs) // ROWS)
    for number, item in enumerate(inputs, 1):
        started = time.perf_counter()
        image = read_image(item.path)
        ids = predict_image(predictors[0], image, speeds[0])
        files = {
            "overlay": png(overlaid(image, ids, classes)),
            "classes": indexed_png(ids, classes),
            "coloured": png(coloured(ids, classes)),
        }
        if beside:
            files["side"] = png(side_by_side(image, ids, classes))
        for kind, content in files.items():
            written.append(write_bytes(out / f"{item.name}_{kind}.png", content, refused_out))
        speeds[0].whole_s += time.perf_counter() - started
        if len(predictors) > 1:
            others = [
                predict_image(other, image, speed) for other, speed in zip(predictors[1:], speeds[1:], strict=True)
            ]
            width = width or tile_width(image)
            rows.append(compared(item.name, image, [ids, *others], classes, width))
            if len(rows) == ROWS or number == len(inputs):
                name = f"comparison-{-(-number // ROWS)}.png" if pages > 1 else "comparison.png"
                written.append(write_bytes(out / name, png(_panel(rows, predictors)), refused_out))
                rows.clear()
        if on_progress is not None:
            on_progress("predicting", number, len(inputs))
    for speed in speeds[1:]:
        speed.whole_s = 0.0  # reading and drawing are shared: no such figure for one of them
    return speeds, written


def predict_video(
    predictor: Predictor, item: Input, out: Path, *, beside: bool = False, on_progress: OnProgress | None = None
) -> tuple[Speed, Path]:
    """Predict a video frame by frame into `NAME_overlay.mp4`, at its own frame rate. Gives speed and file.

    With `beside` each frame is image, overlay, and a legend of all classes. Raises DataError if it cannot be read,
    `StdcLabError` if there is no codec to write it.
    """
    speed = Speed()
    path = out / f"{item.name}_overlay.mp4"
    every = range(len(predictor.classes.names))
    with open_video(item.path) as video, VideoFile(path, video.rate) as file:
        started = time.perf_counter()
        for number, image in enumerate(video.frames, 1):
            ids = predict_image(predictor, image, speed)
            if beside:
                file.add(side_by_side(image, ids, predictor.classes, every))
            else:
                file.add(overlaid(image, ids, predictor.classes))
            if on_progress is not None:
                on_progress(f"predicting {item.path.name}", number, video.length)
        speed.whole_s += time.perf_counter() - started
    return speed, path


def refused_out(said: str) -> ConfigError:
    """What to raise where the file of --out cannot be written."""
    return ConfigError(f"--out: {said}")


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])} … ({len(names)})"


def _panel(rows: Sequence[Row], predictors: Sequence[Predictor]) -> Pixels:
    notes = [
        f"{show_size(predictor.size) if predictor.size else 'own size'}, {title_of(predictor.network)}"
        for predictor in predictors
    ]
    names = [predictor.label for predictor in predictors]
    labels = distinct_labels(names, [str(predictor.path) for predictor in predictors])
    return panel(rows, labels, notes, predictors[0].classes)
