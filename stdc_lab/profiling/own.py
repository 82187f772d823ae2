"""What a user's own network costs, counted as it runs: no theory knows it."""

from __future__ import annotations

import copy
from contextlib import suppress

import torch

from stdc_lab.deploy.graph import Logits
from stdc_lab.nn import OwnSegmenter
from stdc_lab.profiling.counters import FLOPS_PER_MAC, by_fvcore, by_thop, by_torch, check_size
from stdc_lab.records import MacCounters, ProfileResult, StageCost


def count_own(network: OwnSegmenter, size: tuple[int, int]) -> ProfileResult:
    """A profile that needs no clock: parameters, and MACs as PyTorch's counter finds them on one image.

    Feature maps are not counted. A counter that the network defeats has no answer (fvcore traces it, thop hooks its
    modules). Raises `StdcLabError` for a size that no network takes.
    """
    check_size(size)
    graph, images = Logits(network).eval(), torch.zeros(1, 3, *size)
    graph = copy.deepcopy(graph).cpu()
    macs = by_torch(graph, images) // FLOPS_PER_MAC
    fvcore = thop = None
    missed: dict[str, int] = {}
    with suppress(Exception):
        fvcore, missed = by_fvcore(graph, images)
    with suppress(Exception):
        thop = by_thop(copy.deepcopy(graph), images)
    with torch.inference_mode():
        logits = network.encode(images.to(next(network.parameters(), images).device)).logits
    num_params = sum(weights.numel() for weights in network.parameters())
    height, width = logits.shape[2:]
    return ProfileResult(
        network=network.path,
        arch=None,
        arch_id=None,
        num_classes=network.num_classes,
        size=size,
        num_params=num_params,
        macs=macs,
        counters=MacCounters(fvcore=fvcore, thop=thop, torch=macs),
        not_counted={"fvcore": missed},
        stages=tuple(
            StageCost(
                name=name,
                output_channels=network.num_classes,
                output_size=(height, width),
                num_params=num_params,
                macs=macs,
            )
            for name in network.parts()
        ),
    )
