"""A network as an ONNX graph: what ONNX Runtime and OpenVINO read, and what is written to a file."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stdc_lab.deploy.folding import folded
from stdc_lab.errors import StdcLabError

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "images", "logits"


class Logits(nn.Module):
    """Images in, main logits out: the graph that is deployed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        output = self.network(images)
        logits: Tensor = getattr(output, "logits", output)
        return logits


def onnx_graph(network: nn.Module, images: Tensor, *, dynamic: bool = False) -> onnx.ModelProto:
    """The inference graph with folded batch norms, for images of this shape, or of any with `dynamic`.

    Weights are float32. Raises `StdcLabError` for an operation that ONNX cannot say.
    """
    example = images.detach().cpu().float().contiguous()
    # Where the size is not known, nobody can say whether a map is enlarged to exactly twice its size.
    plain = folded(copy.deepcopy(network).cpu(), example, merge_doubling=not dynamic)
    graph = Logits(plain).eval()
    shapes = None
    if dynamic:
        shapes = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")},)
        example = example.expand(max(2, len(example)), -1, -1, -1).contiguous()  # a batch of 1 would be kept as 1
    with _quiet():
        try:
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            name = type(network).__name__
            raise StdcLabError(f"{name}: ONNX has no operator for what it does: {_cause(error)}") from error
    assert program is not None
    return program.model_proto


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Put plain text beside the graph, readable with ONNX Runtime as `session.get_modelmeta()`."""
    known = {entry.key: entry for entry in model.metadata_props}
    for key, value in metadata.items():
        entry = known.get(key) or model.metadata_props.add()
        entry.key, entry.value = key, value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its steps and warns of what PyTorch itself will change: neither is the user's affair."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
