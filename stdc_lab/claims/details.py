"""What detail guidance does and costs: how the target's strides are fused, and what of it is left when deployed."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from stdc_lab.arch import preset, total_cost
from stdc_lab.config.training import OptimisationConfig, TrainingHeads
from stdc_lab.data import IGNORE_LABEL, render_scene
from stdc_lab.nn import build_model, strip_heads
from stdc_lab.training.losses import FUSION_WEIGHTS, THRESHOLD, detail_loss, detail_targets
from stdc_lab.training.schedule import rate_at

STRIDES = tuple(FUSION_WEIGHTS)
THRESHOLD_32 = torch.tensor(THRESHOLD)
"""In float32, in which 0.1 is not above it."""
RECIPE = OptimisationConfig(
    iterations=60_000, batch_size=48, learning_rate=0.01, momentum=0.9, weight_decay=5e-4, warmup_iterations=1000
)
"""The released training on Cityscapes."""
SIZE = (96, 128)
CLASSES = 19


def fusion_gradient() -> dict[str, float]:
    """How the released detail target fuses the edges that it sees at strides 1, 2 and 4.

    largest_gradient: of the loss by the three weights, through both thresholds. largest_gradient_without_thresholds:
    the same where the fused edges themselves are the target. same_targets: whether what was differentiated is the
    target that training uses. combinations_stride_4_decides: of the eight ways in which a pixel may be an edge at the
    three strides, how many count only because of stride 4, at the first weights. pixels_stride_4_decides: the pixels of
    drawn label maps of which that is true, among pixels_seen_at_stride_4_only. weight_left_share: what weight decay
    leaves of each weight at the end of the released training. combinations_changed_by_decay: how many of the eight then
    have another outcome.
    """
    labels = _label_maps()
    edges = _edges(labels)
    weights = nn.Parameter(_first_weights())
    logits = torch.randn(len(labels), 1, SIZE[0] // 8, SIZE[1] // 8, generator=_generator())
    fused = _fuse(edges, weights)
    target = _thresholded(fused)
    only_4 = (edges[:, 2:] > 0) & (edges[:, :2].sum(1, keepdim=True) == 0)
    every = torch.tensor(list(product((0.0, 1.0), repeat=3))).reshape(8, 3, 1, 1)
    left = weight_left(RECIPE)
    return {
        "largest_gradient": _largest_gradient(logits, target, weights),
        "largest_gradient_without_thresholds": _largest_gradient(logits, fused, weights),
        "same_targets": torch.equal(target.detach(), detail_targets(labels, weights=_first_weights())),
        "combinations_stride_4_decides": _decided_by_stride_4(every),
        "pixels_stride_4_decides": _decided_by_stride_4(edges),
        "pixels_seen_at_stride_4_only": int(only_4.sum()),
        "weight_left_share": left,
        "combinations_changed_by_decay": _changed(every, _first_weights(), left * _first_weights()),
    }


def deployed_cost() -> dict[str, float]:
    """What detail guidance leaves in the network that is deployed.

    same_arch_id: whether it has the identity of a network without. same_operations: whether it runs the same
    operations on the same shapes, in the same order. largest_logit_difference: of equal first weights, on noise.
    params_added: when deployed; params_added_in_training, training_macs_added_share: by the head at 1/8 while training.
    released_macs_share: what the released network costs in inference, which runs all of its training heads, in
    multiples of the deployed one.
    """
    spec = preset("stdc1")
    with_details, without = (
        build_model(spec, CLASSES, heads, seed=0) for heads in (TrainingHeads(), TrainingHeads(detail_strides=()))
    )
    deployed, plain = strip_heads(with_details).eval(), strip_heads(without).eval()
    images = torch.randn(1, 3, *SIZE, generator=_generator())
    logits, operations = [], []
    for network in (deployed, plain):
        with _Operations() as seen, torch.no_grad():
            logits.append(network(images).logits)
        operations.append(seen.names)
    trained, alone = (
        total_cost(spec, num_classes=CLASSES, auxiliary=True, detail_strides=strides).macs for strides in ([8], [])
    )
    released = total_cost(spec, num_classes=CLASSES, auxiliary=True, detail_strides=(2, 4, 8, 16)).macs
    return {
        "same_arch_id": deployed.spec.arch_id == plain.spec.arch_id,
        "same_operations": operations[0] == operations[1],
        "largest_logit_difference": float((logits[0] - logits[1]).abs().max()),
        "params_added": _num_params(deployed) - _num_params(plain),
        "params_added_in_training": _num_params(with_details) - _num_params(without),
        "training_macs_added_share": trained / alone - 1,
        "released_macs_share": released / total_cost(spec, num_classes=CLASSES).macs,
        "operations_compared": len(operations[0]),
    }


def weight_left(config: OptimisationConfig) -> float:
    """What decay alone leaves of a weight of 1 that no gradient reaches, after a training by SGD with momentum."""
    weight, velocity = 1.0, 0.0
    for iteration in range(config.iterations):
        velocity = config.momentum * velocity + config.weight_decay * weight
        weight -= config.learning_rate * rate_at(iteration, config) * velocity
    return weight


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what PyTorch runs: operations and the shapes of their tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[tuple[str, tuple[tuple[int, ...], ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shapes = tuple(tuple(value.shape) for value in args if isinstance(value, Tensor))
        self.names.append((str(func), shapes))
        return func(*args, **(kwargs or {}))


def _label_maps() -> Tensor:
    """Label maps to look for edges in: drawn streets, and patches and single pixels of random classes, some ignored."""
    streets = [torch.from_numpy(render_scene(0, index, *SIZE)[1]).long() for index in range(4)]
    generator = _generator()
    patches = []
    for side in (1, 2, 3, 5, 8, 16):
        cells = torch.randint(CLASSES, (1, 1, SIZE[0] // side + 1, SIZE[1] // side + 1), generator=generator)
        ignored = torch.rand(cells.shape, generator=generator) < 0.05
        large = cells.masked_fill(ignored, IGNORE_LABEL).float().repeat_interleave(side, 2).repeat_interleave(side, 3)
        patches.append(large[0, 0, : SIZE[0], : SIZE[1]].long())
    return torch.stack([*streets, *patches])


def _edges(labels: Tensor) -> Tensor:
    """N×H×W labels → N×3×H×W: 1 where the released Laplacian responds at strides 1, 2, 4, at full size."""
    kernel = -torch.ones(1, 1, 3, 3)
    kernel[..., 1, 1] = 8
    maps = []
    for stride in STRIDES:
        response = functional.conv2d(labels.unsqueeze(1).float(), kernel, stride=stride, padding=1).clamp(min=0)
        maps.append((functional.interpolate(response, size=SIZE, mode="nearest") > THRESHOLD).float())
    return torch.cat(maps, dim=1)


def _first_weights() -> Tensor:
    return torch.tensor(list(FUSION_WEIGHTS.values()))


def _fuse(edges: Tensor, weights: Tensor) -> Tensor:
    """The 1×1 convolution over the strides: N×3×H×W → N×1×H×W."""
    return functional.conv2d(edges, weights.reshape(1, -1, 1, 1))


def _thresholded(fused: Tensor) -> Tensor:
    """1 above the threshold and 0 elsewhere, written into the map as the released code does, so that it has a graph."""
    above = fused > THRESHOLD_32
    return fused.masked_fill(above, 1.0).masked_fill(~above, 0.0)


def _largest_gradient(logits: Tensor, target: Tensor, weights: nn.Parameter) -> float:
    bce, dice = detail_loss(logits, target)
    (gradient,) = torch.autograd.grad(bce + dice, weights, retain_graph=True)
    return float(gradient.abs().max())


def _decided_by_stride_4(edges: Tensor) -> int:
    """How many pixels have another outcome where stride 4 sees nothing."""
    weights = _first_weights()
    blind = weights * torch.tensor([1.0, 1.0, 0.0])
    return _changed(edges, weights, blind)


def _changed(edges: Tensor, before: Tensor, after: Tensor) -> int:
    return int((_thresholded(_fuse(edges, before)) != _thresholded(_fuse(edges, after))).sum())


def _num_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
