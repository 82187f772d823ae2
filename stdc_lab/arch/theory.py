"""What a network costs, from its spec alone: parameters, MACs, activations and receptive field in closed form.

It is exact for the network as built, at any input size, and needs no torch. Parameters are weights of convolutions and
linear layers and the two vectors of each batch norm. MACs are multiply-accumulates of convolutions and linear layers.
Activations are the elements that these layers put out (the measure of Radosavovic et al., *Designing Network Design
Spaces*). The receptive field is the side, in pixels of the image, of what a convolutional path sees; what depends on a
global pooling sees the whole image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stdc_lab.arch.receptive_field import Field, receptive_fields
from stdc_lab.arch.spec import SPATIAL_PATH, TRAINING_HEAD_WIDTH, ArchSpec

Size = tuple[int, int]
HeadName = Literal["seg", "cls"]
IMAGE_CHANNELS = 3
BLOCK_NAMES = tuple(f"block {number}" for number in range(1, 9))


class Cost(NamedTuple):
    """What a part of a network costs for one image."""

    num_params: int
    macs: int
    activations: int


class Layer(NamedTuple):
    """A convolution or a linear layer (kernel 1, output 1×1), without bias; `size` is that of its output."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    size: Size
    groups: int = 1
    norm: bool = True

    @property
    def cost(self) -> Cost:
        """Parameters (those of its batch norm included), MACs and activations."""
        weights = self.out_channels * (self.in_channels // self.groups) * self.kernel * self.kernel
        pixels = self.size[0] * self.size[1]
        return Cost(weights + 2 * self.out_channels * self.norm, weights * pixels, self.out_channels * pixels)


class Group(NamedTuple):
    """Layers that belong together, `times` over: a module of a stage, or a part of the decoder.

    `channels` and `size` are those of what they put out together.
    """

    part: str
    name: str
    layers: tuple[Layer, ...]
    channels: int
    size: Size
    times: int = 1


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
    head: HeadName
    cost: Cost
    parts: tuple[Part, ...]


def total_cost(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    head: HeadName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> Cost:
    """Parameters, MACs and activations of the whole network for one image: fast enough to screen a search."""
    params = macs = activations = 0
    for group in _groups(spec, size, num_classes, head, auxiliary, detail_strides):
        times = group.times
        # `Layer.cost`, spelled out: half of the time that a screening takes would go into tuples.
        for _, wide, out, kernel, (height, width), groups, norm in group.layers:
            weights = out * (wide // groups) * kernel * kernel
            pixels = height * width
            params += times * (weights + 2 * out * norm)
            macs += times * weights * pixels
            activations += times * out * pixels
    return Cost(params, macs, activations)


def analyse(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    head: HeadName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> NetworkCost:
    """The cost of a network for one image of `size` (height × width), part by part.

    `head`: the segmenter ("seg") or the classifier ("cls"). `auxiliary` and `detail_strides`: the segmenter with
    these training heads. Receptive fields in the decoder hold where 32 divides the size.
    """
    fields = receptive_fields(spec)
    by_part: dict[str, list[Part]] = {}
    for group in _groups(spec, size, num_classes, head, auxiliary, detail_strides):
        siblings = by_part.setdefault(group.part, [])
        for _ in range(group.times):
            name = f"module {len(siblings) + 1}" if group.name == "module" else group.name
            siblings.append(_part_of(group, name, fields))
    parts = tuple(_joined(name, children, fields[name]) for name, children in by_part.items())
    return NetworkCost(spec, size, num_classes, head, _sum(parts), parts)


def layers(
    spec: ArchSpec,
    size: Size = (512, 1024),
    num_classes: int = 19,
    *,
    head: HeadName = "seg",
    auxiliary: bool = False,
    detail_strides: Collection[int] = (),
) -> dict[str, Layer]:
    """Every convolution and linear layer by its path: `stage 3/module 1/block 2`; `stage 1/conv 1`, a part of its own.

    Arguments as of `analyse`.
    """
    by_path: dict[str, Layer] = {}
    modules: Counter[str] = Counter()
    for group in _groups(spec, size, num_classes, head, auxiliary, detail_strides):
        for _ in range(group.times):
            modules[group.part] += group.name == "module"
            name = f"module {modules[group.part]}" if group.name == "module" else group.name
            path = group.part if name == group.part else f"{group.part}/{name}"
            for layer in group.layers:
                by_path[path if len(group.layers) == 1 else f"{path}/{layer.name}"] = layer
    return by_path


def module_weights(in_channels: int, out_channels: int, num_blocks: int) -> float:
    """The paper's formula for a module's convolution weights, without batch norm and depthwise convolution.

    N·M/2 + (3·N²/2)·(1 + 1/2^(2n−3)) for M input and N output channels and n ≥ 2 blocks (section 3.1): M and N settle
    it, and n hardly matters once it grows.
    """
    return out_channels * in_channels / 2 + 1.5 * out_channels**2 * (1 + 2.0 ** (3 - 2 * num_blocks))


def feature_sizes(size: Size) -> tuple[Size, ...]:
    """Height × width of the features of stages 1 to 5: each half of what came before, rounded up."""
    sizes = [size]
    for _ in range(5):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return tuple(sizes[1:])


def _groups(
    spec: ArchSpec, size: Size, num_classes: int, head: HeadName, auxiliary: bool, detail_strides: Collection[int]
) -> Iterator[Group]:
    sizes = feature_sizes(size)
    before = IMAGE_CHANNELS
    for stage, depth in enumerate(spec.stem_depths, start=1):
        width, at = spec.widths[stage - 1], sizes[stage - 1]
        for index in range(depth):
            name = f"conv {index + 1}"
            yield Group(f"stage {stage}", name, (Layer(name, width if index else before, width, 3, at),), width, at)
        before = width
    for stage in (3, 4, 5):
        width, depth, at = spec.widths[stage - 1], spec.depths[stage - 3], sizes[stage - 1]
        yield Group(f"stage {stage}", "module", _module(spec, stage, 2, sizes), width, at)
        if depth > 1:
            yield Group(f"stage {stage}", "module", _module(spec, stage, 1, sizes), width, at, depth - 1)
    last = spec.conv_last_width
    if head == "cls" or spec.conv_last:
        yield _single("conv_last", Layer("conv_last", spec.widths[4], last, 1, sizes[4]))
    if head == "cls":
        yield _single("hidden", Layer("hidden", last, last, 1, (1, 1), norm=False))
        yield _single("classes", Layer("classes", last, num_classes, 1, (1, 1), norm=False))
        return
    yield from _decoder(spec, sizes)
    decoder = spec.decoder
    yield _head("head", decoder.fusion_width, decoder.head_width, num_classes, sizes[2])
    for stride, stage in ((8, 3), (16, 4)) if auxiliary else ():
        name = f"auxiliary head at 1/{stride}"
        yield _head(name, decoder.context_width, TRAINING_HEAD_WIDTH, num_classes, sizes[stage - 1])
    for stride in detail_strides:
        stage = {2: 1, 4: 2, 8: 3, 16: 4}[stride]
        name = f"detail head at 1/{stride}"
        yield _head(name, spec.widths[stage - 1], TRAINING_HEAD_WIDTH, 1, sizes[stage - 1])


def _module(spec: ArchSpec, stage: int, stride: int, sizes: tuple[Size, ...]) -> tuple[Layer, ...]:
    """The layers of a module of a stage: its first one (stride 2) or any other (stride 1)."""
    blocks, out, at = spec.block_widths[stage - 3], spec.widths[stage - 1], sizes[stage - 1]
    wide = spec.widths[stage - 2] if stride == 2 else out
    depthwise = stride == 2 and spec.downsample == "depthwise"
    kernels = spec.kernels
    layers = [Layer(BLOCK_NAMES[0], wide, blocks[0], kernels[0], sizes[stage - 2] if stride == 2 else at)]
    if depthwise:
        layers.append(Layer("downsample", blocks[0], blocks[0], 3, at, blocks[0]))
    for index in range(1, spec.num_blocks):
        layers.append(Layer(BLOCK_NAMES[index], blocks[index - 1], blocks[index], kernels[index], at))
    if spec.fusion == "add" and stride == 2:
        if depthwise:
            layers.append(Layer("residual downsample", wide, wide, 3, at, wide))
        layers.append(Layer("residual projection", wide, out, 1, at))
    return tuple(layers)


def _decoder(spec: ArchSpec, sizes: tuple[Size, ...]) -> Iterator[Group]:
    _, _, at8, at16, at32 = sizes
    _, _, stage3, stage4, stage5 = spec.widths
    decoder = spec.decoder
    context, fused = decoder.context_width, decoder.fusion_width
    deepest = spec.conv_last_width if spec.conv_last else stage5

    def refinement(stride: int, wide: int, at: Size) -> Group:
        layers = [Layer("conv", wide, context, 3, at)]
        if decoder.attention:
            layers.append(Layer("attention", context, context, 1, (1, 1)))
        return Group("decoder", f"refinement at 1/{stride}", tuple(layers), context, at)

    def one(name: str, wide: int, kernel: int, at: Size) -> Group:
        return Group("decoder", name, (Layer("conv", wide, context, kernel, at),), context, at)

    if decoder.global_context:
        yield one("global context", deepest, 1, (1, 1))
    yield refinement(32, deepest, at32)
    yield one("smoothing at 1/16", context, 3, at16)
    yield refinement(16, stage4, at16)
    yield one("smoothing at 1/8", context, 3, at8)
    detail = stage3
    if decoder.spatial_path:
        before, layers = IMAGE_CHANNELS, []
        for index, layer in enumerate(SPATIAL_PATH):
            at = sizes[min(index, 2)]
            layers.append(Layer(f"conv {index + 1}", before, layer.width, layer.kernel, at))
            before = layer.width
        yield Group("decoder", "spatial path", tuple(layers), before, at8)
        detail = before
    squeezed = fused // 4
    yield Group(
        "decoder",
        "fusion",
        (
            Layer("conv", detail + context, fused, 1, at8),
            Layer("squeeze", fused, squeezed, 1, (1, 1), norm=False),
            Layer("excite", squeezed, fused, 1, (1, 1), norm=False),
        ),
        fused,
        at8,
    )


def _head(name: str, wide: int, width: int, outputs: int, at: Size) -> Group:
    layers = (Layer("conv", wide, width, 3, at), Layer("classes", width, outputs, 1, at, norm=False))
    return Group(name, name, layers, outputs, at)


def _single(name: str, layer: Layer) -> Group:
    return Group(name, name, (layer,), layer.out_channels, layer.size)


def _part_of(group: Group, name: str, fields: Mapping[str, Field]) -> Part:
    """The part that a group of layers is, with its layers as parts of it if it is more than one."""
    path = group.part if name == group.part else f"{group.part}/{name}"
    whole = fields[path]
    layers = tuple(
        Part(layer.name, layer.cost, layer.out_channels, layer.size, *fields.get(f"{path}/{layer.name}", whole))
        for layer in group.layers
    )
    inner = layers if len(layers) > 1 else ()
    return Part(name, _sum(layers), group.channels, group.size, *whole, inner)


def _joined(name: str, parts: Sequence[Part], field: Field) -> Part:
    """A part of parts in a row: it puts out what the last of them does. A lone part of the same name is that part."""
    if [part.name for part in parts] == [name]:
        return parts[0]
    return Part(name, _sum(parts), parts[-1].output_channels, parts[-1].output_size, *field, tuple(parts))


def _sum(parts: Iterable[Part]) -> Cost:
    params, macs, activations = zip(*(part.cost for part in parts), strict=True)
    return Cost(sum(params), sum(macs), sum(activations))
