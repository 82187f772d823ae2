"""One description of a forward pass: every operation in the order in which it runs, from a spec alone.

A family's spec fills it once: its `trace` calls a `Tracer` as its network calls torch. What a network costs, holds in
memory and sees of the image are folds over the operations (`costs`). It is exact for the network as built, in
evaluation mode, for one image, and needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

Size = tuple[int, int]
"""Height × width."""
IMAGE_CHANNELS = 3
Kind = Literal[
    "convolution",
    "linear",
    "batch norm",
    "ReLU",
    "leaky ReLU",
    "average pooling",
    "adaptive pooling",
    "global pooling",
    "global max pooling",
    "channel mean",
    "channel maximum",
    "nearest upsampling",
    "bilinear upsampling",
    "concatenation",
    "sigmoid",
    "one minus",
    "product",
    "sum",
    "square",
    "global mean",
]
"""`adaptive pooling` is to a few bins a side, `global pooling` to one; `global mean` is that written as a mean."""
GLOBAL: frozenset[Kind] = frozenset(("adaptive pooling", "global pooling", "global max pooling", "global mean"))
"""What depends on the whole image, or on large shares of it that grow with it."""
LAYERS: frozenset[Kind] = frozenset(("convolution", "linear"))
"""What has multiply-accumulates."""
UPSAMPLINGS: frozenset[Kind] = frozenset(("nearest upsampling", "bilinear upsampling"))


_BETWEEN_NAMES = re.compile(r"/(?=\D)")


class Tensor(NamedTuple):
    """A feature map of one image: C×H×W, numbered in the order of writing."""

    number: int
    channels: int
    size: Size

    @property
    def elements(self) -> int:
        return self.channels * self.size[0] * self.size[1]


class Operation(NamedTuple):
    """Something that runs. In place if `output` is one of the `inputs`.

    part: the path of what it belongs to, such as `stage 3/module 1/block 2`; see `names_of`. kernel, stride, dilation,
    groups: of a convolution or a pooling. bias: whether a layer has one.
    """

    kind: Kind
    part: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = False

    @property
    def num_params(self) -> int:
        """Weights and biases of a layer, or the two vectors of a batch norm."""
        if self.kind in LAYERS:
            return self._weights + self.output.channels * self.bias
        return 2 * self.output.channels if self.kind == "batch norm" else 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a layer, its bias left out; of anything else 0."""
        return self._weights * self.output.size[0] * self.output.size[1] if self.kind in LAYERS else 0

    @property
    def activations(self) -> int:
        """Elements that a layer puts out; of anything else 0."""
        return self.output.elements if self.kind in LAYERS else 0

    @property
    def _weights(self) -> int:
        return self.output.channels * (self.inputs[0].channels // self.groups) * self.kernel * self.kernel


class Tracer:
    """Runs nothing: notes what would run, and the shapes. `operations` has it in order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._tensors = 0

    def image(self, size: Size) -> Tensor:
        """The image 3×H×W that a network is given."""
        return self._new(IMAGE_CHANNELS, size)

    def conv(
        self,
        part: str,
        features: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
    ) -> Tensor:
        """A convolution that keeps height and width but for its stride (rounded up), and its batch norm if any."""
        output = self._new(channels, strided(features.size, stride))
        self.operations.append(
            Operation("convolution", part, (features,), output, kernel, stride, dilation, groups, bias)
        )
        return self("batch norm", part, output) if norm else output

    def conv_x(
        self, part: str, features: Tensor, channels: int, kernel: int, *, stride: int = 1, bias: bool = False
    ) -> Tensor:
        """Convolution, batch norm, and ReLU in place."""
        output = self.conv(part, features, channels, kernel, stride=stride, bias=bias)
        return self.in_place("ReLU", part, output)

    def linear(self, part: str, features: Tensor, channels: int, *, bias: bool = False) -> Tensor:
        """A linear layer on C×1×1."""
        output = self._new(channels, (1, 1))
        self.operations.append(Operation("linear", part, (features,), output, bias=bias))
        return output

    def __call__(
        self,
        kind: Kind,
        part: str,
        *inputs: Tensor,
        channels: int | None = None,
        size: Size | None = None,
        kernel: int = 1,
        stride: int = 1,
    ) -> Tensor:
        """An operation that puts out the shape of its first input, unless another one is given."""
        output = self._new(channels or inputs[0].channels, size or inputs[0].size)
        self.operations.append(Operation(kind, part, inputs, output, kernel, stride))
        return output

    def in_place(self, kind: Kind, part: str, features: Tensor) -> Tensor:
        """An operation that writes where it reads."""
        self.operations.append(Operation(kind, part, (features,), features))
        return features

    def split(self, features: Tensor, parts: int) -> list[Tensor]:
        """Equal shares of the channels, as views: nothing runs, and no memory is taken."""
        return [features._replace(channels=features.channels // parts)] * parts

    def concatenate(self, part: str, *inputs: Tensor) -> Tensor:
        """Feature maps of one size as one."""
        output = self._new(sum(one.channels for one in inputs), inputs[0].size)
        self.operations.append(Operation("concatenation", part, inputs, output))
        return output

    def repeat(self, numbers: Iterable[int], features: Tensor, build: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Parts in a row that are alike: each keeps the shape that it is given. `build` traces one, by its number."""
        for number in numbers:
            features = build(number, features)
        return features

    def _new(self, channels: int, size: Size) -> Tensor:
        self._tensors += 1
        return Tensor(self._tensors, channels, size)


_shaped = partial(tuple.__new__, Tensor)
"""`Tensor(*values)` in two thirds of the time, which is most of what a screening spends."""


class Tally(Tracer):
    """Keeps no operations, only what they cost together: fast enough to screen a search.

    Feature maps have shapes but no numbers, and of parts that are alike one is traced.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_params = self.macs = self.activations = 0

    def conv(
        self,
        part: str,
        features: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
    ) -> Tensor:
        _, _, size = features
        if stride > 1:
            size = strided(size, stride)
        weights = channels * (features[1] // groups) * kernel * kernel
        pixels = size[0] * size[1]
        self.num_params += weights + channels * (2 * norm + bias)
        self.macs += weights * pixels
        self.activations += channels * pixels
        return _shaped((0, channels, size))

    conv_x = conv  # a ReLU costs nothing here

    def linear(self, part: str, features: Tensor, channels: int, *, bias: bool = False) -> Tensor:
        return self.conv(part, Tensor(0, features.channels, (1, 1)), channels, 1, norm=False, bias=bias)

    def __call__(
        self,
        kind: Kind,
        part: str,
        *inputs: Tensor,
        channels: int | None = None,
        size: Size | None = None,
        kernel: int = 1,
        stride: int = 1,
    ) -> Tensor:
        first = inputs[0]
        if kind == "batch norm":
            self.num_params += 2 * first.channels
        if size is None and channels is None:
            return first
        return _shaped((0, channels or first.channels, size or first.size))

    def in_place(self, kind: Kind, part: str, features: Tensor) -> Tensor:
        return features

    def concatenate(self, part: str, *inputs: Tensor) -> Tensor:
        return _shaped((0, sum([one.channels for one in inputs]), inputs[0].size))

    def repeat(self, numbers: Iterable[int], features: Tensor, build: Callable[[int, Tensor], Tensor]) -> Tensor:
        count = len(list(numbers))
        if not count:
            return features
        before = self.num_params, self.macs, self.activations
        features = build(0, features)
        more = count - 1
        self.num_params += more * (self.num_params - before[0])
        self.macs += more * (self.macs - before[1])
        self.activations += more * (self.activations - before[2])
        return features


def strided(size: Size, stride: int) -> Size:
    """Height × width behind a stride, rounded up."""
    return -(-size[0] // stride), -(-size[1] // stride)


def pooled_of(run: Tracer, path: str, features: Tensor) -> Tensor:
    """The mean over all positions, C×1×1."""
    return run("global pooling", path, features, size=(1, 1))


def trace_head(
    run: Tracer, path: str, features: Tensor, width: int, outputs: int, *, kernel: int = 3, bias: bool = False
) -> Tensor:
    """A ConvX and a 1×1 convolution to classes, or to one detail logit."""
    hidden = run.conv_x(f"{path}/conv", features, width, kernel)
    return run.conv(f"{path}/classes", hidden, outputs, 1, norm=False, bias=bias)


def names_of(path: str) -> list[str]:
    """The names that a path is made of, outermost first. A name begins with a letter and may say `at 1/8`."""
    return _BETWEEN_NAMES.split(path)


def within(path: str, part: str | None) -> bool:
    """Whether a path is that of a part, or of something in it; everything is in None."""
    return part is None or path == part or path.startswith(f"{part}/")


def elements_of(operations: Iterable[Operation], kind: Kind, side: Literal["read", "written"]) -> int:
    """Elements that all operations of a kind read as their first input, or write."""
    return sum((one.inputs[0] if side == "read" else one.output).elements for one in operations if one.kind == kind)
