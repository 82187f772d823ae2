"""Multiply-accumulates by several counters, side by side: they agree on convolutions only.

theory: convolutions and linear layers from the spec alone (`arch.costs`).
torch: `torch.utils.flop_counter`, two for each multiply-accumulate of convolutions and linear layers.
fvcore, thop: the same layers, and some other operations by rules of their own.

`accounting` says by name why their answers differ.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stdc_lab.arch.costs import operations
from stdc_lab.arch.graph import Operation
from stdc_lab.deploy.graph import Logits
from stdc_lab.errors import StdcLabError
from stdc_lab.nn import Classifier, FamilySegmenter
from stdc_lab.profiling.accounting import account, unseen_functions
from stdc_lab.records import CounterAccount, MacCounters

FLOPS_PER_MAC = 2
MIN_SIDE = 32


@dataclass(frozen=True)
class Counted:
    """All counters' answers, what each is made of, and what each of them met and did not count."""

    counters: MacCounters
    accounts: tuple[CounterAccount, ...] = ()
    not_counted: dict[str, dict[str, int]] = field(default_factory=dict)


class Totals(NamedTuple):
    """As the counters report them; fvcore also says which operations it has no rule for, and how often."""

    torch_flops: int
    thop: int
    fvcore: int
    fvcore_unsupported: dict[str, int]


def count_macs(network: FamilySegmenter | Classifier, size: tuple[int, int]) -> Counted:
    """Count a network on the CPU, one image of `size` (height x width), the main logits returned.

    The network is left as it was: counters that need not compute get a copy on the meta device.
    Raises `StdcLabError` for a size that no network takes.
    """
    check_size(size)
    done = operations_of(network, size)
    theory = sum(operation.macs for operation in done)
    found = totals(network, size)
    return Counted(
        MacCounters(theory=theory, fvcore=found.fvcore, thop=found.thop, torch=found.torch_flops // FLOPS_PER_MAC),
        (
            account("torch", done, found.torch_flops),
            account("fvcore", done, found.fvcore, dropped=_training_heads(network)),
            account("thop", done, found.thop),
        ),
        {"fvcore": found.fvcore_unsupported, "thop": unseen_functions(done)},
    )


def totals(network: nn.Module, size: tuple[int, int]) -> Totals:
    """What the counters report of any network of images; it is left as it was."""
    images = torch.zeros(1, 3, *size)
    graph = Logits(network).eval()
    sketch, shape = copy.deepcopy(graph).to("meta"), images.to("meta")
    flops, thop = by_torch(sketch, shape), by_thop(sketch, shape)
    return Totals(flops, thop, *by_fvcore(graph, images))


def operations_of(network: FamilySegmenter | Classifier, size: tuple[int, int]) -> tuple[Operation, ...]:
    """What a network runs for one image, by theory: all its training heads included."""
    heads = network.heads if isinstance(network, FamilySegmenter) else None
    task: Literal["seg", "cls"] = "seg" if isinstance(network, FamilySegmenter) else "cls"
    if heads is None:
        return operations(network.spec, size, network.num_classes, task=task)
    return operations(
        network.spec, size, network.num_classes, auxiliary=heads.auxiliary, detail_strides=heads.detail_strides
    )


def check_size(size: Sequence[Any]) -> None:
    """Raises `StdcLabError` unless `size` is a height and a width from 32 pixels, the stride of the last stage."""
    numbers = len(size) == 2 and all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    if not numbers or min(size) < MIN_SIDE:
        raise StdcLabError(f"size: got {size!r}; allowed: height and width, whole numbers from {MIN_SIDE}")


def _training_heads(network: FamilySegmenter | Classifier) -> tuple[str, ...]:
    """The paths of the heads whose output is not the main logits."""
    if not isinstance(network, FamilySegmenter) or network.heads is None:
        return ()
    auxiliary = tuple(f"auxiliary head at 1/{stride}" for stride in network.auxiliary_heads)
    return auxiliary + tuple(f"detail head at 1/{stride}" for stride in network.detail_heads)


def by_torch(graph: nn.Module, images: Tensor) -> int:
    """PyTorch's count, in FLOPs."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        graph(images)
    return int(counter.get_total_flops())


def by_fvcore(graph: nn.Module, images: Tensor) -> tuple[int, dict[str, int]]:
    """fvcore's count, and which operations it has no rule for, and how often."""
    with warnings.catch_warnings():
        # fvcore is not maintained: it reaches for parts of torch that warn of their end.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(graph, images)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total()), dict(analysis.unsupported_ops())


def by_thop(graph: nn.Module, images: Tensor) -> int:
    """thop's count; it leaves hooks and buffers in the network, so give it a copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import thop

        macs, _parameters = thop.profile(graph, inputs=(images,), verbose=False)
    return int(macs)
