"""Weights in the released format, out of our networks and in again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.errors import CheckpointError
from stdc_lab.nn import build_classifier, build_model, load_released
from stdc_lab.nn.checkpoints import save_released
from tests.nn import released_forward
from tests.nn.released_weights import ALL_HEADS, DEPTHS, SPEC, classifier_shapes, segmenter_shapes, weights


@pytest.mark.parametrize("fusion", ["cat", "add"])
def test_an_exported_segmenter_has_every_key_of_the_released_network_and_its_output(
    fusion: str, tmp_path: Path
) -> None:
    spec = StdcSpec(base_width=16, depths=DEPTHS, fusion=fusion)
    network = build_model(spec, 3).eval()
    restored = save_released(tmp_path / "out.pth", network)
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    assert {k: tuple(t.shape) for k, t in state.items()} == segmenter_shapes(16, DEPTHS, 4, fusion, 3)
    assert {key.split(".")[0] for key in restored if not key.startswith("cp.")} == {
        "conv_out16", "conv_out32", "conv_out_sp2", "conv_out_sp4", "conv_out_sp8", "conv_out_sp16"
    }  # fmt: skip
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.allclose(
            released_forward.segmenter(state, images, DEPTHS, fusion)["main"], network(images).logits, atol=1e-4
        )


def test_an_exported_classifier_has_its_unused_norm_back(tmp_path: Path) -> None:
    network = build_classifier(SPEC, 4).eval()
    assert [key.rsplit(".", 1)[0] for key in save_released(tmp_path / "out.tar", network)] == ["bn"] * 5
    state = torch.load(tmp_path / "out.tar", weights_only=True)["state_dict"]
    assert {k: tuple(t.shape) for k, t in state.items()} == classifier_shapes(16, DEPTHS, classes=4)
    assert state["x32.0.5.conv_list.0.conv.weight"].equal(state["features.5.conv_list.0.conv.weight"])
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.allclose(released_forward.classifier(state, images, DEPTHS), network(images), atol=1e-5)


def test_in_and_out_again_is_the_same_file(segmenter_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    network = build_model(SPEC, 3, ALL_HEADS)
    load_released(network, segmenter_state)
    restored = save_released(tmp_path / "out.pth", network)
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    assert state.keys() == segmenter_state.keys()
    assert all(torch.equal(state[key], segmenter_state[key]) for key in state if key not in restored)
    assert {key.split(".")[2] for key in restored} == {"conv_last", "fc", "bn", "linear"}


def outputs_of(network: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        answer = network(images)
    return [answer.logits, *answer.auxiliary, *answer.details]


def assert_same_outputs(ours: list[torch.Tensor], theirs: list[torch.Tensor], most: float = 1e-6) -> None:
    errors = [float((a - b).double().norm() / b.double().norm()) for a, b in zip(ours, theirs, strict=True)]
    assert max(errors) < most


GAMMAS = {
    "as they come": lambda gamma: None,
    "negative": lambda gamma: gamma.neg_(),
    "between -eps and eps": lambda gamma: gamma.copy_(torch.linspace(-2e-5, 2e-5, len(gamma))),
    "none": lambda gamma: gamma.zero_(),
}


@pytest.mark.parametrize("change", GAMMAS.values(), ids=GAMMAS)
def test_the_released_code_reads_an_exported_segmenter_to_the_same_outputs(
    change: Callable[[torch.Tensor], object], segmenter_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    network = build_model(SPEC, 3, ALL_HEADS).eval()
    load_released(network, segmenter_state)
    with torch.no_grad():
        for norm in norms_outside_the_backbone(network):
            norm.weight.mul_(torch.where(torch.arange(len(norm.weight)) % 3 == 0, -1.0, 1.0))
            change(norm.weight[::2])
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    before = outputs_of(network, images)
    save_released(tmp_path / "out.pth", network)
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    assert_same_outputs(before, list(released_forward.segmenter(state, images, DEPTHS).values()))
    again = build_model(SPEC, 3, ALL_HEADS).eval()
    load_released(again, tmp_path / "out.pth")
    assert_same_outputs(before, outputs_of(again, images))
    assert_same_outputs(before, outputs_of(network, images))  # which is as it was


def norms_outside_the_backbone(network: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    modules = network.named_modules()
    return [m for name, m in modules if isinstance(m, torch.nn.BatchNorm2d) and not name.startswith("backbone.")]


def test_an_import_takes_the_absolute_value_and_adds_eps_outside_the_backbone_only() -> None:
    state = weights(segmenter_shapes(16, DEPTHS, classes=3), negative_gamma=True)
    state["cp.backbone.features.0.bn.weight"] = state["cp.backbone.x2.0.0.bn.weight"] = torch.full((8,), -0.5)
    network = build_model(SPEC, 3, ALL_HEADS)
    load_released(network, state)
    ours = network.state_dict()
    assert torch.equal(ours["backbone.stages.1.0.bn.weight"], torch.full((8,), -0.5))
    layers = {
        "decoder.global_context.bn": "cp.conv_avg.bn",
        "decoder.refine16.attention.bn": "cp.arm16.bn_atten",
        "decoder.fusion.conv.bn": "ffm.convblk.bn",
        "head.conv.bn": "conv_out.conv.bn",
        "auxiliary_heads.16.conv.bn": "conv_out32.conv.bn",
        "detail_heads.2.conv.bn": "conv_out_sp2.conv.bn",
    }
    for mine, theirs in layers.items():
        assert torch.equal(ours[f"{mine}.weight"], state[f"{theirs}.weight"].abs() + 1e-5)
        assert torch.equal(ours[f"{mine}.running_mean"], state[f"{theirs}.running_mean"])


def test_a_second_round_trip_changes_nothing(tmp_path: Path) -> None:
    state = weights(segmenter_shapes(16, DEPTHS, classes=3), negative_gamma=True)
    files = []
    for number in range(2):
        network = build_model(SPEC, 3, ALL_HEADS)
        load_released(network, files[-1] if files else state)
        save_released(tmp_path / f"{number}.pth", network)
        files.append(torch.load(tmp_path / f"{number}.pth", weights_only=True))
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    for key, tensor in files[0].items():
        if tensor.ndim == 1 and key.endswith(".weight") and not key.startswith("cp.backbone."):
            assert torch.allclose(tensor, state[key].abs(), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downsample": "strided"}, "downsample is strided, there depthwise"),
        ({"stem_depths": (2, 1)}, r"stem_depths is \(2, 1\), there \(1, 1\)"),
        ({"channel_ratio": 1.0}, "block widths are"),
        ({"kernels": (1, 5, 3, 3)}, "kernels are"),
        ({"decoder": DecoderSpec(spatial_path=True)}, r"decoder\.spatial_path is True, there False"),
        ({"decoder": DecoderSpec(interpolation="bilinear")}, r"decoder\.interpolation is bilinear, there nearest"),
    ],
)
def test_what_the_released_code_cannot_build_is_not_exported(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    network = build_model(SPEC.replace(**changes), 3)
    with pytest.raises(CheckpointError, match=f"export: the released code has no such network: .*{message}"):
        save_released(tmp_path / "out.pth", network)
    assert list(tmp_path.iterdir()) == []
