import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from stdc_lab.arch import ArchSpec, DecoderSpec, presets
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.nn import SegOutput, build_model
from stdc_lab.profiling import measure_latency, profile
from stdc_lab.profiling.counters import count_macs
from stdc_lab.profiling.latency import median_interval, summarise

SMALL = ArchSpec(base_width=8, depths=(1, 2, 1), kernels=(1, 5, 3, 3), decoder=DecoderSpec(16, 32, 16))


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


class Recorder(nn.Module):
    """A segmenter that notes when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.name, self.calls = name, calls

    def forward(self, images: torch.Tensor) -> SegOutput:
        assert not torch.is_grad_enabled()
        assert not self.training
        assert images.shape == (1, 3, 32, 64)
        assert images.is_contiguous(memory_format=torch.channels_last)
        self.calls.append(self.name)
        return SegOutput(images)


def test_networks_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    config = LatencyConfig(size=(32, 64), warmup_s=0, measure_s=1e-6, min_repeats=5, threads=1)
    shares: list[float] = []
    networks = {name: Recorder(name, calls) for name in "ab"}
    results = measure_latency(networks, config, torch.device("cpu"), shares.append)
    assert "".join(calls) == "aaabbb" + "ab" * 5
    assert {r.repeats for r in results.values()} == {5}
    assert results["a"].warmup_repeats == 3
    assert results["a"].input_shape == (1, 3, 32, 64)
    assert results["a"].threads == 1
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_more_work_takes_longer() -> None:
    config = LatencyConfig(size=(96, 128), warmup_s=0.05, measure_s=0.2, min_repeats=7)
    networks = {"small": build_model(SMALL, 5), "large": build_model(presets["stdc1"], 5)}
    results = measure_latency(networks, config, torch.device("cpu"))
    assert results["large"].median_ms > results["small"].median_ms


def test_a_summary_is_of_all_timings() -> None:
    values = np.arange(1.0, 102.0)
    result = summarise(values, warmup_repeats=3, device="cpu", threads=2, input_shape=(1, 3, 32, 32))
    assert (result.median_ms, result.p95_ms, result.repeats) == (51, 96, 101)
    assert result.spread == pytest.approx(50 / 51)
    assert result.ci95_ms[0] < 51 < result.ci95_ms[1]


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [median_interval(rng.lognormal(size=25)) for _ in range(2000)]
    covered = np.mean([low <= 1 <= high for low, high in intervals])
    assert covered >= 0.95
    assert covered < 0.985  # and is no wider than its order statistics make it
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)


def test_the_interval_against_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=40)
    theirs = stats.quantile_test(values, q=stats.expon.ppf(0.5), p=0.5).confidence_interval(0.95)
    assert median_interval(values) == pytest.approx((theirs.low, theirs.high))
