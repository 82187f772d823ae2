"""3×3 convolutions with fewer multiplications: Winograd's minimal filtering, F(2×2, 3×3) and F(4×4, 3×3).

Each tile of results and the pixels that they depend on are transformed, and so is the kernel, once. Between the
transforms the convolution is a product of matrices at each of a few points: with tiles of 4×4, 36 multiplications for
16 results, where a direct convolution has 144; with tiles of 2×2, 16 for 4 instead of 36. The transforms pay when they
are compiled into a few passes over memory; run one operation at a time they cost what they save.

Rounding: in float32 tiles of 4×4 have about five times the error of a direct convolution. In bfloat16 they are of no
use (eight times), and tiles of 2×2 have not quite twice the error. After Lavin and Gray, *Fast Algorithms for
Convolutional Neural Networks* (2016), section 4.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MIN_CHANNELS = {2: 256, 4: 64}
"""By tile: with fewer input channels the transforms take as long as the multiplications that they save."""
Matrix = tuple[tuple[float, ...], ...]


class Transforms(NamedTuple):
    """Of a row of pixels, of a row of the kernel, and back to a row of results; the same again for columns."""

    inputs: Matrix
    kernel: Matrix
    results: Matrix


TRANSFORMS = {
    # Interpolation at 0, 1, −1 and infinity.
    2: Transforms(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
        kernel=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
        results=((1, 1, 1, 0), (0, 1, -1, 1)),
    ),
    # Interpolation at 0, 1, −1, 2, −2 and infinity.
    4: Transforms(
        inputs=(
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        kernel=(
            (1 / 4, 0, 0),
            (-1 / 6, -1 / 6, -1 / 6),
            (-1 / 6, 1 / 6, -1 / 6),
            (1 / 24, 1 / 12, 1 / 6),
            (1 / 24, -1 / 12, 1 / 6),
            (0, 0, 1),
        ),
        results=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    ),
}


class WinogradConv(nn.Module):
    """A 3×3 convolution of stride 1 and padding 1, computed by tiles. N×C×H×W → N×K×H×W, channels-last."""

    def __init__(self, conv: nn.Conv2d, tile: int) -> None:
        super().__init__()
        self.tile = tile
        weight = conv.weight.detach()
        kernel = torch.tensor(TRANSFORMS[tile].kernel, dtype=torch.float64, device=weight.device)
        points = torch.einsum("ia,kcab,jb->jick", kernel, weight.double(), kernel)
        points = points.reshape(len(kernel) ** 2, weight.shape[1], weight.shape[0])
        self.points = nn.Parameter(points.to(weight.dtype).contiguous(), requires_grad=False)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach(), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        tile, transforms = self.tile, TRANSFORMS[self.tile]
        points = tile + 2
        batch, channels, height, width = features.shape
        down, across = -(-height // tile), -(-width // tile)
        padded = functional.pad(features, (1, across * tile - width + 1, 1, down * tile - height + 1))
        padded = padded.permute(0, 2, 3, 1)
        rows = combined(transforms.inputs, [padded[:, i : i + tile * (down - 1) + 1 : tile] for i in range(points)], 0)
        columns = [rows[:, :, :, j : j + tile * (across - 1) + 1 : tile] for j in range(points)]
        tiles = combined(transforms.inputs, columns, 0).reshape(points * points, batch * down * across, channels)
        products = torch.bmm(tiles, self.points).reshape(points, points, batch, down, across, -1)
        results = combined(transforms.results, products.unbind(0), 4)
        results = combined(transforms.results, results.unbind(0), 2)
        results = results.reshape(batch, down * tile, across * tile, -1)[:, :height, :width]
        if self.bias is not None:
            results = results + self.bias
        return results.permute(0, 3, 1, 2)


def with_winograd(network: nn.Module, tile: int = 4) -> nn.Module:
    """A copy whose 3×3 convolutions of stride 1 with enough channels are computed by tiles of `tile`×`tile` (2 or 4).

    The kernels are transformed in double precision, from the weights as they are: cast the copy afterwards.
    """
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and suits(child, tile):
                setattr(module, name, WinogradConv(child, tile))
    return copied


def suits(conv: nn.Conv2d, tile: int) -> bool:
    """Whether a convolution can be computed by tiles, and has enough channels for that to pay."""
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups)
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1) and conv.in_channels >= MIN_CHANNELS[tile]


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
