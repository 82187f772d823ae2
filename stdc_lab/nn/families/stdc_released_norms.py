"""The released decoder's norms, which scale by |weight| + eps, and ours, which scale by the weight.

Outside its backbone the released segmenter has `InPlaceABNSync`, whose CPU and CUDA code take a weight's absolute value
and add eps to it; its backbone and its classifier have plain norms. So a weight means one thing in a released file and
another in a network of ours, and both ways between them go through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

RELEASED_EPS = 1e-5
"""What `InPlaceABNSync` adds to |weight|, in float32."""


def as_ours(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the norms outside the backbone as scales: |weight| + eps, as the released code computes it.

    state: of a released file, under our names. Only what changes is returned. A norm's sign is lost: it has none there.
    """
    weights = (f"{layer}.bn.weight" for layer in _layers(network))
    return {name: state[name].float().abs() + RELEASED_EPS for name in weights}


def as_released(network: nn.Module) -> dict[str, Tensor]:
    """Tensors of the layers outside the backbone that give the same outputs where norms scale by |weight| + eps.

    A weight γ becomes |γ| − eps, and where γ is negative the convolution's output channel and the running mean change
    their signs. A released norm cannot scale by less than eps: where |γ| < eps its weight is 0, and channel and mean
    are multiplied by γ / eps, which for a γ of 0 makes them 0. Outputs are the same there too, with the running
    statistics; a training that goes on in the released code starts these channels at a scale of eps.

    Only what may change is returned, under our names.
    """
    own, changed = network.state_dict(), {}
    for layer in _layers(network):
        kernel, mean, gamma = (f"{layer}.{part}" for part in ("conv.weight", "bn.running_mean", "bn.weight"))
        eps = torch.full_like(own[gamma], RELEASED_EPS)
        factor = torch.where(own[gamma].abs() < eps, own[gamma] / eps, own[gamma].sign())
        changed[kernel] = own[kernel] * factor.view(-1, 1, 1, 1)
        changed[mean] = own[mean] * factor
        changed[gamma] = (own[gamma].abs() - eps).clamp(min=0)
    return changed


def _layers(network: nn.Module) -> Iterator[str]:
    """Names of a segmenter's convolutions with a norm outside the backbone; none of a classifier, which is one."""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and not name.startswith("backbone."):
            yield name.removesuffix(".bn")
