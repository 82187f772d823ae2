"""Agreement with the released networks: with the stored outputs, and elsewhere with an independent forward pass."""

import numpy as np
import pytest
import torch

from stdc_lab.arch import ArchSpec, StdcSpec, presets
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn import build_classifier, build_model, load_released, strip_heads
from tests.nn import released_forward
from tests.nn.released_weights import (
    classifier_shapes,
    reference,
    released_state,
    segmenter_shapes,
    stored_shapes,
    weights,
)

TOLERANCE = 1e-4
DEPTHS = {"stdc1": (2, 2, 2), "stdc2": (4, 5, 3)}
SEGMENTERS = {"stdc1_seg": "stdc1", "stdc2_seg": "stdc2", "stdc1_seg_negative_gamma": "stdc1"}
ALL_HEADS = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))


def relative_error(ours: torch.Tensor, theirs: np.ndarray | torch.Tensor) -> float:
    ours, theirs = ours.detach().double(), torch.as_tensor(theirs).double()
    assert ours.shape == theirs.shape
    return float((ours - theirs).norm() / theirs.norm())


def as_stored(output: torch.Tensor) -> torch.Tensor:
    return output[..., ::4, ::4] if output.ndim == 4 and output.shape[-1] > 8 else output


@pytest.mark.parametrize("stored", SEGMENTERS)
def test_the_segmenter_agrees_with_the_stored_outputs(stored: str) -> None:
    heads = TrainingHeads(auxiliary=True, detail_strides=(8,))
    network = build_model(presets[SEGMENTERS[stored]], 19, heads).eval()
    load_released(network, released_state(stored))
    images, outputs = reference(stored)
    with torch.inference_mode():
        answer = network(images)
        alone = strip_heads(network)(images)
    ours = [answer.logits, *answer.auxiliary, *answer.details]
    errors = [relative_error(as_stored(a), b) for a, b in zip(ours, outputs.values(), strict=True)]
    assert max(errors) < TOLERANCE
    assert torch.equal(alone.logits, answer.logits)


@pytest.mark.parametrize("name", DEPTHS)
def test_the_classifier_agrees_with_the_stored_outputs(name: str) -> None:
    network = build_classifier(presets[name]).eval()
    load_released(network, released_state(f"{name}_classifier"))
    images, outputs = reference(f"{name}_classifier")
    with torch.inference_mode():
        logits = network(images)
        features = [network.backbone.stages["1"](images)]
        for stage in "2345":
            features.append(network.backbone.stages[stage](features[-1]))
    ours = {"logits": logits} | {f"feat{2**i}": feature for i, feature in enumerate(features, start=1)}
    assert set(outputs) == set(ours)
    assert max(relative_error(as_stored(ours[key]), outputs[key]) for key in ours) < TOLERANCE


@pytest.mark.parametrize("stored", SEGMENTERS)
def test_the_independent_forward_pass_is_the_released_segmenter(stored: str) -> None:
    images, outputs = reference(stored)
    state = released_state(stored)
    if not stored.endswith("negative_gamma"):
        # These outputs were computed with plain norms in place of the released ones, which would add eps.
        outside = [key for key, tensor in state.items() if tensor.ndim == 1 and not key.startswith("cp.backbone.")]
        state |= {key: state[key] - 1e-5 for key in outside if key.endswith(".weight")}
    theirs = released_forward.segmenter(state, images, DEPTHS[SEGMENTERS[stored]])
    shown = ("main", "auxiliary 8", "auxiliary 16", "detail 8")
    assert max(relative_error(as_stored(theirs[k]), v) for k, v in zip(shown, outputs.values(), strict=True)) < 1e-5


@pytest.mark.parametrize("name", DEPTHS)
def test_the_independent_forward_pass_is_the_released_classifier(name: str) -> None:
    images, outputs = reference(f"{name}_classifier")
    logits = released_forward.classifier(released_state(f"{name}_classifier"), images, DEPTHS[name])
    assert relative_error(logits, outputs["logits"]) < 1e-5


@pytest.mark.parametrize("name", DEPTHS)
def test_the_names_and_shapes_written_down_are_the_released_ones(name: str) -> None:
    assert segmenter_shapes(64, DEPTHS[name]) == stored_shapes(f"{name}_seg")
    assert classifier_shapes(64, DEPTHS[name]) == stored_shapes(f"{name}_classifier")


@pytest.mark.parametrize(
    ("base", "depths", "blocks", "fusion", "conv_last", "classes", "size"),
    [
        (64, (2, 2, 2), 2, "cat", False, 11, (64, 96)),
        (64, (2, 2, 2), 3, "cat", False, 19, (101, 203)),
        (64, (1, 2, 1), 5, "cat", True, 11, (101, 203)),
        (64, (2, 1, 2), 4, "add", False, 2, (101, 203)),
        (32, (1, 1, 3), 4, "cat", True, 11, (65, 97)),
        (32, (2, 2, 2), 3, "add", True, 5, (64, 64)),
        (128, (1, 1, 1), 6, "cat", True, 3, (33, 95)),
        (16, (8, 1, 1), 4, "add", False, 3, (32, 32)),
    ],
)
def test_the_segmenter_agrees_where_nothing_is_stored(
    base: int,
    depths: tuple[int, ...],
    blocks: int,
    fusion: str,
    conv_last: bool,
    classes: int,
    size: tuple[int, int],
) -> None:
    state = weights(segmenter_shapes(base, depths, blocks, fusion, classes, conv_last), negative_gamma=True)
    spec = StdcSpec(base_width=base, depths=depths, num_blocks=blocks, fusion=fusion, conv_last=conv_last)
    network = build_model(spec, classes, ALL_HEADS).eval()
    load_released(network, state)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    theirs = released_forward.segmenter(state, images, depths, fusion, conv_last)
    with torch.inference_mode():
        answer = network(images)
    ours = [answer.logits, *answer.auxiliary, *answer.details]
    assert max(relative_error(a, b) for a, b in zip(ours, theirs.values(), strict=True)) < TOLERANCE


@pytest.mark.parametrize(
    ("base", "depths", "blocks", "fusion", "size"),
    [(64, (2, 2, 2), 5, "cat", (101, 203)), (32, (1, 3, 1), 2, "add", (64, 64)), (96, (1, 1, 1), 3, "cat", (75, 75))],
)
def test_the_classifier_agrees_where_nothing_is_stored(
    base: int, depths: tuple[int, ...], blocks: int, fusion: str, size: tuple[int, int]
) -> None:
    state = weights(classifier_shapes(base, depths, blocks, fusion, classes=10))
    network = build_classifier(StdcSpec(base_width=base, depths=depths, num_blocks=blocks, fusion=fusion), 10).eval()
    load_released(network, state)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert relative_error(network(images), released_forward.classifier(state, images, depths, fusion)) < TOLERANCE


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [
        (presets["stdc1"], 8_443_552),
        (presets["stdc2"], 12_474_016),
        (presets["stdc1"].replace(num_blocks=2), 10_378_912),
        (presets["stdc1"].replace(num_blocks=3), 8_830_624),
        (presets["stdc1"].replace(num_blocks=5), 8_346_784),
        (presets["stdc2"].replace(fusion="add"), 13_158_496),
    ],
)
def test_parameters_with_the_classifier_as_the_released_network_counts(spec: ArchSpec, parameters: int) -> None:
    with torch.device("meta"):
        network = build_classifier(spec)
    unused_norm = 2 * spec.conv_last_width
    assert sum(p.numel() for p in network.parameters()) + unused_norm == parameters


@pytest.mark.parametrize(("name", "parameters"), [("stdc1", 12_048_928), ("stdc2", 16_079_392)])
def test_parameters_with_every_head_as_the_released_network_counts(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_model(presets[name], 19, ALL_HEADS)
        classifier = build_classifier(presets[name])
    unused = [p for key, p in classifier.named_parameters() if not key.startswith("backbone.stages")]
    total = sum(p.numel() for p in [*network.parameters(), *unused]) + 2 * 1024
    assert total == parameters
