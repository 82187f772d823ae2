"""Counts that others published or would get, of the classifier as the released code has it, and how they come about."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import nn

from stdc_lab.arch import ArchSpec, presets
from stdc_lab.arch.costs import operations
from stdc_lab.arch.graph import Operation, within
from stdc_lab.nn import Classifier
from stdc_lab.profiling.accounting import account, small_operations
from stdc_lab.profiling.counters import by_thop, check_size
from stdc_lab.records import AccountRow, CounterAccount

PUBLISHED: Mapping[str, int] = MappingProxyType({presets["stdc1"].arch_id: 813, presets["stdc2"].arch_id: 1446})
"""The names of the paper's classifiers, in millions, at 224×224 with 1000 classes."""
STAGES = tuple(f"stage {number}" for number in range(1, 6))
COUNTED_TWICE = "stages registered twice: three times more"


def count_released_form(network: nn.Module, size: tuple[int, int]) -> CounterAccount | None:
    """What thop says of a classifier's released form, in which every stage is `features` and has its name; None where
    that is the network itself.

    It hooks a module once for each registration, which doubles its count, and then adds that count up at each of them:
    four times in all. The network is left as it was.
    """
    form = copy.deepcopy(network).released_form() if isinstance(network, Classifier) else None
    if form is None or not isinstance(network, Classifier):
        return None
    check_size(size)
    form = form.to("meta").eval()
    total = by_thop(form, torch.zeros(1, 3, *size, device="meta"))
    done = operations(network.spec, size, network.num_classes, task="cls")
    twice = [operation for operation in done if any(within(operation.part, stage) for stage in STAGES)]
    once = sum(operation.macs for operation in twice) + sum(row.count for row in small_operations("thop", twice))
    more = (_module_pooling(done), AccountRow(name=COUNTED_TWICE, count=3 * once, times=3, elements=once))
    return account("thop", done, total, more=more)


def published_account(spec: ArchSpec, size: tuple[int, int], num_classes: int) -> CounterAccount | None:
    """How the paper's "813M" and "1446M" come about; None for other networks, sizes and classes.

    They are what the rules of ptflops 0.6 give for the released forward pass: versions 0.6.2 and 0.6.9, run on the
    released form with its stages registered once, say 812,817,408 and 1,446,088,704. Seven versions of thop, 0.0.23 to
    0.1.1, say from 810.4 to 819.0 million for STDC1, and none of them 813. Who counted with what, the paper does not
    say. What is left unaccounted is what the names leave out below a million.
    """
    millions = PUBLISHED.get(spec.arch_id)
    if millions is None or (size, num_classes) != ((224, 224), 1000):
        return None
    done = operations(spec, size, num_classes, task="cls")
    return account("ptflops", done, millions * 10**6).replace(rounded_to=10**6)


def _module_pooling(done: tuple[Operation, ...]) -> AccountRow:
    """thop's rule for adaptive pooling as a module: its window and one division for each element that it puts out."""
    (mean,) = (operation for operation in done if operation.kind == "global mean")
    height, width = mean.inputs[0].size
    times, elements = height * width + 1, mean.output.elements
    return AccountRow(name="global pooling", count=times * elements, times=times, elements=elements)
