"""What float32 means while something is timed, trained or evaluated, and that the caller's settings come back."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.arithmetic import TIMING, TIMING_TF32, TRAINING, Arithmetic, arithmetic_here, computing, describe
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.runtimes import RUNTIMES, Runtime, Source
from stdc_lab.hardware.environment import environment
from stdc_lab.nn import SegOutput, build_model
from stdc_lab.profiling import measure_latency
from stdc_lab.profiling.ranking import measure_runtimes
from stdc_lab.profiling.stages import measure_stages
from stdc_lab.training.evaluate import predict
from stdc_lab.training.trainer import reproducible

CPU = torch.device("cpu")
SMALL = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(8, 8, 8))
QUICK = LatencyConfig(size=(32, 64), threads=1, warmup_s=0, measure_s=1e-6, min_repeats=5, attempts=1)
CALLERS = Arithmetic(tf32=True, autotune=True)
"""What a caller has set, which is nothing that may reach a figure."""


@pytest.fixture(autouse=True)
def settings_of_a_caller() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        yield
        assert torch.get_float32_matmul_precision() == "medium"
        assert arithmetic_here() == CALLERS
        torch.set_float32_matmul_precision(before)


class Noting(nn.Module):
    """A segmenter that notes how it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Arithmetic] = set()
        self.head = nn.Identity()

    def forward(self, images: Tensor) -> SegOutput:
        self.seen.add(arithmetic_here())
        return SegOutput(self.head(images))


@pytest.mark.parametrize("wanted", [TIMING, TIMING_TF32, TRAINING])
def test_settings_hold_inside_and_are_put_back(wanted: Arithmetic) -> None:
    with computing(wanted):
        assert arithmetic_here() == wanted
        assert torch.backends.cudnn.allow_tf32 == wanted.tf32
        assert torch.get_float32_matmul_precision() == ("high" if wanted.tf32 else "highest")
        with computing(TRAINING):
            assert arithmetic_here() == TRAINING
        assert arithmetic_here() == wanted
    with pytest.raises(RuntimeError, match="broken"), computing(wanted):
        raise RuntimeError("broken")


def test_every_timing_computes_alike() -> None:
    network = Noting()
    (found,) = measure_latency({"net": network}, QUICK, CPU).values()
    assert network.seen == {TIMING}
    assert found.arithmetic == describe(TIMING, CPU) == "float32 in full"
    network.seen.clear()
    measure_stages(network, QUICK, CPU, {"stem": network, "head": network.head})
    assert network.seen == {TIMING}


def test_every_runtime_computes_as_its_timing() -> None:
    network = Noting()
    runtime = Runtime("plain", "made up", "float32", "contiguous", lambda source, threads: network_call(network))
    (found,) = measure_runtimes({"net": network}, [runtime], QUICK, CPU, trained={"net"})
    assert network.seen == {TIMING}
    assert found.latency is not None and found.latency.arithmetic == "float32 in full"


def network_call(network: nn.Module):  # type: ignore[no-untyped-def]
    return lambda images: network(images).logits


def test_trainings_and_evaluations_compute_alike() -> None:
    with reproducible(0, CPU):
        assert arithmetic_here() == TRAINING
        assert environment(CPU, 1, arithmetic_here()).arithmetic == "float32 in full"
    network = Noting()
    predict(network, np.zeros((1, 32, 64, 3), np.uint8), CPU, torch.float32)
    assert network.seen == {TRAINING}
    assert environment(CPU, 1).arithmetic is None


def test_settings_in_words() -> None:
    gpu = torch.device("cuda:0")
    assert describe(TIMING, gpu) == "float32 in full, convolutions timed and the fastest taken"
    assert describe(TIMING_TF32, gpu) == "float32 as TensorFloat-32, convolutions timed and the fastest taken"
    assert describe(TRAINING, gpu) == "float32 in full, convolutions chosen by rule, deterministic"
    assert {runtime.name: runtime.arithmetic for runtime in RUNTIMES if runtime.arithmetic != TIMING} == {
        "cuda_tf32": TIMING_TF32
    }


@pytest.mark.parametrize(("name", "dtype"), [("cuda_fp16", torch.float16), ("cuda_bf16", torch.bfloat16)])
def test_half_precision_casts_its_weights_once(name: str, dtype: torch.dtype) -> None:
    # Its maker knows no device of its own, so that what it makes can be looked at here.
    (runtime,) = (one for one in RUNTIMES if one.name == name)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8))  # a norm that cannot be folded
    images = torch.randn(1, 3, 16, 16)
    call = runtime.make(Source(network, images), 1)
    with Casts() as casts:
        logits = call(images)
    assert casts.shapes == [(1, 3, 16, 16)]  # the images, and no weight
    assert logits.dtype == dtype
    assert next(network.parameters()).dtype == torch.float32  # which it took a copy of


def test_norms_keep_their_accuracy_in_half_precision() -> None:
    (runtime,) = (one for one in RUNTIMES if one.name == "cuda_fp16")
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)).eval()
    network[1].running_var.fill_(1e6)  # type: ignore[union-attr, operator]  # infinite in float16
    images = 1e3 * torch.randn(1, 3, 16, 16).abs()
    expected = network(images)
    found = runtime.make(Source(network, images), 1)(images)
    assert (found.float() - expected).abs().max() < 1e-2 * expected.abs().max()


class Casts(torch.utils._python_dispatch.TorchDispatchMode):
    """Notes the shapes of the tensors that are brought to another dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        if "_to_copy" in str(func) and kwargs.get("dtype") not in (None, args[0].dtype):
            self.shapes.append(tuple(args[0].shape))
        return func(*args, **kwargs)


@pytest.mark.gpu
def test_float32_on_a_gpu_is_float32() -> None:
    device = torch.device("cuda:0")
    conv = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(device)
    images = torch.randn(1, 256, 64, 64, device=device)
    exact = nn.functional.conv2d(images.double(), conv.weight.double(), padding=1)

    def error(wanted: Arithmetic) -> float:
        with computing(wanted), torch.no_grad():
            return ((conv(images) - exact).abs().max() / exact.abs().max()).item()

    assert error(TIMING) < 1e-5
    assert error(TRAINING) < 1e-5
    assert environment(device, 1, TIMING).arithmetic == describe(TIMING, device)
    (found,) = measure_latency({"net": build_model(SMALL, 5)}, QUICK, device).values()
    assert found.arithmetic == describe(TIMING, device)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["cuda_fp16", "cuda_bf16"])
def test_half_precision_on_a_gpu_agrees(name: str) -> None:
    device = torch.device("cuda:0")
    chosen = [one for one in RUNTIMES if one.name == name]
    (found,) = measure_runtimes({"net": build_model(SMALL, 5)}, chosen, QUICK, device)
    assert found.reason is None and found.agreement is not None
