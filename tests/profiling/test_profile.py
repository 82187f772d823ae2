import importlib

import pytest
import torch
from torch import nn

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.nn import build_model
from stdc_lab.profiling import profile
from stdc_lab.profiling.counters import count_macs
from stdc_lab.records import MacCounters

SMALL = StdcSpec(base_width=8, depths=(1, 2, 1), kernels=(1, 5, 3, 3), decoder=DecoderSpec(16, 32, 16))


def macs_by_hooks(network: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-accumulates from the shapes that each convolution sees: output elements × weights of one."""
    counts: list[int] = []

    def hook(conv: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        counts.append(output.numel() * conv.weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(hook)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, *size))
    return sum(counts)


@pytest.mark.parametrize("size", [(64, 96), (101, 203)])
def test_macs_are_those_of_the_convolutions(size: tuple[int, int]) -> None:
    result = profile(SMALL, num_classes=5, latency=LatencyConfig(size=size), timed=False)
    assert result.macs == result.counters.torch == macs_by_hooks(build_model(SMALL, 5), size)
    assert result.counters.theory == result.macs
    assert result.num_params == sum(p.numel() for p in build_model(SMALL, 5).parameters())


def test_without_counters_theory_alone_counts_and_all_else_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    size = LatencyConfig(size=(64, 96))
    counted = profile(SMALL, num_classes=5, latency=size, timed=False)
    module = importlib.import_module("stdc_lab.profiling.profile")  # the package has a function of that name
    for counter in ("count_macs", "count_released_form"):
        monkeypatch.setattr(module, counter, None)
    result = profile(SMALL, num_classes=5, latency=size, timed=False, counters=False)
    assert result.counters == MacCounters(theory=result.macs)
    absent = {"counters", "accounts", "not_counted", "released_form"}
    assert result.model_dump(exclude=absent) == counted.model_dump(exclude=absent)
    assert (result.accounts, result.not_counted, result.released_form) == ((), {}, None)


def test_the_parts_add_up_to_the_whole() -> None:
    result = profile(SMALL, num_classes=5, latency=LatencyConfig(size=(101, 203)), timed=False)
    assert sum(stage.macs for stage in result.stages) == result.macs
    assert sum(stage.num_params for stage in result.stages) == result.num_params
    assert [stage.output_size for stage in result.stages[:5]] == [(51, 102), (26, 51), (13, 26), (7, 13), (4, 7)]
    assert result.latency is None


def test_stdc1_at_the_size_of_the_paper() -> None:
    # Worked out in advance from the released code: 8,275,104 parameters, 16.9 GMACs, 7.9 of them in the backbone.
    result = profile(presets["stdc1"], latency=LatencyConfig(size=(512, 1024)), timed=False)
    assert result.num_params == 8_275_104
    assert result.macs == pytest.approx(16.9e9, abs=0.05e9)
    assert sum(stage.macs for stage in result.stages[:5]) == pytest.approx(7.9e9, abs=0.05e9)
    assert result.counters.fvcore is not None
    assert result.counters.thop is not None
    assert result.counters.fvcore > result.macs
    assert result.counters.thop > result.macs
    assert result.not_counted["fvcore"]["aten::avg_pool2d"] == 3


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build_model(SMALL, 5)
    names, hooks = set(network.state_dict()), sum(len(m._forward_hooks) for m in network.modules())
    count_macs(network, (64, 64))
    assert set(network.state_dict()) == names
    assert sum(len(m._forward_hooks) for m in network.modules()) == hooks
