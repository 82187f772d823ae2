"""3×3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4×4, 3×3).

Each tile of 4×4 results and the 6×6 pixels that they depend on are transformed, and so is the kernel, once. Between
the transforms the convolution is a product of matrices at each of 36 points: 36 multiplications for 16 results, where a
direct convolution has 144. The transforms pay when they are compiled into a few passes over memory; run one operation
at a time they cost what they save.

Rounding: a little more than a direct convolution's in float32. In bfloat16 the transforms themselves are computed in
float32, and what is multiplied is rounded: on noise that has five times a direct convolution's error, on what networks
see less. After Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2016), section 4; the points are
not theirs (0, ±1, ±2), which have twice the error.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_CHANNELS = 128
"""With fewer input channels the transforms take as long as the multiplications that they save."""
TILE, POINTS = 4, 6
"""Results in a row of a tile, and the pixels that they depend on."""
Matrix = tuple[tuple[float, ...], ...]


class Transforms(NamedTuple):
    """Of a row of pixels, of a row of the kernel, and back to a row of results; the same again for columns."""

    inputs: Matrix
    kernel: Matrix
    results: Matrix


def interpolating(places: Sequence[Fraction]) -> Transforms:
    """Multiply polynomials by their values at five places and at infinity, transposed (Toom and Cook)."""
    places = list(places)
    whole = [Fraction(1)]  # the polynomial that is zero at all places, lowest power first
    for place in places:
        whole = _times(whole, place)
    inputs, kernel, results = [], [], []
    for place in places:
        others = [Fraction(1)]
        for other in places:
            if other != place:
                others = _times(others, other)
        norm = sum(factor * place**power for power, factor in enumerate(others))
        # A power of two moved from one factor to the other keeps both small, and changes no digit.
        scale = Fraction(2) ** round(math.log2(max(map(abs, others))))
        inputs.append([*(factor / scale for factor in others), Fraction(0)])
        kernel.append([place**power * scale / norm for power in range(3)])
    inputs.append(whole)
    kernel.append([Fraction(0), Fraction(0), Fraction(1)])
    for power in range(TILE):
        results.append([*(place**power for place in places), Fraction(power == TILE - 1)])
    return Transforms(*(tuple(tuple(map(float, row)) for row in matrix) for matrix in (inputs, kernel, results)))


def _times(polynomial: list[Fraction], root: Fraction) -> list[Fraction]:
    """The polynomial times (x − root)."""
    shifted, scaled = [Fraction(0), *polynomial], [*(-root * factor for factor in polynomial), Fraction(0)]
    return [high + low for high, low in zip(shifted, scaled, strict=True)]


TRANSFORMS = interpolating([Fraction(place) for place in (0, "3/4", "-3/4", "3/2", "-3/2")])


@torch.library.custom_op("stdc_lab::with_border", mutates_args=())
def with_border(features: Tensor, right: int, below: int) -> Tensor:
    """N×C×H×W, channels-last → N×(1+H+below)×(1+W+right)×C, zero around. An operation that the compiler does not look
    into: it would compute what the features come from anew for each of the 36 points that read them."""
    return functional.pad(features.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below)).contiguous()


@with_border.register_fake
def _(features: Tensor, right: int, below: int) -> Tensor:
    batch, channels, height, width = features.shape
    return features.new_empty((batch, height + 1 + below, width + 1 + right, channels))


class WinogradConv(nn.Module):
    """A 3×3 convolution of stride 1 and padding 1, computed by tiles. N×C×H×W → N×K×H×W, channels-last."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach()
        kernel = torch.tensor(TRANSFORMS.kernel, dtype=torch.float64, device=weight.device)
        points = torch.einsum("ia,kcab,jb->jick", kernel, weight.double(), kernel)
        points = points.reshape(POINTS**2, weight.shape[1], weight.shape[0])
        self.points = nn.Parameter(points.to(weight.dtype).contiguous(), requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        down, across = -(-height // TILE), -(-width // TILE)
        padded = with_border(features, across * TILE - width + 1, down * TILE - height + 1).float()
        rows = combined(TRANSFORMS.inputs, [padded[:, i : i + TILE * (down - 1) + 1 : TILE] for i in range(POINTS)], 0)
        columns = [rows[:, :, :, j : j + TILE * (across - 1) + 1 : TILE] for j in range(POINTS)]
        tiles = combined(TRANSFORMS.inputs, columns, 0).reshape(POINTS**2, batch * down * across, channels)
        products = torch.bmm(tiles.to(features.dtype), self.points).float()
        products = products.reshape(POINTS, POINTS, batch, down, across, -1)
        results = combined(TRANSFORMS.results, products.unbind(0), 4)
        results = combined(TRANSFORMS.results, results.unbind(0), 2)
        results = results.reshape(batch, down * TILE, across * TILE, -1)[:, :height, :width]
        if self.bias is not None:
            results = results + self.bias
        return results.to(features.dtype).permute(0, 3, 1, 2)


def with_winograd(network: nn.Module) -> nn.Module:
    """A copy whose 3×3 convolutions of stride 1 with enough channels are computed by tiles.

    The kernels are transformed in double precision, from the weights as they are: cast the copy afterwards.
    """
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and suits(child):
                setattr(module, name, WinogradConv(child))
    return copied


def suits(conv: nn.Conv2d) -> bool:
    """Whether a convolution can be computed by tiles, and has enough channels for that to pay."""
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.in_channels >= MIN_CHANNELS


def combined(matrix: Matrix, parts: Sequence[Tensor], dim: int) -> Tensor:
    """One weighted sum of `parts` for each row of the matrix, stacked along a new dimension."""
    sums = []
    for row in matrix:
        terms = [part if factor == 1 else part * factor for factor, part in zip(row, parts, strict=True) if factor]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        sums.append(total)
    return torch.stack(sums, dim)
