"""What each part of a network sees of the image: the side, in pixels, of its convolutional path's receptive field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stdc_lab.arch.spec import SPATIAL_PATH, ArchSpec


class Field(NamedTuple):
    """pixels: side of what the convolutional path sees; None where everything comes from a global mean.
    whole_image: whether a global pooling lies behind it."""

    pixels: int | None
    whole_image: bool = False


NOTHING_BUT_A_MEAN = Field(None, True)


def receptive_fields(spec: ArchSpec) -> dict[str, Field]:
    """Field of every stage, module, block and part of the decoder, by path: `stage 3/module 1/block 2`.

    The largest over all positions: an upsampled map does not see equally far everywhere. In the decoder it holds where
    32 divides the image's size, and for bilinear upsampling it is an upper bound.
    """
    stages = dict(_backbone(spec))
    return stages | dict(_decoder(spec, stages))


def _backbone(spec: ArchSpec) -> Iterator[tuple[str, Field]]:
    side, jump = 1, 1
    for stage, depth in enumerate(spec.stem_depths, start=1):
        for index in range(depth):
            side += 2 * jump
            jump *= 1 if index else 2
            yield f"stage {stage}/conv {index + 1}", Field(side)
        yield f"stage {stage}", Field(side)
    for stage, depth in enumerate(spec.depths, start=3):
        for index in range(depth):
            name = f"stage {stage}/module {index + 1}"
            layers = dict(_module(spec, side, jump, halves=index == 0))
            yield from ((f"{name}/{layer}", Field(pixels)) for layer, pixels in layers.items())
            side = max(layers.values())
            jump *= 1 if index else 2
            yield name, Field(side)
        yield f"stage {stage}", Field(side)
    yield "conv_last", Field(side)


def _module(spec: ArchSpec, side: int, jump: int, *, halves: bool) -> Iterator[tuple[str, int]]:
    depthwise = halves and spec.downsample == "depthwise"
    pooled = side + 2 * jump
    first = side + (spec.kernels[0] - 1) * jump
    yield "block 1", first
    if halves:
        # Block 1 reaches the fusion through a 3×3 pooling, or as the depthwise 3×3 convolution leaves it.
        yield ("downsample" if depthwise else "pooled block 1"), first + 2 * jump
    reached = first
    for index, kernel in enumerate(spec.kernels[1:], start=2):
        if index == 2 and halves:
            reached += 2 * jump if depthwise else (kernel - 1) * jump
            jump *= 2
            reached += (kernel - 1) * jump if depthwise else 0
        else:
            reached += (kernel - 1) * jump
        yield f"block {index}", reached
    if spec.fusion == "add" and halves:
        if depthwise:
            yield "residual downsample", pooled
        yield "residual projection", pooled


def _decoder(spec: ArchSpec, stages: dict[str, Field]) -> Iterator[tuple[str, Field]]:
    decoder = spec.decoder
    side2, side4, side8, side16, side32 = (stages[f"stage {stage}"].pixels or 0 for stage in range(1, 6))
    extra = 1 if decoder.interpolation == "nearest" else 2

    def coarse(pixels: int) -> int:
        """Pixels of the half as large map behind so many neighbours of the upsampled one, at most."""
        return pixels // 2 + extra

    def context16(pixels: int) -> int:
        """Behind so many neighbours of the 1/16 context: the upsampled and smoothed 1/32 refinement."""
        return side32 + (coarse(pixels + 2) - 1 + 2) * 32

    def context8(pixels: int) -> int:
        behind = coarse(pixels + 2)
        return max(side16 + (behind - 1 + 2) * 16, context16(behind))

    detail = side8
    if decoder.spatial_path:
        detail, jump = 1, 1
        for index, layer in enumerate(SPATIAL_PATH, start=1):
            detail += (layer.kernel - 1) * jump
            jump *= layer.stride
            yield f"decoder/spatial path/conv {index}", Field(detail)
        yield "decoder/spatial path", Field(detail)
    pooled = decoder.attention or decoder.global_context
    for stride, pixels in ((32, side32 + 2 * 32), (16, side16 + 2 * 16)):
        yield f"decoder/refinement at 1/{stride}/conv", Field(pixels)
        yield f"decoder/refinement at 1/{stride}/attention", NOTHING_BUT_A_MEAN
        yield f"decoder/refinement at 1/{stride}", Field(pixels, decoder.attention)
    yield "decoder/global context", NOTHING_BUT_A_MEAN
    yield "decoder/global context/conv", NOTHING_BUT_A_MEAN
    yield "decoder/smoothing at 1/16", Field(context16(1), pooled)
    yield "decoder/smoothing at 1/8", Field(context8(1), pooled)
    fused = max(detail, context8(1))
    yield "decoder/fusion/conv", Field(fused, pooled)
    yield "decoder/fusion/squeeze", NOTHING_BUT_A_MEAN
    yield "decoder/fusion/excite", NOTHING_BUT_A_MEAN
    yield "decoder/fusion", Field(fused, True)
    yield "decoder", Field(fused, True)
    yield "head", Field(max(detail + 2 * 8, context8(3)), True)
    yield "auxiliary head at 1/8", Field(context8(3), pooled)
    yield "auxiliary head at 1/16", Field(context16(3), pooled)
    for stride, side in ((2, side2), (4, side4), (8, side8), (16, side16)):
        yield f"detail head at 1/{stride}", Field(side + 2 * stride)
    yield "hidden", NOTHING_BUT_A_MEAN
    yield "classes", NOTHING_BUT_A_MEAN
