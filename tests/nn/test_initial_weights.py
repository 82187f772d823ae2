"""What networks with one seed share before their first step, and what they do not."""

import pytest
import torch
from torch import nn

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.initial_weights import initialise

SMALL = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 32, 16))
BARE = TrainingHeads(auxiliary=False)
ALL_HEADS = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))


def drawn(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights that are random, by name."""
    kinds = (nn.Conv2d, nn.Linear)
    return {name: module.weight.detach() for name, module in network.named_modules() if isinstance(module, kinds)}


def shared(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the layers that both have in one shape; each must begin with the same weights in both."""
    mine, theirs = drawn(one), drawn(other)
    names = {name for name in mine if name in theirs and mine[name].shape == theirs[name].shape}
    assert {name for name in names if not torch.equal(mine[name], theirs[name])} == set()
    return names


@pytest.mark.parametrize("heads", [BARE, TrainingHeads(), TrainingHeads(detail_strides=(8,)), ALL_HEADS])
def test_arms_with_unlike_heads_share_every_layer_that_both_have(heads: TrainingHeads) -> None:
    deployed = build_model(SMALL, 5, seed=3)
    assert shared(deployed, build_model(SMALL, 5, heads, seed=3)) == set(drawn(deployed))
    assert shared(build_model(SMALL, 5, ALL_HEADS, seed=3), build_model(SMALL, 5, heads, seed=3)) == set(
        drawn(build_model(SMALL, 5, heads))
    )


def test_networks_of_unlike_depth_share_the_modules_that_both_have() -> None:
    shallow, deep = SMALL.replace(depths=presets["stdc1"].depths), SMALL.replace(depths=presets["stdc2"].depths)
    one, other = build_model(shallow, 5, seed=3), build_model(deep, 5, seed=3)
    assert shared(one, other) == set(drawn(one))
    assert len(drawn(one)) > 40


def test_what_differs_in_shape_leaves_all_else_as_it_is() -> None:
    one, other = build_model(SMALL, 5, seed=3), build_model(SMALL.replace(num_blocks=3), 5, seed=3)
    assert {"backbone.stages.1.0.conv", "decoder.refine32.conv.conv", "head.classes"} <= shared(one, other)
    assert shared(one, build_model(SMALL, 7, seed=3)) == set(drawn(one)) - {"head.classes"}
    fused = build_model(SMALL.replace(decoder={"spatial_path": True}), 5, seed=3)
    assert shared(one, fused) == set(drawn(one)) - {"decoder.fusion.conv.conv"}


def test_a_classifier_shares_its_backbone_with_the_segmenter() -> None:
    segmenter, classifier = build_model(SMALL, 5, seed=3), build_classifier(SMALL, 9, seed=3)
    assert len(shared(segmenter, classifier)) == len(drawn(segmenter.backbone)) > 0
    assert shared(classifier, build_classifier(SMALL, 4, seed=3)) == set(drawn(classifier)) - {"classes"}


def test_other_seeds_and_other_layers_draw_other_numbers() -> None:
    network, other = drawn(build_model(SMALL, 5, ALL_HEADS, seed=3)), drawn(build_model(SMALL, 5, ALL_HEADS, seed=4))
    first = {float(weight.flatten()[0]) for seeded in (network, other) for weight in seeded.values()}
    assert len(first) == 2 * len(network)
    alike = [network[f"decoder.smooth{stride}.conv"] for stride in (16, 32)]
    assert not torch.equal(*alike)


def test_neither_order_nor_threads_nor_type_nor_the_global_stream_matter() -> None:
    expected = drawn(build_model(SMALL, 5, seed=3))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        torch.manual_seed(99)
        again = build_model(SMALL, 5, seed=3)
    finally:
        torch.set_num_threads(threads)
    assert shared(again, build_model(SMALL, 5, seed=3)) == set(expected)
    assert all(torch.equal(expected[name], weight) for name, weight in drawn(again).items())
    turned = build_model(SMALL, 5, seed=8)
    turned._modules = dict(reversed(turned._modules.items()))
    initialise(turned, 3)
    assert all(torch.equal(expected[name], weight) for name, weight in drawn(turned).items())
    halved = build_model(SMALL, 5, seed=8).to(torch.bfloat16)
    initialise(halved, 3)
    assert all(torch.equal(expected[name].bfloat16(), weight) for name, weight in drawn(halved).items())


def test_the_global_stream_goes_on_as_if_no_network_had_been_made() -> None:
    after = []
    for spec in (SMALL, SMALL.replace(num_blocks=3), None):
        torch.manual_seed(5)
        if spec is not None:
            build_model(spec, 5, seed=3)
        after.append(torch.rand(3))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])


def test_without_a_seed_torchs_global_stream_decides() -> None:
    torch.manual_seed(5)
    one, next_one = build_model(SMALL, 5), build_model(SMALL, 5)
    torch.manual_seed(5)
    same = build_model(SMALL, 5, ALL_HEADS)
    assert shared(one, same) == set(drawn(one))
    assert not any(torch.equal(weight, drawn(next_one)[name]) for name, weight in drawn(one).items())


@pytest.mark.gpu
def test_the_gpu_begins_with_the_same_weights() -> None:
    with torch.device("cuda"):
        there = build_model(SMALL, 5, seed=3)
    here = build_model(SMALL, 5, seed=3)
    assert all(torch.equal(weight, drawn(there)[name].cpu()) for name, weight in drawn(here).items())
