"""Files of weights: ours, which say what network they are of, and released ones. Nothing but tensors and plain values
is ever read from them: a file that would run code is refused."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from stdc_lab.arch import ArchSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import CheckpointError, StdcLabError
from stdc_lab.files import writing
from stdc_lab.nn.network import Classifier, Segmenter, title_of
from stdc_lab.nn.own import OwnNetwork, build_own
from stdc_lab.nn.released import LoadReport, State
from stdc_lab.nn.released import Network as Described
from stdc_lab.nn.released_forms import released_form
from stdc_lab.nn.segmenter import build_classifier, build_model

Network = Segmenter | Classifier
FORMAT = "stdc_lab checkpoint"
FORMAT_VERSION = 1
# A number that numpy made, such as the best accuracy, stands beside the weights in many a released file.
_numpy_scalar: Any = np.float64(0).__reduce__()[0]
_PLAIN_NUMPY: list[Any] = [
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64")),
]

UNREADABLE = "no checkpoint that PyTorch can read: damaged, or of another kind"


@dataclass(frozen=True)
class Checkpoint:
    """What one of our files holds: a network on the CPU, in evaluation mode, and how its weights came about.

    version: of stdc_lab, as it wrote the file. protocol: data, training and seed, or the file that was imported.
    """

    network: Network
    version: str
    protocol: dict[str, Any]

    @property
    def data(self) -> DataConfig | None:
        """The data it was trained on; None if the protocol says none, or none that this version knows."""
        try:
            return DataConfig.model_validate(self.protocol.get("data"))
        except ValidationError:
            return None

    @property
    def precision(self) -> str:
        """What its training computed in, as `TrainConfig.precision` has it; `auto` if the protocol does not say."""
        train = self.protocol.get("train")
        named = train.get("precision") if isinstance(train, dict) else None
        return named if named in ("float32", "bfloat16") else "auto"

    @property
    def legend(self) -> dict[str, str] | None:
        """Names of the classes in their order, each with its colour as `#rrggbb`; None if the protocol says none."""
        legend = self.protocol.get("legend")
        if not isinstance(legend, dict) or len(legend) != self.network.num_classes:
            return None
        colour = re.compile("#[0-9a-f]{6}")
        fit = all(isinstance(key, str) and isinstance(value, str) for key, value in legend.items())
        return legend if fit and all(map(colour.fullmatch, legend.values())) else None

    @property
    def val_contents(self) -> str | None:
        """`Split.contents` of the images that its `miou` is of; None if the protocol does not say."""
        contents = self.protocol.get("contents")
        val = contents.get("val") if isinstance(contents, dict) else None
        return val if isinstance(val, str) else None

    @property
    def evaluation_scale(self) -> float:
        """By what its training resized images to evaluate them; 1 if the protocol does not say."""
        train = self.protocol.get("train")
        scale = train.get("evaluation_scale") if isinstance(train, dict) else None
        return scale if isinstance(scale, float) else 1.0


def save_checkpoint(path: Path, network: Network, protocol: Mapping[str, Any]) -> None:
    """Write weights with all that is needed to build the network again; the file appears whole or not at all.

    `protocol` holds plain values only. Raises `CheckpointError` if the file cannot be written.
    """
    heads = network.heads if isinstance(network, Segmenter) else None
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": version("stdc_lab"),
        "network": "segmenter" if isinstance(network, Segmenter) else "classifier",
        **network.description,
        "num_classes": network.num_classes,
        "heads": None if heads is None else heads.model_dump(mode="json"),
        "protocol": dict(protocol),
        "state": {name: tensor.cpu() for name, tensor in network.state_dict().items()},
    }
    write_tensors(path, content)


def load_checkpoint(path: Path, own: OwnNetwork | None = None) -> Checkpoint:
    """Read one of our files. own: what builds the network of a file that is of a user's own; no other file needs it.

    Raises `CheckpointError` if it is none, what it says of its network does not hold, or it is of another network of
    the user's than `own`: a file alone never runs a user's code.
    """
    content = read_tensors(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: no checkpoint of stdc_lab; for a released one: stdc-lab import {path} --arch stdc1 --out FILE.pt"
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version: got {content.get('format_version')!r}; allowed: {FORMAT_VERSION}; "
            f"it was written by stdc_lab {content.get('version')}"
        )
    needed = content.get("own_network")
    if needed is not None and (own is None or own.path != needed):
        given = "" if own is None else f", not {own.path}"
        raise CheckpointError(
            f"{path}: of the user's own network {needed}{given}; its code runs only when it is asked for: --network "
            f"{needed}"
        )
    try:
        network = _build(content, own if needed else None)
        network.load_state_dict(content["state"])
    except KeyError as error:
        raise CheckpointError(f"{path}: {error.args[0]}: missing") from error
    except (StdcLabError, ValidationError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: does not fit what it says of itself: {_first_line(error)}") from error
    return Checkpoint(network.eval(), str(content.get("version")), dict(content.get("protocol") or {}))


def load_backbone(network: Segmenter, path: Path) -> None:
    """Fill a segmenter's backbone from a file of ours: a classifier's, or another segmenter's.

    Raises `CheckpointError` if the file's backbone is another one; the network is then unchanged.
    """
    source = load_checkpoint(path).network
    theirs, ours = source.backbone.state_dict(), network.backbone.state_dict()
    lacking = [name for name in ours if name not in theirs or theirs[name].shape != ours[name].shape]
    surplus = [name for name in theirs if name not in ours and not name.startswith("conv_last.")]
    if lacking or surplus:
        raise CheckpointError(
            f"{path}: its backbone ({title_of(source)}) is not this network's "
            f"({title_of(network)}): {', '.join((lacking + surplus)[:3])} …"
        )
    network.backbone.load_state_dict({name: theirs[name] for name in ours})


def load_released(network: Described, source: Path | str | State) -> LoadReport:
    """Fill a segmenter or a classifier from a checkpoint of the released code, a file or its state dict.

    ImageNet weights come as `{"state_dict": …}`, segmentation weights as a plain state dict; the file may be of any
    PyTorch version. Raises `CheckpointError` that names what does not fit; the network is then unchanged.
    """
    if isinstance(source, Path | str):
        return released_form(network.spec).fill(network, read_released(Path(source)), str(source))
    return released_form(network.spec).fill(network, source, "released checkpoint")


def read_released(path: Path) -> dict[str, Tensor]:
    """The state dict of a released file. Raises `CheckpointError`."""
    content = read_tensors(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path}: no state dict: got {type(content).__name__}; allowed: tensors by name")
    if content.get("format") == FORMAT:
        raise CheckpointError(f"{path}: a checkpoint of stdc_lab already, not a released one")
    strange = [str(key) for key, value in content.items() if not isinstance(value, Tensor) or not isinstance(key, str)]
    if strange:
        raise CheckpointError(f"{path}: no state dict: {', '.join(strange[:3])} is no tensor; allowed: tensors by name")
    return dict(content)


def save_released(path: Path, network: Network) -> tuple[str, ...]:
    """Write a file that the released code loads strictly; return the names of layers that had to be restored.

    A classifier becomes `{"state_dict": …}`, a segmenter a plain state dict. Raises `CheckpointError` for a network
    that the released code cannot build.
    """
    if not isinstance(network, Described):
        raise CheckpointError(f"no checkpoint of a {title_of(network)} was released")
    state, restored = released_form(network.spec).state_of(network)
    write_tensors(path, {"state_dict": state} if isinstance(network, Classifier) else state)
    return restored


def read_tensors(path: Path) -> Any:
    """Tensors and plain values from a file that `torch.save` wrote, zipped or in the format before PyTorch 1.6.

    Raises `CheckpointError` if it cannot be read, or holds anything that could run code.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with torch.serialization.safe_globals(_PLAIN_NUMPY):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", str(error))
        named = (code[1] or code[2]) if code else None
        if named is None:
            # PyTorch's own words would advise to read it without care.
            raise CheckpointError(f"{path}: {UNREADABLE}") from error
        raise CheckpointError(
            f"{path}: refused: it holds more than tensors and plain values ({named}), and reading that could run code"
        ) from error
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        raise CheckpointError(f"{path}: {UNREADABLE}") from error


def write_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values; the file appears whole or not at all. Raises `CheckpointError`."""
    with writing(path, CheckpointError) as partial:
        try:
            torch.save(dict(content), partial)
        except RuntimeError as error:  # PyTorch's word for a full disk
            raise CheckpointError(f"{path}: cannot be written: {_first_line(error)}") from error


def _build(content: Mapping[str, Any], own: OwnNetwork | None) -> Network:
    if own is not None:
        return build_own(own, content["num_classes"])
    spec = ArchSpec.from_dict(content["arch"])
    if content["network"] == "classifier":
        return build_classifier(spec, content["num_classes"])
    heads = None if content["heads"] is None else TrainingHeads.model_validate(content["heads"])
    return build_model(spec, content["num_classes"], heads)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
