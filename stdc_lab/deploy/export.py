"""Checkpoints of ours → ONNX and OpenVINO files that say what they are of, each run once it is written."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stdc_lab.config.values import show_size
from stdc_lab.data import IMAGE_MEAN, IMAGE_STD
from stdc_lab.deploy import standalone
from stdc_lab.deploy.agreement import check, compare, expected_logits
from stdc_lab.deploy.graph import onnx_graph, set_metadata
from stdc_lab.deploy.palette import MAX_CLASSES, classes_of
from stdc_lab.deploy.predict import refused_out
from stdc_lab.deploy.runtimes import RUNTIMES, missing
from stdc_lab.deploy.sessions import onnxruntime_session, openvino_session
from stdc_lab.errors import ConfigError
from stdc_lab.files import write_bytes
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.nn import OwnNetwork, Segmenter, load_checkpoint, strip_heads
from stdc_lab.nn.checkpoints import Checkpoint, Network
from stdc_lab.records import Agreement

if TYPE_CHECKING:
    import onnx

ENDINGS = {"onnx": ".onnx", "openvino": ".xml"}
VERIFIED_BY = {"onnx": "onnxruntime", "openvino": "openvino"}
DEFAULT_SIZES = {True: (512, 1024), False: (224, 224)}
"""Of a segmenter, of a classifier, where neither the user nor the checkpoint says."""
INFO = "stdc_lab"
"""Under this name OpenVINO's files keep what ONNX has in its metadata."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from the float32 eager network when it is run."""

    files: tuple[Path, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of the images that it was run on."""
    agreement: Agreement
    """The worst over these."""
    metadata: dict[str, str]


def export_checkpoint(
    path: Path,
    out: Path,
    format: str,
    *,
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    example: bool = False,
    own: OwnNetwork | None = None,
) -> Exported:
    """Write the inference graph of a checkpoint for images of `size`, default that of its training.

    format: onnx (`out` is a .onnx file) or openvino (a .xml file, with a .bin file beside it). dynamic: for any batch
    and size. example: with a script beside it that runs it on pictures without stdc_lab or torch. own: see
    `load_checkpoint`. Raises `CheckpointError`, `ConfigError` for an ending or format that does not fit or a runtime
    that is not installed, and `StdcLabError` if the file does not compute what the network does; it is then not there.
    """
    _check_request(out, format)
    found = load_checkpoint(path, own)
    network = strip_heads(found.network) if isinstance(found.network, Segmenter) else found.network
    size = size or (found.data.size if found.data else DEFAULT_SIZES[isinstance(network, Segmenter)])
    images = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))
    metadata = describe(found, network, size, dynamic=dynamic)
    model = onnx_graph(network, images, dynamic=dynamic)
    set_metadata(model, metadata)
    checked = [images]
    if dynamic:
        other = (size[0] + 32, size[1] + 64)
        checked.append(torch.randn((2, 3, *other), generator=torch.Generator().manual_seed(1)))
    with tempfile.TemporaryDirectory() as folder:
        written = _write(Path(folder), out.name, model, format, metadata)
        agreement = _verify(Path(folder) / out.name, format, network, checked)
        files = [write_bytes(out.with_name(file.name), file.read_bytes(), refused_out) for file in written]
    if example:
        script = out.with_name(f"run_{out.stem}.py")
        files.append(write_bytes(script, Path(standalone.__file__).read_bytes(), refused_out))
    return Exported(tuple(files), tuple(tuple(some.shape) for some in checked), agreement, metadata)


def describe(found: Checkpoint, network: Network, size: tuple[int, int], *, dynamic: bool) -> dict[str, str]:
    """What a user of the file must know, as plain text and JSON.

    `class_names` is there where they are known. Images: RGB from 0 to 1, less `mean`, by `std`, N×3×H×W.
    """
    metadata = {
        **{
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in network.description.items()
            if value is not None
        },
        "network": "segmenter" if isinstance(network, Segmenter) else "classifier",
        "num_classes": str(network.num_classes),
        "mean": json.dumps(list(IMAGE_MEAN)),
        "std": json.dumps(list(IMAGE_STD)),
        "size": show_size(size),
        "dynamic": json.dumps(dynamic),
        "stdc_lab": version("stdc_lab"),
    }
    names = _class_names(found, network)
    if names is not None:
        metadata["class_names"] = json.dumps(names)
    return metadata


def _class_names(found: Checkpoint, network: Network) -> list[str] | None:
    if found.legend is not None:
        return list(found.legend)
    if found.data is None or not isinstance(network, Segmenter) or network.num_classes > MAX_CLASSES:
        return None
    names = classes_of(found.data.name, network.num_classes).names
    return None if names[0] == "class 0" else list(names)


def _check_request(out: Path, format: str) -> None:
    if format not in ENDINGS:
        raise ConfigError(f"--format: got {format!r}; allowed: released, {', '.join(ENDINGS)}")
    if out.suffix != ENDINGS[format]:
        raise ConfigError(f"--out: got {out}; allowed: with --format {format} a file ending with {ENDINGS[format]}")
    if not out.parent.is_dir():
        raise ConfigError(f"--out: {out}: cannot be written: there is no folder {out.parent}")
    runtime = next(runtime for runtime in RUNTIMES if runtime.name == VERIFIED_BY[format])
    reason = missing(runtime, torch.device("cpu"))
    if reason is not None:
        raise ConfigError(f"--format: got {format!r}, but {reason}")


def _write(folder: Path, name: str, model: onnx.ModelProto, format: str, metadata: dict[str, str]) -> list[Path]:
    path = folder / name
    if format == "onnx":
        write_bytes(path, model.SerializeToString())
        return [path]
    import openvino

    graph = openvino.Core().read_model(model.SerializeToString())
    for key, value in metadata.items():
        graph.set_rt_info(value, [INFO, key])
    openvino.save_model(graph, path, compress_to_fp16=False)
    return [path, path.with_suffix(".bin")]


def _verify(path: Path, format: str, network: Network, checked: list[Tensor]) -> Agreement:
    session = onnxruntime_session if format == "onnx" else openvino_session
    run = session(path, usable_cores())
    found = [compare(expected_logits(network, images), run(images), "trained") for images in checked]
    for agreement in found:
        check(f"--format {format}", "float32", agreement)
    return max(found, key=lambda agreement: agreement.max_rel_error)
