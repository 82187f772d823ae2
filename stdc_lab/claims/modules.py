"""What an STDC module and its networks have: weights, multiply-accumulates, receptive fields (section 3.1)."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor, nn

from stdc_lab.arch import ArchSpec, preset, total_cost
from stdc_lab.arch.costs import module_weights, operations
from stdc_lab.arch.graph import within
from stdc_lab.arch.receptive_field import receptive_fields
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.profiling.accounting import small_operations

INPUTS, OUTPUTS, BLOCKS = (16, 64, 256, 1024), (64, 256, 512, 1024), (2, 3, 4, 5, 6)
"""M, N and n that the formula is tried on: all combinations."""
ENDLESS = 64
"""So many blocks that the formula has reached its limit."""
IMAGENET, CLASSES = (224, 224), 1000
ROWS = 64
"""Of the map that receptive fields are looked for on; the largest sees 15."""


def parameter_formula() -> dict[str, float]:
    """The formula against the convolution weights of modules as built, and how it depends on the number of blocks.

    largest_error_weights: the largest distance of the two. saved_beyond_4_share: what more blocks without end would
    save of a module with four, at most over M and N. saving_ratio: what one block more saves, over what the one before
    it saved, at most.
    """
    error = max(
        abs(module_weights(inputs, outputs, blocks) - _built_weights(inputs, outputs, blocks))
        for inputs, outputs, blocks in product(INPUTS, OUTPUTS, BLOCKS)
    )
    saved, ratios = [], []
    for inputs, outputs in product(INPUTS, OUTPUTS):
        weights = [module_weights(inputs, outputs, blocks) for blocks in BLOCKS]
        saved.append(1 - module_weights(inputs, outputs, ENDLESS) / weights[BLOCKS.index(4)])
        steps = [before - after for before, after in pairwise(weights)]
        ratios += [later / earlier for earlier, later in pairwise(steps)]
    combinations = len(INPUTS) * len(OUTPUTS) * len(BLOCKS)
    return {
        "largest_error_weights": error,
        "modules_compared": combinations,
        "saved_beyond_4_share": max(saved),
        "saving_ratio": max(ratios),
    }


def counts(name: str) -> dict[str, float]:
    """Parameters and multiply-accumulates of a preset's classifier at 224×224 with 1000 classes.

    num_params: every parameter that the released form registers, once. num_params_executed: those that run. macs: of
    convolutions and linear layers. macs_and_small_operations_millions: with two for each element of a batch norm, one
    for each that a ReLU writes or a pooling reads. num_params_2_blocks … 5_blocks, num_params_add: of its variants.
    """
    spec = preset(name)
    done = operations(spec, IMAGENET, CLASSES, task="cls")
    macs = sum(one.macs for one in done)
    small = sum(row.count for row in small_operations("ptflops", done))
    num_params = _released_params(spec)
    variants = {f"num_params_{blocks}_blocks": _released_params(spec.replace(num_blocks=blocks)) for blocks in BLOCKS}
    return {
        "params_millions": num_params / 1e6,
        "macs_and_small_operations_millions": (macs + small) / 1e6,
        "num_params": num_params,
        "num_params_executed": num_params - spec.unused_classifier_params,
        "macs": macs,
        "macs_millions": macs / 1e6,
        **variants,
        "num_params_add": _released_params(spec.replace(fusion="add")),
    }


def block_saturation() -> dict[str, float]:
    """Multiply-accumulates of STDC2's classifier with 2 to 6 blocks in a module, and what is saved on either side of 4.

    saved_up_to_4_share, saved_beyond_4_share: from 2 to 4 and from 4 to 6 blocks, as a share of where it begins.
    """
    spec = preset("stdc2")
    macs = {
        blocks: total_cost(spec.replace(num_blocks=blocks), IMAGENET, CLASSES, task="cls").macs for blocks in BLOCKS
    }
    return {
        **{f"macs_millions_{blocks}_blocks": value / 1e6 for blocks, value in macs.items()},
        "saved_up_to_4_share": 1 - macs[4] / macs[2],
        "saved_beyond_4_share": 1 - macs[6] / macs[4],
    }


def receptive_fields_of_blocks() -> dict[str, float]:
    """The side of what the four blocks of a module see of its input, in pixels: by gradients through modules as built.

    stride_1_block_1 … 4: of a module that keeps its input's size. drawn_…: of one that halves it in block 2.
    released_…: of one that halves it between blocks 1 and 2. Both have `pooled`, block 1's output as the concatenation
    gets it. same_by_arithmetic: whether kernels and strides alone give the same figures.
    """
    small = preset("stdc1").replace(widths=(4, 4, 16, 16, 16), depths=(2, 1, 1))
    seen: dict[str, int] = {}
    agree = True
    for name, downsample, number in (
        ("stride_1", "depthwise", 2), ("drawn", "strided", 1), ("released", "depthwise", 1)
    ):  # fmt: skip
        spec = small.replace(downsample=downsample)
        found = _fields_by_gradient(spec, number)
        agree &= found == _fields_by_arithmetic(spec, number)
        seen |= {f"{name}_{part}": side for part, side in found.items()}
    return {**seen, "same_by_arithmetic": agree}


def _built_weights(inputs: int, outputs: int, blocks: int) -> int:
    """Convolution weights of a module as built, those of its depthwise convolution left out."""
    spec = preset("stdc1").replace(widths=(4, inputs, outputs, outputs, outputs), depths=(1, 1, 1), num_blocks=blocks)
    with torch.device("meta"):
        module = _module(build_model(spec, 2), 1)
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return sum(layer.weight.numel() for layer in convolutions if layer.groups == 1)


def _released_params(spec: ArchSpec) -> int:
    """Parameters that the classifier registers as released, each once."""
    with torch.device("meta"):
        network = build_classifier(spec, CLASSES)
    return sum(parameter.numel() for parameter in network.parameters()) + spec.unused_classifier_params


def _module(network: nn.Module, number: int) -> nn.Module:
    """A module of stage 3, from 1."""
    return network.get_submodule(f"backbone.stages.3.{number - 1}")


def _fields_by_gradient(spec: ArchSpec, number: int) -> dict[str, int]:
    module = _module(build_model(spec, 2, seed=0), number).double().eval()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.fill_(1 / layer.weight[0].numel())  # so that nothing cancels, and no ReLU is off
    outputs: dict[str, Tensor] = {}
    parts = {f"block_{block}": f"blocks.{block - 1}" for block in range(1, 5)}
    parts |= {"pooled": "pool"} if dict(module.named_children()).get("pool") is not None else {}
    for name, path in parts.items():
        part = module.get_submodule(path)
        part.register_forward_hook(lambda _module, _inputs, out, name=name: outputs.update({name: out}))
    first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    features = torch.rand(1, first.in_channels, ROWS, ROWS, dtype=torch.float64, requires_grad=True)
    module(features)
    return {name: _rows_seen(outputs[name], features) for name in sorted(outputs)}


def _rows_seen(output: Tensor, features: Tensor) -> int:
    """How many rows of the features a pixel in the middle of the output depends on."""
    middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, features, retain_graph=True)
    return int(gradient[0].abs().sum(dim=(0, 2)).count_nonzero())


def _fields_by_arithmetic(spec: ArchSpec, number: int) -> dict[str, int]:
    path = f"stage 3/module {number}"
    # The module's input is the first tensor here that nothing wrote, so fields are counted in its pixels.
    done = [one for one in operations(spec) if within(one.part, path)]
    fields = receptive_fields(done)
    seen = {}
    for one in done:
        pixels = fields[one.output.number].pixels
        assert pixels is not None  # no global pooling is in a module
        if one.kind == "average pooling":
            seen["pooled"] = pixels
        elif one.part.startswith(f"{path}/block "):
            seen[f"block_{one.part.rsplit(' ', 1)[1]}"] = pixels
    return dict(sorted(seen.items()))
