"""What a step changes: parameters by group, the weights of the detail targets, and the average that is evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from stdc_lab.config.training import OptimisationConfig, TrainConfig
from stdc_lab.nn import Classifier, Segmenter
from stdc_lab.training.losses import FUSION_WEIGHTS
from stdc_lab.training.schedule import average_decay_at

Network = TypeVar("Network", bound=nn.Module)


def make_optimiser(
    network: Segmenter | Classifier,
    config: OptimisationConfig,
    fusion_weights: nn.Parameter | None = None,
    fast_rate_factor: float = 1.0,
) -> torch.optim.SGD:
    """SGD with momentum: decay on weights of convolutions and linear layers only.

    fast_rate_factor: the rate of fusion and heads, in multiples of the others'.

    Parameters that `config.norms` excludes are in no group. `fusion_weights`, which no gradient reaches, are decayed
    at the plain rate, as in the released code.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    fast_parts = network.fast_parts() if isinstance(network, Segmenter) else ()
    faster = {id(parameter) for part in fast_parts for parameter in part.parameters()}
    backbone = {id(parameter) for parameter in network.backbone.parameters()}
    for parameter in network.parameters():
        norm = parameter.ndim == 1
        if norm and (config.norms == "frozen" or (config.norms != "trained" and id(parameter) in backbone)):
            continue
        fast = id(parameter) in faster
        groups.setdefault((not norm, fast), []).append(parameter)
    if fusion_weights is not None:
        groups.setdefault((True, False), []).append(fusion_weights)
    return torch.optim.SGD(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decayed else 0.0,
                "lr": config.learning_rate * (fast_rate_factor if fast else 1.0),
            }
            for (decayed, fast), parameters in groups.items()
        ],
        lr=config.learning_rate,
        momentum=config.momentum,
        fused=True,  # one pass over the memory of all parameters
    )


def make_fusion_weights(config: TrainConfig, device: torch.device) -> nn.Parameter | None:
    """The detail targets' weights as a parameter whose gradient is always zero; None if they are fixed."""
    if config.loss.detail_fusion == "fixed" or not config.heads.detail_strides:
        return None
    weights = nn.Parameter(
        torch.tensor([FUSION_WEIGHTS[stride] for stride in config.loss.detail_target_strides], device=device)
    )
    weights.grad = torch.zeros_like(weights)
    return weights


def make_average(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of weights and batch-norm statistics; None without decay.

    The decay grows with the number of updates, see `average_decay_at`; before the first one it is a copy.
    """
    if decay == 0:
        return None

    def average(ema: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        weight = 1 - average_decay_at(int(updates), decay)
        if ema[0].is_floating_point():
            torch._foreach_lerp_(list(ema), list(current), weight)
        else:
            torch._foreach_copy_(list(ema), list(current))

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def set_training(network: nn.Module, config: OptimisationConfig) -> None:
    """Training mode, except for norms that are frozen."""
    network.train()
    if config.norms == "frozen":
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def synchronise_norms(network: Network, config: OptimisationConfig) -> Network:
    """Let batch norms take their statistics from the images of all processes, each on a GPU; gives the network.

    Under `untrained_backbone` those of the backbone stay with their own process's images, as in the released code.
    """
    for name, child in network.named_children():
        if config.norms != "untrained_backbone" or name != "backbone":
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
    return network
