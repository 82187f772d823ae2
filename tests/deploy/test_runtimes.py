import copy
import dataclasses
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec
from stdc_lab.deploy import runtimes as module
from stdc_lab.deploy.agreement import LIMITS, check, check_rounding, compare, expected_logits
from stdc_lab.deploy.folding import doubling_kernel, folded, settle_norms
from stdc_lab.deploy.runtimes import RUNTIMES, Source, available, find_runtimes, left_out, missing, start
from stdc_lab.deploy.winograd import TRANSFORMS, WinogradConv, suits, with_winograd
from stdc_lab.errors import ConfigError, StdcLabError
from stdc_lab.hardware import devices
from stdc_lab.nn import build_classifier, build_model

CPU = torch.device("cpu")
SPEC = StdcSpec(base_width=16, depths=(1, 1, 1), decoder=DecoderSpec(64, 64, 64))
DOUBLING, ODD = (64, 128), (72, 100)
"""At the first every stage halves exactly, so the decoder's maps double; at the second they do not."""


def settled(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    settle_norms(network, torch.randn(4, 3, 64, 96))
    return network


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return settled(build_model(SPEC, 5))


@pytest.fixture(scope="module")
def source(network: nn.Module) -> Source:
    return Source(network, images())


def images(size: tuple[int, int] = DOUBLING, batch: int = 1) -> Tensor:
    return torch.randn((batch, 3, *size), generator=torch.Generator().manual_seed(1))


def logits(network: nn.Module, size: tuple[int, int]) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(images(size)).logits
    return found


@pytest.mark.parametrize("size", [DOUBLING, ODD])
@pytest.mark.parametrize("spec", [SPEC, SPEC.replace(fusion="add"), SPEC.replace(downsample="strided")])
def test_folding_changes_nothing_but_rounding(spec: ArchSpec, size: tuple[int, int]) -> None:
    network = settled(build_model(spec, 5))
    before = copy.deepcopy(network.state_dict())
    expected = logits(network, size)
    for other in (folded(network), folded(network, merge_doubling=False)):
        assert not [part for part in other.modules() if isinstance(part, nn.BatchNorm2d)]
        assert torch.allclose(logits(other, size), expected, atol=1e-4 * expected.abs().max().item())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_bilinear_decoder_is_not_merged() -> None:
    network = settled(build_model(SPEC.replace(decoder=dataclasses.replace(SPEC.decoder, interpolation="bilinear")), 5))
    expected = logits(network, DOUBLING)
    assert torch.allclose(logits(folded(network), DOUBLING), expected, atol=1e-4 * expected.abs().max().item())


def test_doubling_and_convolution_are_one_transposed_convolution() -> None:
    features, weight, bias = torch.randn(2, 3, 5, 7), torch.randn(4, 3, 3, 3), torch.randn(4)
    enlarged = functional.interpolate(features, scale_factor=2, mode="nearest")
    expected = functional.conv2d(enlarged, weight, bias, padding=1)
    found = functional.conv_transpose2d(features, doubling_kernel(weight), bias, stride=2, padding=1)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 64, 8, 12), (2, 64, 5, 7), (1, 64, 1, 1)])
def test_winograd_is_the_same_convolution(shape: tuple[int, ...]) -> None:
    conv, features = nn.Conv2d(64, 6, 3, padding=1), torch.randn(shape)
    with torch.no_grad():
        expected = conv(features)
        assert torch.allclose(WinogradConv(conv)(features), expected, atol=2e-5)


def test_winograd_in_bfloat16_is_nearly_as_exact_as_the_direct_convolution() -> None:
    torch.manual_seed(0)
    conv, features = nn.Conv2d(256, 32, 3, padding=1), torch.randn(2, 256, 16, 24)
    with torch.no_grad():
        expected = conv(features)
        errors = [
            (one.to(torch.bfloat16)(features.to(torch.bfloat16)).float() - expected).square().mean().sqrt()
            for one in (WinogradConv(conv), copy.deepcopy(conv))
        ]
    assert errors[0] < 6 * errors[1]  # 11 times with the usual points, more with transforms in bfloat16


def test_between_the_transforms_a_convolution_is_a_product() -> None:
    pixels, kernel = np.arange(6.0) ** 2, np.array([3.0, -1.0, 2.0])
    of_pixels, of_kernel, to_results = (np.array(matrix) for matrix in TRANSFORMS)
    found = to_results @ ((of_kernel @ kernel) * (of_pixels @ pixels))
    assert found == pytest.approx(np.correlate(pixels, kernel, "valid"), abs=1e-9)


def test_winograd_takes_only_what_it_can_compute(network: nn.Module) -> None:
    assert suits(nn.Conv2d(128, 8, 3, padding=1))
    for conv in (
        nn.Conv2d(128, 8, 3, padding=1, stride=2),
        nn.Conv2d(128, 8, 3),
        nn.Conv2d(128, 8, 1),
        nn.Conv2d(128, 128, 3, padding=1, groups=128),
        nn.Conv2d(127, 8, 3, padding=1),
        nn.Conv2d(128, 8, 3, padding=2, dilation=2),
    ):
        assert not suits(conv)
    changed = with_winograd(folded(network))
    assert [part for part in changed.modules() if isinstance(part, WinogradConv)]
    expected = logits(network, ODD)
    assert torch.allclose(logits(changed, ODD), expected, atol=1e-3 * expected.abs().max().item())


def test_settled_norms_have_the_statistics_of_the_images() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    seen = 5 * torch.randn(4, 3, 64, 64)
    settle_norms(network, seen)
    with torch.no_grad():
        out = network(seen)
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-2)
    assert torch.allclose(out.std((0, 2, 3)), torch.ones(4), atol=1e-2)
    assert network[1].momentum == nn.BatchNorm2d(4).momentum
    assert not network.training


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(runtime.name, marks=[pytest.mark.slow] if runtime.compiles else [])
        for runtime in RUNTIMES
        if "cpu" in runtime.devices
    ],
)
def test_every_runtime_agrees_with_the_eager_network(name: str, network: nn.Module, source: Source) -> None:
    runtime = next(runtime for runtime in RUNTIMES if runtime.name == name)
    reason = missing(runtime, CPU)
    if reason is not None and "OpenVINO" in reason:  # a processor without bfloat16
        with pytest.raises(ConfigError, match=re.escape(f"--runtime: got {name!r}, but {reason}")):
            find_runtimes([name], CPU)
        with pytest.raises(StdcLabError, match=r"OpenVINO .* here"):
            start(runtime, source, threads=1)
        return
    if reason is not None:
        pytest.skip(reason)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    call = start(runtime, source, threads=1)
    found = call(images())
    assert found.shape == (1, 5, *DOUBLING)
    agreement = compare(expected_logits(network, images()), found, "random")
    check(name, runtime.dtype, agreement)
    check_rounding(name, runtime.dtype, agreement)
    if runtime.dtype == "bfloat16":
        assert agreement.max_rel_error > 1e-4  # it does compute in bfloat16
    assert torch.equal(call(images()), found)
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())


def test_a_classifier_runs_too() -> None:
    classifier = settled(build_classifier(SPEC, 7))
    (runtime,) = find_runtimes(["folded"], CPU)
    found = start(runtime, Source(classifier, images((64, 64), 2)), threads=1)(images((64, 64), 2))
    check("folded", "float32", compare(expected_logits(classifier, images((64, 64), 2)), found, "random"))


@pytest.mark.parametrize("dtype", LIMITS)
def test_logits_of_another_network_are_refused(dtype: str, network: nn.Module) -> None:
    expected = expected_logits(network, images())
    check("same", dtype, compare(expected, expected, "trained"))
    with pytest.raises(StdcLabError, match=rf"mine: its logits are not those of the float32 .* allowed in {dtype}: "):
        check("mine", dtype, compare(expected, expected.roll(3, dims=1), "trained"))
    with pytest.raises(StdcLabError, match="mine: its logits"):
        check("mine", dtype, compare(expected, expected * float("nan"), "trained"))


def test_a_small_error_everywhere_is_told_from_rounding(network: nn.Module) -> None:
    expected = expected_logits(network, images())
    wrong = expected * 1.005
    with pytest.raises(StdcLabError, match=r"largest error 5\.0e-03"):
        check("mine", "float32", compare(expected, wrong, "random"))
    check("mine", "bfloat16", compare(expected, wrong, "random"))


def test_unknown_runtimes_and_those_that_cannot_run_here_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--runtime: got 'tensorrt'; allowed: all, eager, channels_last, folded"):
        find_runtimes(["eager", "tensorrt"], CPU)
    with pytest.raises(ConfigError, match=r"--runtime: got 'cuda_fp16', but it runs on cuda only, not on cpu"):
        find_runtimes(["cuda_fp16"], CPU)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"openvino is not installed: pip install 'stdc_lab\[openvino\]'"):
        find_runtimes(["openvino_bf16"], CPU)
    with pytest.raises(ConfigError, match=r"onnxruntime is not installed: pip install 'stdc_lab\[onnx\]'"):
        find_runtimes(["onnxruntime"], CPU)
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"'compile', but torch.compile finds no C\+\+ compiler here"):
        find_runtimes(["compile"], CPU)
    assert {runtime.name for runtime in find_runtimes(["all"], CPU)} <= {"eager", "channels_last", "folded", "bf16"}


def test_all_leaves_out_dtypes_that_are_only_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"avx2"})
    assert {runtime.dtype for runtime in available(CPU)} == {"float32"}
    out = left_out(CPU)
    for name in ("bf16", "compile_bf16", "winograd_bf16", "openvino_bf16"):
        assert out[name] == "not native here: PyTorch finds no bfloat16 on this processor"
    assert not any(name.startswith("cuda") for name in out)
    assert [runtime.name for runtime in find_runtimes(["bf16", "bf16"], CPU)] == ["bf16"]


def test_a_gpu_without_a_dtype_leaves_its_runtimes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    out = left_out(gpu)
    assert {name for name in out if name.startswith("cuda")} == {"cuda_tf32", "cuda_bf16"}
    assert out["cuda_tf32"] == "not native here: PyTorch finds no tf32 on this GPU"
    with pytest.raises(ConfigError, match="'cuda_tf32', but this GPU has no TensorFloat-32 and computes float32"):
        find_runtimes(["cuda_tf32"], gpu)
    assert [runtime.name for runtime in find_runtimes(["cuda_fp16", "cuda_bf16"], gpu)] == ["cuda_fp16", "cuda_bf16"]


@pytest.fixture
def openvino_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO as it is on a processor without bfloat16, which it takes float32 for without a word."""
    openvino = pytest.importorskip("openvino")
    compile_model = openvino.Core.compile_model

    def in_float32(core: Any, model: Any, device: str, settings: dict[str, Any]) -> Any:
        return compile_model(core, model, device, {**settings, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(openvino.Core, "compile_model", in_float32)


def test_openvino_is_asked_what_it_executes(openvino_in_float32: None, source: Source) -> None:
    runtime = next(runtime for runtime in RUNTIMES if runtime.name == "openvino_bf16")
    with pytest.raises(StdcLabError, match="OpenVINO executes float32 here, not bfloat16"):
        start(runtime, source, threads=1)
    with pytest.raises(ConfigError, match="'openvino_bf16', but OpenVINO executes float32 here, not bfloat16"):
        find_runtimes(["openvino_bf16"], CPU)
    assert "openvino_bf16" in left_out(CPU) and "openvino" not in left_out(CPU)
    start(next(runtime for runtime in RUNTIMES if runtime.name == "openvino"), source, threads=1)


def test_what_openvino_cannot_compile_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino")

    def failing(*arguments: object) -> None:
        raise RuntimeError("Exception from core.cpp:\nobject is not initialized\n\n")

    monkeypatch.setattr(openvino.Core, "compile_model", failing)
    with pytest.raises(ConfigError, match="OpenVINO cannot compute in bfloat16 here: object is not initialized"):
        find_runtimes(["openvino_bf16"], CPU)


@pytest.mark.parametrize(("dtype", "rounding"), [("bfloat16", 5e-3), ("float16", 5e-4), ("tf32", 5e-4)])
def test_a_low_dtype_that_is_exact_was_not_computed_in(dtype: str, rounding: float) -> None:
    expected = torch.ones(1, 2, 4, 4)
    check_rounding("mine", dtype, compare(expected, expected * (1 + rounding), "random"))
    with pytest.raises(StdcLabError, match=rf"mine: it did not compute in {dtype} but in float32: its largest error"):
        check_rounding("mine", dtype, compare(expected, expected * (1 + 3e-6), "random"))
    check_rounding("mine", "float32", compare(expected, expected, "random"))


def test_each_runtime_is_described() -> None:
    assert len({runtime.name for runtime in RUNTIMES}) == len(RUNTIMES)
    for runtime in RUNTIMES:
        assert runtime.dtype in LIMITS
        assert (runtime.extra is None) == (not runtime.modules)
        assert dataclasses.replace(runtime, name="x").what == runtime.what != ""


@pytest.mark.gpu
@pytest.mark.parametrize("name", [runtime.name for runtime in RUNTIMES if "cuda" in runtime.devices])
def test_on_a_gpu(name: str, network: nn.Module) -> None:
    device = torch.device("cuda:0")
    (runtime,) = find_runtimes([name], device)
    found = start(runtime, Source(network, images().to(device)), threads=1)(images().to(device))
    assert found.device == device
    check(name, runtime.dtype, compare(expected_logits(network, images()), found, "random"))
