"""Classifiers of others that STDC is compared with, through the extra `baselines`: the same input, the same counters.

They come from the library transformers, with fresh weights and as it builds them; ResNet-50 has the stride of its
bottlenecks in their 3×3 convolutions, as is usual now (4.09 GMACs at 224×224; the first form had 3.86).
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from stdc_lab.errors import StdcLabError
from stdc_lab.profiling.counters import FLOPS_PER_MAC, check_size, totals
from stdc_lab.records import MacCounters, ProfileResult, StageCost

EXTRA = "baselines"
CLASSES = 1000
CLASSES_PART = "classes"


def _resnet(widths: list[int], depths: list[int], layer: str, classes: int) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=64, hidden_sizes=widths, depths=depths, layer_type=layer, num_labels=classes)
    network: nn.Module = ResNetForImageClassification(config)
    return network


def _resnet18(classes: int) -> nn.Module:
    return _resnet([64, 128, 256, 512], [2, 2, 2, 2], "basic", classes)


def _resnet50(classes: int) -> nn.Module:
    return _resnet([256, 512, 1024, 2048], [3, 4, 6, 3], "bottleneck", classes)


def _mobilenetv2(classes: int) -> nn.Module:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    network: nn.Module = MobileNetV2ForImageClassification(MobileNetV2Config(tf_padding=False, num_labels=classes))
    return network


def _efficientnet_b0(classes: int) -> nn.Module:
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(
        width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, dropout_rate=0.2, num_labels=classes
    )
    network: nn.Module = EfficientNetForImageClassification(config)
    return network


BASELINES: MappingProxyType[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        "resnet18": _resnet18,
        "resnet50": _resnet50,
        "mobilenetv2": _mobilenetv2,
        "efficientnet_b0": _efficientnet_b0,
    }
)


def build_baseline(name: str, num_classes: int = CLASSES) -> nn.Module:
    """A baseline by name, in evaluation mode; images to an output that has `logits`. Raises `StdcLabError`."""
    if name not in BASELINES:
        raise StdcLabError(f"baseline: got {name!r}; allowed: {', '.join(BASELINES)}")
    if importlib.util.find_spec("transformers") is None:
        raise StdcLabError(f"{name}: transformers is not installed: pip install 'stdc_lab[{EXTRA}]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BASELINES[name](num_classes).eval()


@dataclass
class Stage:
    """What runs at one stride: all layers whose maps have it. `first` is where it begins."""

    first: nn.Module
    output: tuple[int, ...] = ()
    num_params: int = 0
    macs: int = 0
    activations: int = 0


def stages_of(network: nn.Module, size: tuple[int, int]) -> dict[str, Stage]:
    """The layers of a classifier in the order in which they run, by the stride of what they put out.

    `stage 1` has stride 2 … `stage 5` 32, as in STDC; linear layers are `classes`. A layer that sees one pixel, such
    as a gate after a global mean, belongs to the stage before it. Weights are counted where they run first.
    """
    stages: dict[str, Stage] = {}
    seen: set[int] = set()

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        where = _stage(layer, inputs[0], output, size, list(stages))
        stage = stages.setdefault(where, Stage(layer))
        if id(layer) not in seen:
            seen.add(id(layer))
            stage.num_params += sum(weights.numel() for weights in layer.parameters())
        if isinstance(layer, nn.Conv2d | nn.Linear):
            stage.macs += output.numel() * layer.weight[0].numel()
            stage.activations += output.numel()
            if not _sees_one_pixel(inputs[0]) or not stage.output:
                stage.output = tuple(output.shape[1:])

    layers = [layer for layer in network.modules() if list(layer.parameters(recurse=False))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 3, *size, device=next(network.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return stages


def count_baseline(name: str, network: nn.Module, size: tuple[int, int]) -> ProfileResult:
    """What a baseline costs on one image: multiply-accumulates from the shapes that its layers meet, and counters.

    Theory knows nothing of it, so nobody accounts for what counters say more or less. Raises `StdcLabError`.
    """
    check_size(size)
    stages = stages_of(network, size)
    found = totals(network, size)
    return ProfileResult(
        network=name,
        arch=None,
        arch_id=None,
        task="cls",
        num_classes=stages[CLASSES_PART].output[0],
        size=size,
        num_params=sum(weights.numel() for weights in network.parameters()),
        macs=sum(stage.macs for stage in stages.values()),
        activations=sum(stage.activations for stage in stages.values()),
        counters=MacCounters(fvcore=found.fvcore, thop=found.thop, torch=found.torch_flops // FLOPS_PER_MAC),
        not_counted={"fvcore": found.fvcore_unsupported},
        stages=tuple(_cost(stage, one) for stage, one in stages.items()),
    )


def parts_of_baseline(network: nn.Module, size: tuple[int, int]) -> dict[str, nn.Module]:
    """Where the parts of a baseline begin, by their names, for a watch on the clock."""
    return {name: stage.first for name, stage in stages_of(network, size).items()}


def _stage(layer: nn.Module, seen: Tensor, output: Tensor, size: tuple[int, int], stages: list[str]) -> str:
    if isinstance(layer, nn.Linear):
        return CLASSES_PART
    if _sees_one_pixel(seen):
        return stages[-1]
    return f"stage {round(math.log2(size[0] / output.shape[2]))}"


def _sees_one_pixel(seen: Tensor) -> bool:
    return max(seen.shape[2:], default=0) == 1


def _cost(name: str, stage: Stage) -> StageCost:
    channels, *sides = stage.output
    return StageCost(
        name=name,
        output_channels=channels,
        output_size=(sides[0], sides[1]) if len(sides) == 2 else (1, 1),
        num_params=stage.num_params,
        macs=stage.macs,
        activations=stage.activations,
    )
