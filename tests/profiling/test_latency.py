import dataclasses
import json
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stdc_lab.arch import DecoderSpec, StdcSpec, analyse, presets
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy.runtimes import Runtime, Source, find_runtimes
from stdc_lab.deploy.sessions import Call
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.environment import environment
from stdc_lab.nn import SegOutput, build_classifier, build_model
from stdc_lab.profiling import measure_latency, memory, ranking, stages
from stdc_lab.profiling.latency import sample_images, summarise
from stdc_lab.profiling.limit import convolution_rate
from stdc_lab.profiling.memory import peak_memory
from stdc_lab.profiling.ranking import measure_runtimes
from stdc_lab.profiling.stages import measure_stages, parts_of
from stdc_lab.profiling.timing import Turns
from stdc_lab.records import LatencyResult

CPU = torch.device("cpu")
SMALL = StdcSpec(base_width=8, depths=(1, 2, 1), kernels=(1, 5, 3, 3), decoder=DecoderSpec(16, 32, 16))


def config(**changes: object) -> LatencyConfig:
    values = {"size": (64, 96), "warmup_s": 0, "measure_s": 1e-6, "min_repeats": 5, "threads": 1, "attempts": 1}
    return LatencyConfig.model_validate({**values, **changes})


class Recorder(nn.Module):
    """A segmenter that notes when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        super().__init__()
        self.name, self.calls = name, calls

    def forward(self, images: Tensor) -> SegOutput:
        assert not torch.is_grad_enabled()
        assert not self.training
        assert images.shape == (1, 3, 32, 64)
        assert images.is_contiguous(memory_format=torch.channels_last)
        self.calls.append(self.name)
        return SegOutput(images)


class Pausing(nn.Module):
    """A part that takes so long."""

    seconds = 0.0

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return images


def test_networks_take_turns_after_their_memory_and_a_warm_up() -> None:
    calls: list[str] = []
    shares: list[float] = []
    networks = {name: Recorder(name, calls) for name in "ab"}
    results = measure_latency(networks, config(size=(32, 64)), CPU, shares.append, reference="a")
    assert "".join(calls) == "ab" + "aaabbb" + "ab" * 5
    assert {r.repeats for r in results.values()} == {5}
    a, b = results["a"], results["b"]
    assert (a.warmup_repeats, a.input_shape, a.threads, a.attempts) == (3, (1, 3, 32, 64), 1, 1)
    assert (a.runtime, a.layout, a.dtype) == ("eager", "channels-last", "float32")
    assert a.blocks == 5 and a.interval_is is not None and "median of the process, under drift" in a.interval_is
    assert (a.reference, a.times_as_fast, a.times_as_fast_ci95) == ("a", 1, (1, 1))
    assert b.times_as_fast is not None and b.times_as_fast_ci95 is not None
    assert b.times_as_fast_ci95[0] <= b.times_as_fast <= b.times_as_fast_ci95[1]
    assert shares == sorted(shares) and shares[-1] == 1


def test_more_work_takes_longer() -> None:
    networks = {"small": build_model(SMALL, 5), "large": build_model(presets["stdc1"], 5)}
    results = measure_latency(networks, config(size=(96, 128), measure_s=0.2, min_repeats=7), CPU, reference="large")
    assert results["large"].median_ms > results["small"].median_ms
    assert results["small"].times_as_fast is not None and results["small"].times_as_fast > 1


def test_a_summary_is_of_all_timings() -> None:
    values = np.arange(1.0, 102.0)
    result = summarise(values, warmup_repeats=3, device="cpu", threads=2, input_shape=(1, 3, 32, 32))
    assert (result.median_ms, result.p95_ms, result.repeats) == (51, 96, 101)
    assert result.spread == pytest.approx(50 / 51)
    assert result.ci95_ms[0] < 51 < result.ci95_ms[1]
    assert result.precision == pytest.approx(max(51 - result.ci95_ms[0], result.ci95_ms[1] - 51) / 51)
    assert result.noisy


def test_records_of_before_are_still_read() -> None:
    values = np.full(9, 2.0)
    made = summarise(values, warmup_repeats=3, device="cpu", threads=2, input_shape=(1, 3, 32, 32))
    old = json.loads(made.model_dump_json())
    for name in ("layout", "precision", "noisy", "attempts", "reference", "times_as_fast", "times_as_fast_ci95"):
        del old[name]
    for name in ("peak_memory_bytes", "blocks", "interval_is", "arithmetic"):
        del old[name]
    read = LatencyResult.model_validate(old)
    assert (read.median_ms, read.layout, read.noisy, read.peak_memory_bytes) == (2, "channels-last", None, None)
    assert (read.blocks, read.interval_is, read.arithmetic) == (None, None, None)


def test_parts_are_of_the_rounds_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    network = Recorder("net", calls)
    network.stem, network.last = Pausing(), Pausing()
    network.forward = lambda images: SegOutput(network.last(network.stem(images)))  # type: ignore[method-assign]
    counted = np.array([True, False, True, False, True, False])

    def take_turns(calls: dict[str, Callable[[], float]], config: LatencyConfig) -> Turns:
        for counts in [False, *counted]:  # the first is of the warm-up
            network.last.seconds = 0.0 if counts else 0.02
            calls["watched"]()
        return Turns(("whole", "watched"), np.full((3, 2), 1.0), np.arange(3), counted, (1, 1), 1, 0.95)

    monkeypatch.setattr(stages, "take_turns", take_turns)
    found = measure_stages(network, config(size=(32, 64)), CPU, {"stem": network.stem, "last": network.last})
    assert found.repeats == 3
    assert found.stages[1].ci95_ms[1] < 20


def test_the_environment_says_versions_and_stays_the_same_machine() -> None:
    here = environment(CPU, 1)
    assert here.fingerprint == environment(CPU, 2).fingerprint
    assert here.clock_mhz is None or here.clock_mhz > 0
    assert set(here.versions) <= {"onnxruntime", "openvino"}


def test_runtimes_are_compared_then_timed_and_ranked() -> None:
    runtimes = find_runtimes(["eager", "channels_last", "folded"], CPU)
    heard: list[str] = []
    networks = {"small": build_model(SMALL, 5), "same": build_model(SMALL, 5)}
    found = measure_runtimes(
        networks,
        runtimes,
        config(),
        CPU,
        reference=("small", "eager"),
        on_progress=lambda what, share: heard.append(what),
    )
    assert {(result.network, result.runtime) for result in found} == {
        (name, runtime.name) for name in networks for runtime in runtimes
    }
    medians = [result.latency.median_ms for result in found if result.latency is not None]
    assert len(medians) == 6 and medians == sorted(medians)
    for result in found:
        assert result.agreement is not None and result.latency is not None
        assert result.agreement.argmax_share > 0.999
        assert result.agreement.weights == "random"
        assert result.latency.runtime == result.runtime and result.latency.layout == result.layout
        assert result.latency.reference == "small in eager"
        assert result.latency.peak_memory_bytes is None or result.latency.peak_memory_bytes > 0
    assert heard[0] == "making small in eager" and heard[-1] == "timing"


def made(name: str, call: Call) -> Runtime:
    return Runtime(name, "made up", "float32", "contiguous", lambda source, threads: call)


def answering(network: nn.Module, change: float = 0.0) -> Call:
    def call(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network.eval()(images).logits
        return logits + change * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))

    return call


def test_a_runtime_that_disagrees_is_never_timed() -> None:
    network = build_model(SMALL, 5).eval()
    timed: list[int] = []

    def wrong(images: Tensor) -> Tensor:
        timed.append(1)
        return answering(network, 10.0)(images)

    runtimes = [made("right", answering(network)), made("wrong", wrong)]
    found = measure_runtimes({"net": network}, runtimes, config(), CPU, trained={"net"})
    assert [result.runtime for result in found] == ["right", "wrong"]
    right, bad = found
    assert right.reason is None and right.agreement is not None and right.agreement.weights == "trained"
    assert bad.latency is None and bad.agreement is not None
    assert bad.reason is not None and bad.reason.startswith("wrong: its logits are not those of the float32 eager")
    assert len(timed) <= 3  # made, compared, its memory looked at


def test_what_is_bfloat16_by_its_name_alone_is_never_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model(SMALL, 5, seed=0).eval()
    monkeypatch.setattr(ranking, "computes_natively", lambda dtype, device: dtype == "float32")
    right = made("right", answering(network))
    named, rounded = (
        dataclasses.replace(made(name, answering(network, change)), dtype="bfloat16")
        for name, change in (("named", 1e-8), ("rounded", 1e-3))
    )
    found = measure_runtimes({"net": network}, [named, rounded, right], config(), CPU, trained={"net"})
    rows = {result.runtime: result for result in found}
    reason = rows["named"].reason
    assert rows["named"].latency is None and reason is not None
    assert reason.startswith("named: it did not compute in bfloat16 but in float32: its largest error is ")
    assert rows["rounded"].latency is not None and rows["rounded"].reason is None
    assert {name: row.emulated for name, row in rows.items()} == {"named": True, "rounded": True, "right": False}


def test_out_of_memory_at_a_batch_size_is_told_in_its_row() -> None:
    network = build_model(SMALL, 5).eval()
    right = answering(network)

    def greedy(images: Tensor) -> Tensor:
        if len(images) >= 2:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
            )
        return right(images)

    runtimes = [made("greedy", greedy), made("modest", right)]
    sizes = ((64, 96), (32, 64))
    found = measure_runtimes({"net": network}, runtimes, config(), CPU, trained={"net"}, batches=(2, 1), sizes=sizes)
    rows = {(result.runtime, result.batch, result.size): result for result in found}
    assert len(rows) == 8
    for (name, batch, size), result in rows.items():
        if (name, batch) == ("greedy", 2):
            assert result.latency is None
            assert result.reason is not None and result.reason.startswith("out of memory: [enforce fail")
        else:
            assert result.latency is not None and result.latency.input_shape == (batch, 3, *size)


def test_what_a_smaller_batch_needed_says_that_a_larger_one_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_model(SMALL, 5).eval()
    monkeypatch.setattr(ranking, "peak_memory", lambda work, device: 2**30)
    monkeypatch.setattr(memory, "free_memory", lambda device: 3 * 2**30)
    runtimes = [made("right", answering(network))]
    small, large = measure_runtimes({"net": network}, runtimes, config(), CPU, trained={"net"}, batches=(1, 4))
    assert small.latency is not None and small.latency.peak_memory_bytes == 2**30
    assert large.reason == "out of memory: about 4.0 GiB are needed, 3.0 GiB are free"


def test_a_bug_in_a_runtime_is_not_taken_for_a_lack_of_memory() -> None:
    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    network = build_model(SMALL, 5)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        measure_runtimes({"net": network}, [made("broken", broken)], config(), CPU, trained={"net"})


def test_trained_weights_are_shown_streets_and_others_noise() -> None:
    streets, noise = (sample_images((2, 3, 64, 96), trained=trained) for trained in (True, False))
    assert streets.shape == noise.shape == (2, 3, 64, 96)
    assert not torch.equal(streets[0], streets[1])
    smooth = [(images[..., 1:] - images[..., :-1]).abs().mean().item() for images in (streets, noise)]
    assert smooth[0] < smooth[1] / 2


@pytest.mark.parametrize("task", ["seg", "cls"])
def test_the_parts_are_theorys_and_add_up_to_the_call(task: str) -> None:
    network = build_model(SMALL, 5) if task == "seg" else build_classifier(SMALL, 5)
    found = measure_stages(network, config(size=(128, 160), min_repeats=9), CPU)
    parts = [part.name for part in analyse(SMALL, (128, 160), 5, task="seg" if task == "seg" else "cls").parts]
    assert [stage.name for stage in found.stages] == parts + (["upsampling"] if task == "seg" else [])
    assert found.sum_ms == pytest.approx(sum(stage.median_ms for stage in found.stages))
    assert found.closure == pytest.approx(found.sum_ms / found.whole_ms)
    assert all(stage.median_ms > 0 for stage in found.stages)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in network.modules())


def test_parts_are_of_deployed_networks_of_ours() -> None:
    with pytest.raises(StdcLabError, match=r"stages: got Linear; allowed: a segmenter or classifier"):
        parts_of(nn.Linear(2, 2))
    with pytest.raises(StdcLabError, match=r"training heads; allowed: the deployed one \(strip_heads\)"):
        parts_of(build_model(SMALL, 5, TrainingHeads()))


def test_peak_memory_is_what_a_call_needs_at_its_highest() -> None:
    kept: list[Tensor] = []
    size = 64 * 2**20
    found = peak_memory(lambda: torch.ones(size // 4).max(), CPU)
    if found is None:
        pytest.skip("the system does not tell")
    assert size <= found < 1.5 * size
    again = peak_memory(lambda: torch.ones(size // 4).max(), CPU)
    assert again is not None and size <= again < 1.5 * size
    assert (peak_memory(lambda: kept.append(torch.ones(8)), CPU) or 0) < size / 4


def test_the_rate_of_the_machine_is_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    from stdc_lab.profiling import limit

    monkeypatch.setattr(limit, "LARGE", (limit.Convolution(64, 64, (32, 32), 3),))
    monkeypatch.setattr(limit, "REPEATS", 3)
    assert 1e7 < convolution_rate(torch.float32, CPU, 1) < 1e14
    assert limit.LARGE[0].macs == 64 * 64 * 9 * 32 * 32


def test_a_source_makes_its_graph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from stdc_lab.deploy import runtimes

    class Graph:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return b"graph"

    made_graphs: list[int] = []

    def count(network: nn.Module, images: Tensor) -> Graph:
        made_graphs.append(1)
        return Graph()

    monkeypatch.setattr(runtimes, "onnx_graph", count)
    source = Source(nn.Identity(), torch.zeros(1, 3, 8, 8))
    assert source.graph == source.graph == b"graph"
    assert len(made_graphs) == 1
