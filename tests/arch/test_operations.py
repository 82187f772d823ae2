"""The list of operations against what runs: every call that reaches torch, with the feature maps that it makes."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stdc_lab.arch import ArchSpec, presets
from stdc_lab.arch.costs import Part, analyse, operations, peak
from stdc_lab.arch.graph import Operation
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn import build_classifier, build_model
from tests.arch.sketches import sketch
from tests.arch.strategies import specs

EXAMPLES = int(os.environ.get("STDC_LAB_EXAMPLES", "60"))
sizes = st.tuples(st.integers(32, 400), st.integers(32, 400))
KINDS = {
    "conv2d": "convolution",
    "linear": "linear",
    "batch_norm": "batch norm",
    "relu": "ReLU",
    "relu_": "ReLU",
    "avg_pool2d": "average pooling",
    "adaptive_avg_pool2d": "global pooling",
    "adaptive_max_pool2d": "global max pooling",
    "amax": "channel maximum",
    "rsub": "one minus",
    "leaky_relu_": "leaky ReLU",
    "upsample_nearest2d": "nearest upsampling",
    "upsample_bilinear2d": "bilinear upsampling",
    "cat": "concatenation",
    "sigmoid": "sigmoid",
    "mul": "product",
    "add": "sum",
    "square": "square",
    "mean": "global mean",
}


LOOKS = ("dropout", "to", "slice", "split", "tensor_split", "detach", "alias")
"""What does nothing here: dropout in evaluation, float32 as float32, and views."""


class Ran(NamedTuple):
    """A call: what it is, the memory of the feature maps that it reads, and that of what it writes, with elements."""

    kind: str
    read: tuple[int, ...]
    written: int
    elements: int


class Recorder(TorchDispatchMode):
    """Notes every call of torch, and keeps all that it puts out, so that no memory is used twice."""

    def __init__(self, network: nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.weights = {memory(weight) for weight in (*network.parameters(), *network.buffers())}
        self.ran: list[Ran] = []
        self.kept: list[Any] = [images]

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        written = output[0] if isinstance(output, tuple) else output  # a maximum also says where it was
        name = str(function).split(".")[1]
        if name not in LOOKS:
            read = [memory(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
            features = tuple(number for number in read if number not in self.weights)
            kind = KINDS[name]
            if name == "mean" and list(args[1]) == [1]:
                kind = "channel mean"
            if kind == "global pooling" and written.shape[2:] != (1, 1):
                kind = "adaptive pooling"
            self.ran.append(Ran(kind, features, memory(written), written.numel()))
        self.kept.append(output)
        return output


def memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def run(network: nn.Module, size: tuple[int, int]) -> Recorder:
    images = torch.zeros(1, 3, *size, device="meta")
    with torch.inference_mode(), Recorder(network, images) as recorder:
        network.eval()(images)
    return recorder


def most_alive(recorder: Recorder) -> int:
    """The most elements between a map's first and last use, the image's from the start, an unread one's to the end."""
    images = recorder.kept[0]
    elements, first, last = {memory(images): images.numel()}, {memory(images): 0}, {}
    read: set[int] = set()
    for index, call in enumerate(recorder.ran):
        elements.setdefault(call.written, call.elements)
        first.setdefault(call.written, index)
        last.update(dict.fromkeys(call.read, index))
        read.update(number for number in call.read if number != call.written)
    alive = np.zeros(len(recorder.ran), dtype=np.int64)
    for number, count in elements.items():
        alive[first[number] : last[number] + 1 if number in read else None] += count
    return int(alive.max())


def assert_runs(done: tuple[Operation, ...], network: nn.Module, size: tuple[int, int]) -> None:
    recorder = run(network, size)
    said = [(operation.kind, len(operation.inputs), operation.output.elements) for operation in done]
    assert said == [(call.kind, len(call.read), call.elements) for call in recorder.ran]
    # The same maps, whatever they are called.
    names = {done[0].inputs[0].number: memory(recorder.kept[0])}
    for operation, call in zip(done, recorder.ran, strict=True):
        assert tuple(names[tensor.number] for tensor in operation.inputs) == call.read
        assert names.setdefault(operation.output.number, call.written) == call.written
    assert peak(done).elements == most_alive(recorder)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), sizes, st.integers(2, 30), st.booleans(), st.sets(st.sampled_from([2, 4, 8, 16])))
@example(presets["stdc1"], (512, 1024), 19, False, set())
@example(presets["stdc2"], (101, 203), 11, True, {2, 4, 8, 16})
def test_a_segmenter_runs_what_is_said(
    spec: ArchSpec, size: tuple[int, int], classes: int, auxiliary: bool, strides: set[int]
) -> None:
    heads = TrainingHeads(auxiliary=auxiliary, detail_strides=tuple(sorted(strides)))  # type: ignore[arg-type]
    network = sketch(build_model, spec, classes, heads)
    options = {"auxiliary": auxiliary, "detail_strides": heads.detail_strides}
    done = operations(spec, size, classes, **options)  # type: ignore[arg-type]
    assert_runs(done, network, size)
    assert_parts_agree(spec, done, size, classes, options)


def assert_parts_agree(
    spec: ArchSpec, done: tuple[Operation, ...], size: tuple[int, int], classes: int, options: dict[str, Any]
) -> None:
    theory = analyse(spec, size, classes, **options)
    assert sum(operation.macs for operation in done) == theory.cost.macs
    assert [run.part for run in done if run.macs] == [path for path, part in paths(theory.parts) if not part.parts]
    assert max(peak(done, part.name).elements for part in theory.parts) == peak(done).elements


def paths(parts: tuple[Part, ...], above: str = "") -> Iterator[tuple[str, Part]]:
    for part in parts:
        yield f"{above}{part.name}", part
        yield from paths(part.parts, f"{above}{part.name}/")


@settings(max_examples=max(20, EXAMPLES // 4), deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), sizes, st.integers(2, 30))
@example(presets["stdc2"], (224, 224), 1000)
def test_a_classifier_runs_what_is_said(spec: ArchSpec, size: tuple[int, int], classes: int) -> None:
    network = sketch(build_classifier, spec, classes)
    done = operations(spec, size, classes, task="cls")
    assert_runs(done, network, size)
    assert_parts_agree(spec, done, size, classes, {"task": "cls"})


@pytest.mark.parametrize(
    ("size", "elements", "where"),
    [
        # The logits at full size and at 1/8.
        ((512, 1024), 19 * 512 * 1024 + 19 * 64 * 128, "head: bilinear upsampling"),
        ((224, 224), 19 * 224 * 224 + 19 * 28 * 28, "head: bilinear upsampling"),
    ],
)
def test_stdc1_holds_most_where_the_logits_go_up(size: tuple[int, int], elements: int, where: str) -> None:
    most = peak(operations(presets["stdc1"], size))
    assert (most.elements, f"{most.operation.part}: {most.operation.kind}") == (elements, where)


def test_with_few_classes_stage_1_holds_most() -> None:
    most = peak(operations(presets["stdc1"], (512, 1024), 11))
    # What the first convolution puts out, and what its batch norm makes of it.
    assert most.elements == 2 * 32 * 256 * 512
    assert (most.operation.part, most.operation.kind) == ("stage 1/conv 1", "batch norm")


def parts_of(done: tuple[Operation, ...]) -> Iterator[str]:
    return (operation.part for operation in done)


def test_a_part_is_not_another_whose_name_begins_alike() -> None:
    done = operations(presets["stdc1"], auxiliary=True)
    assert "auxiliary head at 1/16/conv" in set(parts_of(done))
    assert peak(done, "auxiliary head at 1/1").elements == 0
