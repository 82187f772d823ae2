"""Initial weights: every layer draws its own, from a generator that only the seed and the layer's name decide.

So networks that differ somewhere start equal everywhere else. With training heads or without, in two modules or in
four: a layer of equal name and shape begins with equal weights, and two arms with one seed differ by what they are
compared for.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from stdc_lab.nn.network import Classifier, Segmenter

LINEAR_STD = 0.001


def fresh_seed() -> int:
    """A seed for networks that are given none: one number of torch's global stream, which `torch.manual_seed` sets."""
    return int(torch.randint(2**63 - 1, (), device="cpu"))


def initialise(network: Segmenter | Classifier, seed: int) -> None:
    """Random weights as the released code draws them, each layer's from its own generator, seeded by (seed, name).

    Convolutions: Kaiming, by fan-out in the backbone and by fan-in (slope 1) elsewhere. Linear layers: normal with
    standard deviation 0.001. Biases: 0. Norms: weight 1, bias 0, which is what they are made with. Layers whose shapes
    differ share nothing. All is drawn on the CPU in float32, whatever the network's device and type are; on the meta
    device nothing is.
    """
    backbone = set(network.backbone.modules())
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw(module.weight, _std(module, in_backbone=module in backbone), seed, name)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _std(module: nn.Conv2d | nn.Linear, *, in_backbone: bool) -> float:
    if isinstance(module, nn.Linear):
        return LINEAR_STD
    outputs, inputs, height, width = module.weight.shape
    if in_backbone:
        return math.sqrt(2 / (outputs * height * width))
    return math.sqrt(1 / (inputs * height * width))


def _draw(weight: Tensor, std: float, seed: int, name: str) -> None:
    if weight.is_meta:
        return
    generator = torch.Generator(device="cpu").manual_seed(_layer_seed(seed, name))
    with torch.no_grad():
        if weight.device.type == "cpu" and weight.dtype == torch.float32:
            weight.normal_(std=std, generator=generator)
        else:
            drawn = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
            weight.copy_(drawn.normal_(std=std, generator=generator))


def _layer_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=4).digest(), "little")
