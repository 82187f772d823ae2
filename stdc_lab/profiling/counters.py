"""Multiply-accumulates by several counters, side by side: they agree on convolutions only.

theory: convolutions and linear layers in closed form, from the spec alone (`arch.theory`).
torch: `torch.utils.flop_counter`, two for each multiply-accumulate of convolutions and linear layers; halved here.
fvcore: adds two for each batch-norm element, one for each globally pooled element and four for each
    bilinearly interpolated one; sees nothing in element-wise sums and products.
thop: batch norm, ReLU and pooling modules by rules of its own; nothing that is a function rather than a module.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stdc_lab.arch import total_cost
from stdc_lab.nn import StdcSegmenter
from stdc_lab.records import MacCounters

FLOPS_PER_MAC = 2


class InferenceGraph(nn.Module):
    """The network as counters and timers see it: images in, main logits out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images).logits
        return logits


@dataclass(frozen=True)
class Counted:
    """All counters' answers, and what each of them met and did not count."""

    counters: MacCounters
    not_counted: dict[str, dict[str, int]]


def count_macs(network: StdcSegmenter, size: tuple[int, int]) -> Counted:
    """Count an inference network on the CPU, one image of `size` (height x width).

    The network is left as it was: counters that add buffers or hooks get a copy, and those that can count
    without computing get it on the meta device.
    """
    images = torch.zeros(1, 3, *size)
    graph = InferenceGraph(network).eval()
    theory = total_cost(network.spec, size, network.num_classes).macs
    sketch, shape = copy.deepcopy(graph).to("meta"), images.to("meta")
    fvcore, unseen = _by_fvcore(graph, images)
    counters = MacCounters(theory=theory, fvcore=fvcore, thop=_by_thop(sketch, shape), torch=_by_torch(sketch, shape))
    return Counted(counters, {"fvcore": unseen} if unseen else {})


def _by_torch(graph: nn.Module, images: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(images)
    return int(counter.get_total_flops()) // FLOPS_PER_MAC


def _by_fvcore(graph: nn.Module, images: Tensor) -> tuple[int, dict[str, int]]:
    with warnings.catch_warnings():
        # fvcore is not maintained: it reaches for parts of torch that warn of their end.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(graph, images)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total()), dict(analysis.unsupported_ops())


def _by_thop(graph: nn.Module, images: Tensor) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import thop

        macs, _parameters = thop.profile(graph, inputs=(images,), verbose=False)
    return int(macs)
