"""What a network costs, from its spec alone: folds over its operations (`graph`).

Parameters are weights (and biases) of convolutions and linear layers and the two vectors of each batch norm. MACs are
multiply-accumulates of convolutions and linear layers. Activations are the elements that these layers put out (the
measure of Radosavovic et al., *Designing Network Design Spaces*). The receptive field is the side, in pixels of the
image, of what a convolutional path sees; what depends on a global pooling sees the whole image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stdc_lab.arch.graph import UPSAMPLINGS, Operation, Size, Tally, Tracer, names_of, within
from stdc_lab.arch.receptive_field import Field, receptive_fields
from stdc_lab.arch.spec import ArchSpec, TaskName


class Cost(NamedTuple):
    """What a part of a network costs for one image."""

    num_params: int
    macs: int
    activations: int


class Peak(NamedTuple):
    """The most elements of feature maps that are alive at once, and where that is."""

    elements: int
    operation: Operation


@dataclass(frozen=True)
class Part:
    """A part of a network and what it is made of.

    receptive_field: side in pixels of the image that its convolutional path sees; None if it has none of its own,
        being computed from a global mean.
    whole_image: whether a global pooling lies behind it.
    """

    name: str
    cost: Cost
    output_channels: int
    output_size: Size
    receptive_field: int | None
    whole_image: bool
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class NetworkCost:
    """A whole network: `parts` are its stages and what follows them, down to single blocks."""

    spec: ArchSpec
    size: Size
    num_classes: int
    task: TaskName
    cost: Cost
    parts: tuple[Part, ...]
    operations: tuple[Operation, ...] = field(repr=False)


def operations(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    task: TaskName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> tuple[Operation, ...]:
    """What the network of a spec runs for one image of `size`, in order. Arguments as of `analyse`."""
    run = Tracer()
    spec.trace(run, run.image(size), num_classes, task=task, auxiliary=auxiliary, detail_strides=detail_strides)
    return tuple(run.operations)


def total_cost(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    task: TaskName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> Cost:
    """Parameters, MACs and activations of the whole network for one image: fast enough to screen a search."""
    run = Tally()
    spec.trace(run, run.image(size), num_classes, task=task, auxiliary=auxiliary, detail_strides=detail_strides)
    return Cost(run.num_params, run.macs, run.activations)


def analyse(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    task: TaskName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> NetworkCost:
    """The cost of a network for one image of `size` (height × width), part by part.

    `task`: the segmenter ("seg") or the classifier ("cls"). `auxiliary` and `detail_strides`: the segmenter with
    these training heads. Receptive fields behind an upsampling hold where 32 divides the size.
    """
    done = operations(spec, size, num_classes, task=task, auxiliary=auxiliary, detail_strides=detail_strides)
    fields = receptive_fields(done)
    parts = tuple(_parts([(names_of(one.part), one) for one in done], fields))
    return NetworkCost(spec, size, num_classes, task, cost_of(done), parts, done)


def cost_of(done: Sequence[Operation], part: str | None = None) -> Cost:
    """What the operations of a part (or all of them) cost together."""
    chosen = [one for one in done if within(one.part, part)]
    return Cost(
        sum(one.num_params for one in chosen), sum(one.macs for one in chosen), sum(one.activations for one in chosen)
    )


def peak(done: Sequence[Operation], part: str | None = None) -> Peak:
    """The most elements alive at once while the operations of a part (or all of them) run.

    A feature map, the image among them, is alive from the operation that writes it to the last one that reads it, and
    what nothing reads, to the end: the least that a runtime needs which runs the operations in this order and fuses
    none. A convolution's workspace is not in it.
    """
    last: dict[int, int] = {}
    for index, operation in enumerate(done):
        for tensor in (*operation.inputs, operation.output):
            last[tensor.number] = index
    read = {tensor.number for operation in done for tensor in operation.inputs if tensor != operation.output}
    alive = {tensor.number: tensor.elements for tensor in done[0].inputs}
    elements, worst = 0, done[0]
    for index, operation in enumerate(done):
        alive[operation.output.number] = operation.output.elements
        total = sum(alive.values())
        if total > elements and within(operation.part, part):
            elements, worst = total, operation
        for tensor in (*operation.inputs, operation.output):
            if last[tensor.number] == index and tensor.number in read:
                alive.pop(tensor.number, None)
    return Peak(elements, worst)


def module_weights(in_channels: int, out_channels: int, num_blocks: int) -> float:
    """The paper's formula for a module's convolution weights, without batch norm and depthwise convolution.

    N·M/2 + (3·N²/2)·(1 + 1/2^(2n−3)) for M input and N output channels and n ≥ 2 blocks (section 3.1): M and N settle
    it, and n hardly matters once it grows.
    """
    return out_channels * in_channels / 2 + 1.5 * out_channels**2 * (1 + 2.0 ** (3 - 2 * num_blocks))


def _parts(done: Sequence[tuple[list[str], Operation]], fields: dict[int, Field], depth: int = 0) -> list[Part]:
    """The parts that operations belong to at a depth of their paths, in the order in which they first run."""
    inside: dict[str, list[tuple[list[str], Operation]]] = {}
    for names, operation in done:
        if len(names) > depth:
            inside.setdefault(names[depth], []).append((names, operation))
    return [_part(name, mine, fields, depth) for name, mine in inside.items()]


def _part(name: str, done: Sequence[tuple[list[str], Operation]], fields: dict[int, Field], depth: int) -> Part:
    mine = [operation for _, operation in done]
    # What goes up to the image's size behind a head is no part of what the head puts out.
    output = next(one.output for one in reversed(mine) if one.kind not in UPSAMPLINGS)
    pixels, whole = fields[output.number]
    inner = tuple(_parts(done, fields, depth + 1))
    return Part(name, cost_of(mine), output.channels, output.size, pixels, whole, inner)
