"""A network and a validation set → confusion matrix, boundary score and predictions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arithmetic import TRAINING, arithmetic_here, computing
from stdc_lab.config.data import DataConfig
from stdc_lab.data import IMAGE_MEAN, IMAGE_STD, Dataset, Split
from stdc_lab.errors import CheckpointError, ConfigError, DataError
from stdc_lab.hardware.devices import choose_dtype, place
from stdc_lab.hardware.environment import environment
from stdc_lab.machine import machine_lock
from stdc_lab.nn import Segmenter, deployed_view, strip_heads
from stdc_lab.nn.checkpoints import Checkpoint
from stdc_lab.records import EvaluationProtocol, EvaluationResult
from stdc_lab.training.boundary import TOLERANCE, BoundaryScore
from stdc_lab.training.metrics import ConfusionMatrix

MAX_SCALE = 4.0
BATCH_SIZE = 8
BATCH_PIXELS = 2**22
"""A batch of an evaluation has at most so many pixels, at the size that the network sees, or is one image."""
MIOU_IS = "mean IoU over the classes that occur in labels or predictions, of one confusion matrix over all images"
BOUNDARY_F_IS = (
    f"per class and image, boundaries matched within {TOLERANCE:.2%} of the image's diagonal; mean over images, then "
    "over classes"
)


def to_input(images: np.ndarray, device: torch.device) -> Tensor:
    """N×H×W×3 uint8 RGB → N×3×H×W float32 on the device, normalised, channels-last in memory."""
    count, height, width, channels = images.shape
    # Writable, which the cache, mapped read-only, is not; the copy to float32 leaves it as it is.
    tensor = torch.from_numpy(np.require(images, np.uint8, ("C", "W", "E"))).to(device).float()
    mean = torch.tensor(IMAGE_MEAN, device=device, dtype=torch.float32) * 255
    std = torch.tensor(IMAGE_STD, device=device, dtype=torch.float32) * 255
    # A row of pixels at once and in place: ten times as fast on the CPU as three channels at a time, into new memory.
    tensor.view(count, height, width * channels).sub_(mean.repeat(width)).div_(std.repeat(width))
    # An N×H×W×3 array seen as N×3×H×W already is channels-last: no copy.
    return tensor.permute(0, 3, 1, 2)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients and the arithmetic of training inside the block; the mode before it afterwards."""
    training = network.training
    network.eval()
    try:
        with torch.inference_mode(), computing(TRAINING):
            yield
    finally:
        network.train(training)


def predict(
    network: nn.Module,
    images: np.ndarray,
    device: torch.device,
    dtype: torch.dtype,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Tensor:
    """Class ids N×H×W (int64, on the device) of N×H×W×3 uint8 RGB images, H and W as those of the images.

    scales: the images are resized by each of them (the paper's: 0.5 and 0.75 of 1024×2048), and the
    logits brought back to H×W; with several, probabilities are averaged. flip: and with those of the mirrored images.
    Heads that only training needs are not computed. In any dtype the logits are brought back in float32.
    """
    if isinstance(network, Segmenter):
        network = deployed_view(network)
    with evaluating(network), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        inputs = to_input(images, device)
        if len(scales) == 1 and not flip:
            return _logits(network, inputs, scales[0]).argmax(dim=1)
        total = torch.zeros((), device=device)
        for scale in scales:
            total = total + _logits(network, inputs, scale).float().softmax(dim=1)
            if flip:
                total = total + _logits(network, inputs.flip(3), scale).float().softmax(dim=1).flip(3)
        return total.argmax(dim=1)


def evaluate(
    network: nn.Module,
    split: Split,
    num_classes: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    boundary: BoundaryScore | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConfusionMatrix:
    """One confusion matrix over all images of a split, at the size of its labels, in batches that fit the memory.

    scales, flip: see `predict`. boundary: counts the same images, which takes longer than the confusion matrix.
    on_progress: told how many images are done, and how many there are.
    """
    matrix = ConfusionMatrix(num_classes)
    pixels = math.prod(split.labels.shape[1:]) * max(1.0, *(scale**2 for scale in scales))
    batch_size = max(1, min(BATCH_SIZE, int(BATCH_PIXELS // pixels)))
    for start in range(0, len(split), batch_size):
        chosen = slice(start, start + batch_size)
        predictions = predict(network, split.images[chosen], device, dtype, scales=scales, flip=flip)
        labels = torch.from_numpy(np.array(split.labels[chosen])).to(device)
        matrix.add(labels, predictions)
        if boundary is not None:
            for truth, guess in zip(split.labels[chosen], predictions.cpu().numpy(), strict=True):
                boundary.add(np.asarray(truth), guess)
        if on_progress is not None:
            on_progress(min(start + batch_size, len(split)), len(split))
    return matrix


def evaluate_checkpoint(
    path: Path,
    checkpoint: Checkpoint,
    data: DataConfig,
    dataset: Dataset,
    device: torch.device,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """What a file of weights reaches on the validation part of a data set, with its boundary score and protocol.

    data: what `dataset` was loaded by. The precision is that of the training. The machine's lock is held shared
    meanwhile. Raises `CheckpointError` for a classifier or another number of classes than the data set's,
    `DataError` if there is no validation image, and `ConfigError` for scales that `check_scales` refuses.
    """
    scales = check_scales(scales)
    network = segmenter_of(path, checkpoint)
    names = dataset.class_names
    if network.num_classes != len(names):
        raise CheckpointError(
            f"{path}: {network.num_classes} classes, but {dataset.name} has {len(names)}; allowed: a data set "
            f"(--dataset) of {network.num_classes} classes, or weights of {len(names)}"
        )
    if not len(dataset.val):
        raise DataError(f"{dataset.name}: got no validation image; allowed: at least one")
    dtype = choose_dtype(checkpoint.precision, device)
    boundary = BoundaryScore(len(names))
    started = time.monotonic()
    with machine_lock(alone=False), computing(TRAINING):
        here = environment(device, torch.get_num_threads(), arithmetic_here())
        matrix = evaluate(
            place(strip_heads(network), device),
            dataset.val,
            len(names),
            device,
            dtype,
            scales=scales,
            flip=flip,
            boundary=boundary,
            on_progress=on_progress,
        )
    seconds = time.monotonic() - started
    recorded = checkpoint.protocol.get("miou")
    return EvaluationResult(
        miou=_known(matrix.miou()),
        class_iou=_by_name(names, matrix.class_iou()),
        pixel_accuracy=_known(matrix.pixel_accuracy()),
        boundary_f=_known(boundary.mean()),
        class_boundary_f=_by_name(names, boundary.class_f()),
        class_boundary_precision=_by_name(names, boundary.class_precision()),
        class_boundary_recall=_by_name(names, boundary.class_recall()),
        seconds=seconds,
        recorded_miou=_known(recorded) if isinstance(recorded, float) else None,
        trained=_plain(checkpoint.protocol),
        protocol=EvaluationProtocol(
            checkpoint=str(path),
            arch_id=network.description["arch_id"],
            own_network=network.description.get("own_network"),
            num_classes=network.num_classes,
            data=data,
            num_images=len(dataset.val),
            scales=scales,
            flip=flip,
            precision=str(dtype).removeprefix("torch."),
            miou_is=MIOU_IS,
            boundary_f_is=BOUNDARY_F_IS,
            environment=here,
            notes=tuple(_notes(checkpoint, data)),
        ),
    )


def segmenter_of(path: Path, checkpoint: Checkpoint) -> Segmenter:
    """The segmenter that a file holds. Raises `CheckpointError` for a classifier's."""
    if not isinstance(checkpoint.network, Segmenter):
        raise CheckpointError(f"{path}: got the weights of a classifier; allowed: those of a segmenter")
    return checkpoint.network


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """The scales as they are used. Raises `ConfigError` for none, one out of range, and one that comes twice."""
    for scale in scales:
        if not 0 < scale <= MAX_SCALE:
            raise ConfigError(f"--scale: got {scale:g}; allowed: above 0, up to {MAX_SCALE:g}")
    if not scales or len(set(scales)) != len(scales):
        got = ", ".join(f"{scale:g}" for scale in scales) or "none"
        raise ConfigError(f"--scale: got {got}; allowed: at least one, each once")
    return tuple(scales)


def _logits(network: nn.Module, inputs: Tensor, scale: float) -> Tensor:
    """N×classes×H×W for N×3×H×W, by way of the size that `scale` makes of it: rounded down, as the released code."""
    height, width = inputs.shape[2], inputs.shape[3]
    if scale == 1:
        logits: Tensor = network(inputs).logits
        return logits
    scaled = max(1, int(height * scale)), max(1, int(width * scale))
    resized = functional.interpolate(inputs, scaled, mode="bilinear", align_corners=True)
    resized = resized.contiguous(memory_format=torch.channels_last)
    logits = network(resized).logits
    return functional.interpolate(logits.float(), (height, width), mode="bilinear", align_corners=True)


def _notes(checkpoint: Checkpoint, data: DataConfig) -> Iterator[str]:
    """What the protocol of the weights means for figures on `data`."""
    trained = checkpoint.data
    if trained is None:
        yield "the checkpoint does not say what it was trained on, which may be these images"
    elif trained.name == data.name and trained.variant.get("split") != data.variant.get("split"):
        yield "trained on another split of this data set: it may have been trained on these images"
    if trained is not None and trained.size != data.size:
        yield "trained at {}x{}, evaluated at {}x{}".format(*trained.size, *data.size)


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {name: _known(value) for name, value in zip(names, values, strict=True)}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """What JSON can hold of a protocol: an imported one may hold anything plain, a number that is none among it."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return _known(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
