"""The deployed network rewritten to cost less and answer the same, up to rounding."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stdc_lab.nn.blocks import ConvBN, ConvBNReLU, Smoothing


def folded(network: nn.Module, images: Tensor | None = None, *, merge_doubling: bool = True) -> nn.Module:
    """A copy in evaluation mode whose batch norms are folded into the convolutions before them.

    With `merge_doubling` nearest upsampling to twice the size and the 3×3 convolution after it are one transposed
    convolution, which has four ninths of the multiplications. A network that is not ours is run on the `images`, to see
    which norm follows which convolution; without images it comes back as it is.
    """
    copied = copy.deepcopy(network).eval()
    ours = any(isinstance(module, ConvBN | ConvBNReLU) for module in copied.modules())
    if not ours and images is not None:
        _fold_as_it_runs(copied, images)
    for module in copied.modules():
        if isinstance(module, ConvBN | ConvBNReLU):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = nn.Identity()  # type: ignore[assignment]
    if merge_doubling:
        for module in list(copied.modules()):
            for name, child in module.named_children():
                if isinstance(child, Smoothing) and child.interpolation == "nearest":
                    setattr(module, name, MergedSmoothing(child))
    return copied


class MergedSmoothing(nn.Module):
    """`Smoothing` without its enlarged map, where that has twice the size; elsewhere as it was.

    Of an enlarged map the 3×3 kernel sees every pixel twice or four times: what falls on one pixel can be added
    before multiplying. Over the small map that is a 4×4 kernel of stride 2, of which each result sees 2×2 pixels.
    """

    def __init__(self, smoothing: Smoothing) -> None:
        super().__init__()
        self.smoothing = smoothing
        weight = smoothing.conv.weight.detach()
        self.weight = nn.Parameter(doubling_kernel(weight), requires_grad=False)

    def forward(self, features: Tensor, like: Tensor) -> Tensor:
        if (like.shape[2], like.shape[3]) != (2 * features.shape[2], 2 * features.shape[3]):
            plain: Tensor = self.smoothing(features, like)
            return plain
        bias = self.smoothing.conv.bias
        return functional.relu(functional.conv_transpose2d(features, self.weight, bias, stride=2, padding=1))


def _fold_as_it_runs(network: nn.Module, images: Tensor) -> None:
    """Fold every norm whose input is what a convolution put out, where both run once: shared ones stay."""
    written: list[tuple[nn.Conv2d, Tensor]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def conv_ran(conv: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        written.append((conv, output))

    def norm_runs(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        pairs.extend((conv, norm) for conv, output in written if output is inputs[0])

    handles = [one.register_forward_hook(conv_ran) for one in network.modules() if isinstance(one, nn.Conv2d)]
    handles += [
        one.register_forward_pre_hook(norm_runs) for one in network.modules() if isinstance(one, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(images[:1].to(next(network.parameters(), images).device))
    for handle in handles:
        handle.remove()
    runs = Counter(id(conv) for conv, _ in written) + Counter(id(norm) for _, norm in pairs)
    pairs = [(conv, norm) for conv, norm in pairs if runs[id(conv)] == runs[id(norm)] == 1]
    for conv, norm in pairs:
        fused = fuse_conv_bn_eval(conv, norm)
        conv.weight, conv.bias = fused.weight, fused.bias
    done = {id(norm) for _, norm in pairs}
    for module in list(network.modules()):
        for name, child in module.named_children():
            if id(child) in done:
                setattr(module, name, nn.Identity())


def doubling_kernel(weight: Tensor) -> Tensor:
    """Out×in×3×3 after nearest doubling → in×out×4×4 of the transposed convolution (stride 2, padding 1)."""
    flipped = weight.flip(2, 3).transpose(0, 1).contiguous()
    # Each small pixel is two in a row: its kernel is the sum of the 3×3 kernel and the same shifted by one.
    rows = functional.pad(flipped, (0, 0, 0, 1)) + functional.pad(flipped, (0, 0, 1, 0))
    return functional.pad(rows, (0, 1)) + functional.pad(rows, (1, 0))


def settle_norms(network: nn.Module, images: Tensor) -> None:
    """Give untrained batch norms the statistics of these images, so that activations have the size they have in use.

    Fresh norms divide by 1 whatever comes in, and values shrink or grow from layer to layer: no network to compare
    rounding on. At least two images; the network is left in evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the calls, of which there is one
    with torch.no_grad():
        network.train()(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
