"""`build_model` and `build_classifier`: the only ways from an `ArchSpec` to a network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from stdc_lab.arch import ArchSpec
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.families import NETWORKS
from stdc_lab.nn.initial_weights import fresh_seed, initialise
from stdc_lab.nn.network import Classifier, FamilySegmenter, Segmenter

Network = TypeVar("Network", bound=Segmenter | Classifier)
AnySegmenter = TypeVar("AnySegmenter", bound=Segmenter)


def build_model(
    spec: ArchSpec, num_classes: int, heads: TrainingHeads | None = None, *, seed: int | None = None
) -> FamilySegmenter:
    """The segmentation network of a spec, freshly initialised; with `heads` in its training form.

    seed: of the initial weights, of which networks share every layer of equal name and shape (see `initialise`);
    without one it is drawn from torch's global stream. Raises `StdcLabError` for fewer than two classes, or a detail
    head where the family has no features.
    """
    _check_classes(num_classes)
    segmenter, _ = NETWORKS[spec.family]
    return _built(lambda: segmenter(spec, num_classes, heads), seed)


def build_classifier(spec: ArchSpec, num_classes: int = 1000, *, seed: int | None = None) -> Classifier:
    """The classifier of a spec's backbone, freshly initialised: what the released ImageNet weights are of.

    seed: see `build_model`. Raises `StdcLabError` for fewer than two classes, or a family that has no classifier.
    """
    _check_classes(num_classes)
    _, classifier = NETWORKS[spec.family]
    if classifier is None:
        raise StdcLabError(f"task: got cls, but the family {spec.family} has no classifier; allowed: seg")
    return _built(lambda: classifier(spec, num_classes), seed)


def _built(make: Callable[[], Network], seed: int | None) -> Network:
    """A network made and initialised. What torch's layers draw when they are made is of no use, and leaves the global
    stream as it was: what is drawn from it later does not depend on the network."""
    seed = fresh_seed() if seed is None else seed
    with torch.random.fork_rng(devices=[]):
        network = make()
    initialise(network, seed)
    return network


def strip_heads(network: AnySegmenter) -> AnySegmenter:
    """The deployed network of a training form: a copy with the same weights and logits, without training heads."""
    return copy.deepcopy(deployed_view(network))


def deployed_view(network: AnySegmenter) -> AnySegmenter:
    """The deployed network of a training form, of the same layers: it is made at once and follows every step.

    Its mode (training or evaluation) is that of the layers that both have. For a network of its own: `strip_heads`.
    """
    deployed = copy.copy(network)
    deployed._modules = dict(network._modules)  # whose entries are replaced below, for this one alone
    deployed.heads = None
    deployed.auxiliary_heads = nn.ModuleDict()
    deployed.detail_heads = nn.ModuleDict()
    return deployed


def _check_classes(num_classes: int) -> None:
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
        raise StdcLabError(f"num_classes: got {num_classes!r}; allowed: a whole number from 2")
