"""What each feature map sees of the image: the side, in pixels, of its convolutional path's receptive field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stdc_lab.arch.graph import GLOBAL, UPSAMPLINGS, Operation


class Field(NamedTuple):
    """pixels: side of what the convolutional path sees; None where everything comes from a global mean.
    whole_image: whether a global pooling lies behind it."""

    pixels: int | None
    whole_image: bool = False


@dataclass(frozen=True)
class _Straight:
    """So many neighbours see side + (neighbours − 1) × jump pixels: no upsampling lies behind them."""

    side: int
    jump: int

    def __call__(self, neighbours: int) -> int:
        return self.side + (neighbours - 1) * self.jump

    def behind(self, window: int, stride: int) -> _Straight:
        return _Straight(self(window), self.jump * stride)


_Sight = Callable[[int], int]
"""How many pixels of the image, along a side, so many neighbouring positions see, at most."""


def receptive_fields(done: Sequence[Operation]) -> dict[int, Field]:
    """Field of every feature map of a network, by its number.

    The largest over all positions: an upsampled map does not see equally far everywhere. Behind an upsampling it holds
    where the strides divide the image's size, and for bilinear upsampling it is an upper bound.
    """
    sights: dict[int, _Sight | None] = {}
    whole: dict[int, bool] = {}
    for operation in done:
        for tensor in operation.inputs:
            if tensor.number not in sights:  # an image
                sights[tensor.number], whole[tensor.number] = _Straight(1, 1), False
        pooled = operation.kind in GLOBAL
        whole[operation.output.number] = pooled or any(whole[tensor.number] for tensor in operation.inputs)
        known = [sight for tensor in operation.inputs if (sight := sights[tensor.number]) is not None]
        sights[operation.output.number] = None if pooled or not known else _sight(operation, known)
    return {number: Field(None if sight is None else sight(1), whole[number]) for number, sight in sights.items()}


def _sight(operation: Operation, known: Sequence[_Sight]) -> _Sight:
    if operation.kind in UPSAMPLINGS:
        return _upsampled(operation, known[0])
    if operation.kind in ("convolution", "average pooling"):
        window = (operation.kernel - 1) * operation.dilation + 1
        return _windowed(known[0], window, operation.stride)
    return _joined(known)


def _windowed(sight: _Sight, window: int, stride: int) -> _Sight:
    if window == stride == 1:
        return sight
    if isinstance(sight, _Straight):
        return sight.behind(window, stride)
    return lambda neighbours: sight((neighbours - 1) * stride + window)


def _upsampled(operation: Operation, sight: _Sight) -> _Sight:
    times = max(1, round(operation.output.size[0] / operation.inputs[0].size[0]))
    if times == 1:
        return sight
    extra = 1 if operation.kind == "nearest upsampling" else 2
    # So many neighbours lie within so many of the coarser map, wherever they begin.
    return lambda neighbours: sight((neighbours + times - 2) // times + extra)


def _joined(known: Sequence[_Sight]) -> _Sight:
    first, *others = known
    if not others:
        return first
    straight = [sight for sight in known if isinstance(sight, _Straight)]
    if len(straight) == len(known) and len({sight.jump for sight in straight}) == 1:
        return max(straight, key=lambda sight: sight.side)
    return lambda neighbours: max(sight(neighbours) for sight in known)
