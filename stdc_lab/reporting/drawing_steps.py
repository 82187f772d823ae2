"""What a network does in steps that a reader knows, from its operations: ConvX, attention, pooling, sums.

A ConvX is a convolution with its batch norm and ReLU; attention is all that leads to a sigmoid and to nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stdc_lab.arch.graph import GLOBAL, LAYERS, UPSAMPLINGS, Operation, Size, Tensor

_FINISHING = ("batch norm", "ReLU", "leaky ReLU")


class Step(NamedTuple):
    """Operations that are drawn as one, with the numbers of the feature maps that they read from others."""

    kind: str
    part: str
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    output: Tensor

    @property
    def layer(self) -> Operation:
        return self.operations[0]

    @property
    def rectified(self) -> bool:
        return self.operations[-1].kind in ("ReLU", "leaky ReLU")


def steps_of(done: Sequence[Operation]) -> list[Step]:
    """All steps of a network, each behind those that it reads from."""
    readers = defaultdict(list)
    for index, operation in enumerate(done):
        for number in {tensor.number for tensor in operation.inputs}:
            readers[number].append(index)
    gates = _gates(done, readers)
    members: dict[int, list[int]] = {}
    home: dict[int, int] = {}
    for index, operation in enumerate(done):
        first = operation.inputs[0].number
        finishes = operation.kind in _FINISHING and (operation.output.number == first or len(readers[first]) == 1)
        group = gates.get(index, home.get(first, index) if finishes else index)
        members.setdefault(group, []).append(index)
        home[operation.output.number] = group
    return [_step([done[index] for index in mine]) for mine in sorted(members.values(), key=lambda mine: mine[-1])]


def words_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """What a part does, in the order of its first doing so; sums, products and upsamplings go without saying."""
    counts: dict[tuple[str, str], int] = {}
    for step in steps:
        if (verb_and_what := _words(step)) is not None:
            counts[verb_and_what] = counts.get(verb_and_what, 0) + 1
    said: dict[str, list[str]] = {}
    for (verb, what), count in counts.items():
        if verb == "pool to":  # once, with all its sizes
            said.setdefault(verb, []).append(what)
        else:
            times = f"{count} × " if count > 1 and len(counts) == 1 else ""
            said[f"{times}{verb} {what}".strip()] = []
    return tuple(word for verb, sizes in said.items() for word in [" ".join([verb, *sizes[:1]]), *sizes[1:]])


def traits_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """What a repeated module is made of, in few words: kernels, depthwise or grouped, dilations, attention."""
    steps = list(steps)
    layers = [step.layer for step in steps if step.kind == "convolution"]
    kernels = ", ".join(dict.fromkeys(f"{one.kernel}×{one.kernel}" for one in layers))
    traits = [f"conv {kernels}"] if layers else []
    if any(_is_depthwise(one) for one in layers):
        traits.append("depthwise")
    shares = {one.output.channels // one.groups for one in layers if one.groups > 1 and not _is_depthwise(one)}
    if shares:
        traits.append(f"groups of {_span(shares)} ch")
    dilations = {one.dilation for one in layers}
    if max(dilations, default=1) > 1:
        traits.append(f"dilation {_span(dilations)}")
    return (*traits, *dict.fromkeys(_attention(step) for step in steps if step.kind == "attention"))


def lines_of(step: Step) -> tuple[str, ...]:
    """What a box for a single step says: what it does, then all that is particular about it."""
    layer = step.layer
    if step.kind == "attention":
        through = [f"{one.kernel}×{one.kernel}" for one in step.operations if one.kind in LAYERS]
        return (*_attention(step).split(), f"conv {', '.join(through)}")
    if step.kind == "convolution":
        rectified = step.rectified and step.operations[1].kind == "batch norm"
        lines = [f"{'ConvX' if rectified else 'conv'} {layer.kernel}×{layer.kernel}"]
        lines += ["depthwise"] if _is_depthwise(layer) else [f"{layer.groups} groups"] if layer.groups > 1 else []
        lines += [f"dilation {layer.dilation}"] if layer.dilation > 1 else []
        lines += [f"stride {layer.stride}"] if layer.stride > 1 else []
        return (*lines, f"{step.output.channels} ch")
    if step.kind == "average pooling":
        return (f"avg pool {layer.kernel}×{layer.kernel}", f"stride {layer.stride}")
    if step.kind in UPSAMPLINGS:
        return (f"↑ {step.kind.removesuffix(' upsampling')}", size_text(step.output.size))
    return tuple(" ".join(_words(step) or ("", step.kind)).split())


def size_text(size: Size) -> str:
    """Height × width."""
    return f"{size[0]}×{size[1]}"


def _gates(done: Sequence[Operation], readers: dict[int, list[int]]) -> dict[int, int]:
    """Of all operations that lead to one sigmoid only, the index of that sigmoid."""
    gates: dict[int, int] = {}
    for end, operation in enumerate(done):
        if operation.kind == "sigmoid":
            gates[end] = end
            for index in range(end - 1, -1, -1):
                behind = [reader for reader in readers[done[index].output.number] if reader > index]
                if behind and all(gates.get(reader) == end for reader in behind):
                    gates[index] = end
    return gates


def _step(mine: Sequence[Operation]) -> Step:
    written = {one.output.number for one in mine}
    read = [tensor.number for one in mine for tensor in one.inputs]
    kind = "attention" if mine[-1].kind == "sigmoid" else mine[0].kind
    inputs = tuple(dict.fromkeys(number for number in read if number not in written))
    return Step(kind, mine[-1].part if kind == "attention" else mine[0].part, tuple(mine), inputs, mine[-1].output)


def _words(step: Step) -> tuple[str, str] | None:
    layer = step.layer
    if step.kind == "attention":
        return _attention(step), ""
    if step.kind == "convolution":
        return tuple(lines_of(step)[0].split())  # type: ignore[return-value]
    if step.kind in ("adaptive pooling", "global pooling"):
        return "pool to", size_text(step.output.size)
    if step.kind == "average pooling":
        return "avg pool", f"{layer.kernel}×{layer.kernel}"
    if step.kind == "concatenation":
        return "concat", ""
    return None if step.kind in (*UPSAMPLINGS, "sum", "product", "one minus") else (step.kind, "")


def _attention(step: Step) -> str:
    pooled = any(one.kind in GLOBAL for one in step.operations)
    return "channel attention" if pooled else "spatial attention"


def _is_depthwise(layer: Operation) -> bool:
    return layer.groups > 1 and layer.groups == layer.inputs[0].channels == layer.output.channels


def _span(numbers: Iterable[int]) -> str:
    least, *_, most = sorted(numbers) * 2
    return str(least) if least == most else f"{least} to {most}"
