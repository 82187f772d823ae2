import importlib.util
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from stdc_lab.cli import profile as command
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.folding import folded, settle_norms
from stdc_lab.errors import StdcLabError
from stdc_lab.profiling.baselines import BASELINES, build_baseline, count_baseline, parts_of_baseline, stages_of
from stdc_lab.profiling.stages import measure_stages

PUBLISHED = {
    # Parameters and multiply-accumulates at 224×224 with 1,000 classes, as widely tabulated for these networks.
    "resnet18": (11_689_512, 1.81e9),
    "resnet50": (25_557_032, 4.09e9),
    "mobilenetv2": (3_504_872, 0.30e9),
    "efficientnet_b0": (5_288_548, 0.39e9),
}


class Gated(nn.Module):
    """Two strides, a gate after a global mean, a shared layer and classes: all that is hard to attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.gate = nn.Conv2d(6, 6, 1)
        self.classes = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> SimpleNamespace:
        features = self.down(self.norm(self.stem(images)).relu())
        features = features * self.gate(self.gate(features.mean((2, 3), keepdim=True)))
        return SimpleNamespace(logits=self.classes(features.mean((2, 3))))


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_the_networks_that_everybody_means(name: str) -> None:
    params, macs = PUBLISHED[name]
    network = build_baseline(name)
    found = count_baseline(name, network, (224, 224))
    assert found.num_params == params == sum(part.num_params for part in found.stages)
    assert found.macs == pytest.approx(macs, rel=0.02)
    assert found.macs == found.counters.torch == sum(part.macs for part in found.stages)
    assert [part.name for part in found.stages] == [*(f"stage {number}" for number in range(1, 6)), "classes"]
    assert [part.output_size for part in found.stages[:5]] == [(side, side) for side in (112, 56, 28, 14, 7)]
    assert (found.arch, found.arch_id, found.accounts, found.counters.theory) == (None, None, (), None)
    assert found.num_classes == 1000


def test_layers_belong_to_the_stride_of_what_they_put_out() -> None:
    network = Gated()
    found = stages_of(network, (32, 64))
    assert list(found) == ["stage 1", "stage 2", "classes"]
    assert found["stage 1"].num_params == 4 * 27 + 8
    assert found["stage 2"].num_params == (6 * 36 + 6) + (36 + 6)  # the gate runs twice and is counted once
    assert found["stage 2"].macs == 6 * 36 * 8 * 16 + 2 * 36
    assert found["stage 2"].output == (6, 8, 16)
    assert (found["stage 2"].first, found["classes"].first) == (network.down, network.classes)
    assert not any(one._forward_hooks for one in network.modules())


def test_their_parts_are_timed() -> None:
    network = Gated()
    config = LatencyConfig(size=(64, 64), threads=1, warmup_s=0, measure_s=1e-6, min_repeats=5, attempts=1)
    found = measure_stages(network, config, torch.device("cpu"), parts_of_baseline(network, (64, 64)))
    assert [part.name for part in found.stages] == ["stage 1", "stage 2", "classes"]
    assert all(part.median_ms > 0 for part in found.stages)


@pytest.mark.parametrize("make", [Gated, lambda: build_baseline("mobilenetv2", 5)])
def test_norms_of_others_are_folded_as_they_run(make: type[nn.Module]) -> None:
    network, images = make(), torch.randn(2, 3, 64, 96)
    settle_norms(network, 3 * images + 1)
    assert any(isinstance(one, nn.BatchNorm2d) for one in folded(network).modules())
    plain = folded(network, images)
    assert not any(isinstance(one, nn.BatchNorm2d) for one in plain.modules())
    with torch.no_grad():
        expected, found = network(images).logits, plain(images).logits
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())
    assert any(isinstance(one, nn.BatchNorm2d) for one in network.modules())


def test_a_norm_after_something_else_stays() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4))
    assert isinstance(folded(network, torch.randn(1, 3, 4, 4))[2], nn.BatchNorm2d)  # type: ignore[index]


class Shared(nn.Module):
    """One convolution whose output goes through a norm of its own each time that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        for norm in self.norms:
            images = norm(self.conv(images))
        return images


def test_a_convolution_that_two_norms_follow_is_not_folded() -> None:
    network, images = Shared(), torch.randn(4, 3, 16, 16)
    settle_norms(network, 3 * images + 1)
    with torch.no_grad():
        assert torch.equal(folded(network, images)(images), network(images))


@pytest.mark.gpu
def test_images_on_a_gpu_fold_a_network_that_is_not() -> None:
    network, images = Gated(), torch.randn(2, 3, 64, 96)
    settle_norms(network, images)
    assert not any(isinstance(one, nn.BatchNorm2d) for one in folded(network, images.to("cuda:0")).modules())


def test_what_is_not_there_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StdcLabError, match="baseline: got 'vgg16'; allowed: resnet18, resnet50"):
        build_baseline("vgg16")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        StdcLabError, match=r"resnet18: transformers is not installed: pip install 'stdc_lab\[baselines\]"
    ):
        build_baseline("resnet18")


def test_the_command_knows_them_all() -> None:
    assert set(command.BASELINES) == set(BASELINES)
