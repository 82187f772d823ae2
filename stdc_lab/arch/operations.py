"""Every operation of a network's forward pass in the order in which it runs, from its spec alone.

`theory` counts convolutions and linear layers. Here is what lies between them as well (norms, poolings, upsamplings,
sums …), with the shapes that it reads and writes: enough to say what another counter adds to the multiply-accumulates,
and how much memory feature maps take. It is exact for the network as built, in evaluation mode, for one image.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from stdc_lab.arch.spec import SPATIAL_PATH, ArchSpec
from stdc_lab.arch.theory import IMAGE_CHANNELS, HeadName, Layer, Size, feature_sizes, layers

Kind = Literal[
    "convolution",
    "linear",
    "batch norm",
    "ReLU",
    "average pooling",
    "global pooling",
    "nearest upsampling",
    "bilinear upsampling",
    "concatenation",
    "sigmoid",
    "product",
    "sum",
    "square",
    "global mean",
]
"""`global pooling` is adaptive pooling to one pixel; `global mean` the same written as a mean, in the classifier."""


class Tensor(NamedTuple):
    """A feature map of one image: C×H×W, numbered in the order of writing."""

    number: int
    channels: int
    size: Size

    @property
    def elements(self) -> int:
        return self.channels * self.size[0] * self.size[1]


class Operation(NamedTuple):
    """Something that runs. `part`: the path of what it belongs to. In place if `output` is one of the `inputs`."""

    kind: Kind
    part: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    macs: int = 0


class Peak(NamedTuple):
    """The most elements of feature maps that are alive at once, and where that is."""

    elements: int
    operation: Operation


def operations(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    head: HeadName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> tuple[Operation, ...]:
    """What the network of a spec runs for one image of `size`, in order. Arguments as of `theory.analyse`."""
    known = layers(spec, size, num_classes, head=head, auxiliary=auxiliary, detail_strides=detail_strides)
    run = _Run(known)
    images = run.new(IMAGE_CHANNELS, size)
    features = _backbone(run, spec, images, feature_sizes(size))
    if "conv_last" in known:
        features[-1] = run.conv_x("conv_last", features[-1])
    if head == "cls":
        _classify(run, features[-1])
    else:
        _segment(run, spec, images, features, detail_strides)
    return tuple(run.done)


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


def within(path: str, part: str | None) -> bool:
    """Whether a path is that of a part, or of something in it; everything is in None."""
    return part is None or path == part or path.startswith(f"{part}/")


def elements_of(done: Iterable[Operation], kind: Kind, side: Literal["read", "written"]) -> int:
    """Elements that all operations of a kind read as their first input, or write."""
    return sum((run.inputs[0] if side == "read" else run.output).elements for run in done if run.kind == kind)


class _Run:
    """Runs nothing: notes what would run, and the shapes."""

    def __init__(self, known: Mapping[str, Layer]) -> None:
        self.done: list[Operation] = []
        self.layers = known
        self.tensors = 0

    def new(self, channels: int, size: Size) -> Tensor:
        self.tensors += 1
        return Tensor(self.tensors, channels, size)

    def __call__(
        self, kind: Kind, part: str, *inputs: Tensor, channels: int | None = None, size: Size | None = None
    ) -> Tensor:
        """An operation that puts out the shape of its first input, unless another is given."""
        output = self.new(channels or inputs[0].channels, size or inputs[0].size)
        self.done.append(Operation(kind, part, inputs, output))
        return output

    def layer(self, part: str, features: Tensor, kind: Kind = "convolution") -> Tensor:
        """A convolution or a linear layer, and its batch norm if it has one."""
        layer = self.layers[part]
        output = self.new(layer.out_channels, layer.size)
        self.done.append(Operation(kind, part, (features,), output, layer.cost.macs))
        return self("batch norm", part, output) if layer.norm else output

    def conv_x(self, part: str, features: Tensor) -> Tensor:
        output = self.layer(part, features)
        self.done.append(Operation("ReLU", part, (output,), output))
        return output


def _backbone(run: _Run, spec: ArchSpec, images: Tensor, sizes: tuple[Size, ...]) -> list[Tensor]:
    """Outputs of stages 1 to 5."""
    features, outputs = images, []
    for stage, depth in enumerate(spec.stem_depths, start=1):
        for index in range(depth):
            features = run.conv_x(f"stage {stage}/conv {index + 1}", features)
        outputs.append(features)
    for stage, depth in enumerate(spec.depths, start=3):
        for index in range(depth):
            path = f"stage {stage}/module {index + 1}"
            features = _module(run, spec, path, features, sizes[stage - 1] if index == 0 else None)
        outputs.append(features)
    return outputs


def _module(run: _Run, spec: ArchSpec, path: str, features: Tensor, halved: Size | None) -> Tensor:
    """A module; `halved`: the size of its output if it has stride 2."""
    depthwise = halved is not None and spec.downsample == "depthwise"
    first = run.conv_x(f"{path}/block 1", features)
    current = run.layer(f"{path}/downsample", first) if depthwise else first
    outputs = [current]
    if halved is not None and not (depthwise and spec.fusion == "add"):
        outputs = [run("average pooling", path, first, size=halved)]
    for block in range(2, spec.num_blocks + 1):
        current = run.conv_x(f"{path}/block {block}", current)
        outputs.append(current)
    fused = run("concatenation", path, *outputs, channels=sum(output.channels for output in outputs), size=current.size)
    if spec.fusion == "cat":
        return fused
    residual = features
    if halved is not None:
        if depthwise:
            residual = run.layer(f"{path}/residual downsample", residual)
        else:
            residual = run("average pooling", path, residual, size=halved)
        residual = run.layer(f"{path}/residual projection", residual)
    return run("sum", path, fused, residual)


def _classify(run: _Run, features: Tensor) -> None:
    squared = run("square", "hidden", features)
    pooled = run("global mean", "hidden", squared, size=(1, 1))
    hidden = run("ReLU", "hidden", run.layer("hidden", pooled, "linear"))
    run.layer("classes", hidden, "linear")


def _segment(
    run: _Run, spec: ArchSpec, images: Tensor, features: Sequence[Tensor], detail_strides: Collection[int]
) -> None:
    fused, context8, context16 = _decoder(run, spec, images, features)

    def head(path: str, features: Tensor) -> Tensor:
        return run.layer(f"{path}/classes", run.conv_x(f"{path}/conv", features))

    run("bilinear upsampling", "head", head("head", fused), size=images.size)
    for stride, context in ((8, context8), (16, context16)):
        path = f"auxiliary head at 1/{stride}"
        if f"{path}/conv" in run.layers:
            run("bilinear upsampling", path, head(path, context), size=images.size)
    for stride in detail_strides:
        head(f"detail head at 1/{stride}", features[{2: 0, 4: 1, 8: 2, 16: 3}[stride]])


def _decoder(run: _Run, spec: ArchSpec, images: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Fused features at 1/8, and the context at 1/8 and at 1/16."""
    _, _, stage3, stage4, stage5 = features
    options = spec.decoder
    up: Kind = "nearest upsampling" if options.interpolation == "nearest" else "bilinear upsampling"
    context32 = _refinement(run, spec, "decoder/refinement at 1/32", stage5)
    if options.global_context:
        path = "decoder/global context"
        context32 = run("sum", path, context32, run.conv_x(path, _pooled(run, path, stage5)))
    path = "decoder/smoothing at 1/16"
    context16 = run.conv_x(path, run(up, path, context32, size=stage4.size))
    path = "decoder/smoothing at 1/8"
    both = run("sum", path, _refinement(run, spec, "decoder/refinement at 1/16", stage4), context16)
    context8 = run.conv_x(path, run(up, path, both, size=stage3.size))
    detail = stage3
    if options.spatial_path:
        detail = images
        for index in range(len(SPATIAL_PATH)):
            detail = run.conv_x(f"decoder/spatial path/conv {index + 1}", detail)
    return _fusion(run, "decoder/fusion", detail, context8), context8, context16


def _refinement(run: _Run, spec: ArchSpec, path: str, features: Tensor) -> Tensor:
    if not spec.decoder.attention:
        return run.conv_x(path, features)
    features = run.conv_x(f"{path}/conv", features)
    weights = run.layer(f"{path}/attention", _pooled(run, path, features))
    return run("product", path, features, run("sigmoid", path, weights))


def _fusion(run: _Run, path: str, detail: Tensor, context: Tensor) -> Tensor:
    joined = run("concatenation", path, detail, context, channels=detail.channels + context.channels)
    features = run.conv_x(f"{path}/conv", joined)
    squeezed = run("ReLU", path, run.layer(f"{path}/squeeze", _pooled(run, path, features)))
    weights = run("sigmoid", path, run.layer(f"{path}/excite", squeezed))
    return run("sum", path, run("product", path, features, weights), features)


def _pooled(run: _Run, path: str, features: Tensor) -> Tensor:
    return run("global pooling", path, features, size=(1, 1))
