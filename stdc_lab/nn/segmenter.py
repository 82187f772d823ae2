"""`build_model` and `build_classifier`: the only ways from an `ArchSpec` to a network."""

from __future__ import annotations

import copy

from torch import nn

from stdc_lab.arch import ArchSpec
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.families import CLASSIFIERS, SEGMENTERS
from stdc_lab.nn.network import Classifier, Segmenter


def build_model(spec: ArchSpec, num_classes: int, heads: TrainingHeads | None = None) -> Segmenter:
    """The segmentation network of a spec, freshly initialised; with `heads` in its training form.

    Raises `StdcLabError` for fewer than two classes, or a detail head where the family has no features.
    """
    _check_classes(num_classes)
    network = SEGMENTERS[spec.family](spec, num_classes, heads)
    initialise(network)
    return network


def build_classifier(spec: ArchSpec, num_classes: int = 1000) -> Classifier:
    """The classifier of a spec's backbone, freshly initialised: what the released ImageNet weights are of.

    Raises `StdcLabError` for fewer than two classes, or a family that has no classifier.
    """
    _check_classes(num_classes)
    if spec.family not in CLASSIFIERS:
        raise StdcLabError(f"task: got cls, but the family {spec.family} has no classifier; allowed: seg")
    network = CLASSIFIERS[spec.family](spec, num_classes)
    initialise(network)
    return network


def strip_heads(network: Segmenter) -> Segmenter:
    """The deployed network of a training form: a copy with the same weights and logits, without training heads."""
    return copy.deepcopy(deployed_view(network))


def deployed_view(network: Segmenter) -> Segmenter:
    """The deployed network of a training form, of the same layers: it is made at once and follows every step.

    Its mode (training or evaluation) is that of the layers that both have. For a network of its own: `strip_heads`.
    """
    deployed = copy.copy(network)
    deployed._modules = dict(network._modules)  # whose entries are replaced below, for this one alone
    deployed.heads = None
    deployed.auxiliary_heads = nn.ModuleDict()
    deployed.detail_heads = nn.ModuleDict()
    return deployed


def initialise(network: Segmenter | Classifier) -> None:
    """Random weights as the released code draws them.

    Convolutions: Kaiming, by fan-out in the backbone and by fan-in (slope 1) elsewhere. Linear layers: normal with
    standard deviation 0.001. Norms: weight 1, bias 0, which is what they are made with.
    """
    backbone = set(network.backbone.modules())
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.001)
        elif isinstance(module, nn.Conv2d):
            if module in backbone:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            else:
                nn.init.kaiming_normal_(module.weight, a=1)


def _check_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise StdcLabError(f"num_classes: got {num_classes!r}; allowed: a whole number from 2")
