"""A user's own network, by its import path: built by the user's code, which runs as any other code of theirs."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import ConfigError
from stdc_lab.nn.initial_weights import fresh_seed
from stdc_lab.nn.network import Encoded, Segmenter, SegOutput

PROBE = (64, 96)
"""Height and width of the image that a network is tried on once it is built."""


@dataclass(frozen=True)
class OwnNetwork:
    """A function that builds a network, and the import path under which files record it: `mymodels:build`."""

    path: str
    function: Callable[[int], object]


class OwnSegmenter(Segmenter):
    """A user's network as a `Segmenter`: nothing is known of it but what it answers.

    Its `backbone` is empty: no layers that a classifier's weights could fill, or that a recipe leaves alone. It is one
    part, none of which `decoder_rate_factor` speeds up. Logits of another size than the images' are brought up
    bilinearly, corners not aligned. Auxiliary logits that it gives while it trains enter the loss as those of our own
    heads; detail logits do not.
    """

    corners = False

    def __init__(self, path: str, network: nn.Module, num_classes: int, *, full_size: bool) -> None:
        super().__init__(num_classes, None)
        self.path = path
        self.backbone = nn.Identity()
        self.network = network
        self.full_size = full_size
        """Whether its logits have the images' size already."""

    @property
    def description(self) -> Mapping[str, Any]:
        return {"arch_id": None, "arch": None, "own_network": self.path}

    def encode(self, images: Tensor) -> Encoded:
        return Encoded(_logits(self.network(images)), {}, {})

    def parts(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def fast_parts(self) -> tuple[nn.Module, ...]:
        return ()

    def forward(self, images: Tensor) -> SegOutput:
        answer, size = self.network(images), (images.shape[2], images.shape[3])
        auxiliary = answer.auxiliary if self.training and isinstance(answer, SegOutput) else ()
        logits = _logits(answer)
        return SegOutput(
            logits.float() if self.full_size else self._upsample(logits, size),
            tuple(self._upsample(one, size) for one in auxiliary),
        )


def find_own(path: str) -> OwnNetwork:
    """Import the function of a path `module:function`, from the current folder or the environment.

    This runs the module. Raises `ConfigError` if there is no such module or function, or it cannot be imported.
    """
    module_name, colon, name = path.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise ConfigError(f"--network: got {path!r}; allowed: MODULE:FUNCTION, such as mymodels:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise ConfigError(
                f"--network: got {path!r}, but there is no module {error.name}; allowed: a module of the current "
                f"folder ({here}) or of the environment"
            ) from error
        raise ConfigError(f"--network: {module_name} cannot be imported: {_said(error)}") from error
    except Exception as error:
        raise ConfigError(f"--network: {module_name} cannot be imported: {_said(error)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        what = "no function" if function is None else f"{type(function).__name__}, no function,"
        raise ConfigError(f"--network: got {path!r}, but {module_name} has {what} {name}; allowed: a function of it")
    return OwnNetwork(path, function)


def build_own(
    own: OwnNetwork, num_classes: int, heads: TrainingHeads | None = None, *, seed: int | None = None
) -> OwnSegmenter:
    """The user's network for so many classes, its random numbers drawn from the seed, tried on one small image.

    Raises `ConfigError` if it cannot be built, is no module, does not answer with logits N×classes×height×width, or
    if training heads are asked of it.
    """
    check_no_heads(own.path, heads)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(fresh_seed() if seed is None else seed)
        try:
            network = own.function(num_classes)
        except Exception as error:
            raise ConfigError(f"--network: {own.path}({num_classes}) failed: {_said(error)}") from error
        if not isinstance(network, nn.Module):
            raise ConfigError(f"--network: {own.path} gave {type(network).__name__}; allowed: a torch.nn.Module")
        logits = _probe(own.path, network, num_classes)
    full_size = logits.shape[2:] == PROBE
    return OwnSegmenter(own.path, network.train(), num_classes, full_size=full_size)


def check_no_heads(path: str, heads: TrainingHeads | None) -> None:
    """Raises `ConfigError` for training heads: of a user's network nobody knows where they would sit."""
    if heads is not None and (heads.auxiliary or heads.detail_strides):
        raise ConfigError(
            f"--network: got training heads for {path}, which has none; allowed: train.heads: {{auxiliary: false, "
            "detail_strides: []}"
        )


def _probe(path: str, network: nn.Module, num_classes: int) -> Tensor:
    first = next(network.parameters(), torch.empty(0))
    images = torch.zeros(1, 3, *PROBE, device=first.device)
    try:
        with torch.inference_mode():
            answer = network.eval()(images)
    except Exception as error:
        raise ConfigError(f"--network: {path}: no answer to an image {_shape(images)}: {_said(error)}") from error
    logits = _logits(answer)
    allowed = f"logits 1×{num_classes}×height×width for images {_shape(images)}, or a SegOutput of them"
    if not isinstance(logits, Tensor):
        raise ConfigError(f"--network: {path} answers with {type(logits).__name__}; allowed: {allowed}")
    if logits.ndim != 4 or tuple(logits.shape[:2]) != (1, num_classes) or not logits.is_floating_point():
        kind = "" if logits.is_floating_point() else f" of {str(logits.dtype).removeprefix('torch.')}"
        raise ConfigError(f"--network: {path} answers with {_shape(logits)}{kind}; allowed: {allowed}")
    return logits


def _logits(answer: Any) -> Tensor:
    logits: Tensor = answer.logits if isinstance(answer, SegOutput) else answer
    return logits


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape))


def _said(error: Exception) -> str:
    """An error of the user's code in a line, with the place where it was raised."""
    text = (str(error).strip() or "no message").splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = next((f" ({Path(one.filename).name}:{one.lineno})" for one in reversed(frames) if _is_theirs(one)), "")
    return f"{type(error).__name__}: {text}{where}"


def _is_theirs(frame: traceback.FrameSummary) -> bool:
    return "site-packages" not in frame.filename and "importlib" not in frame.filename and frame.filename != __file__
