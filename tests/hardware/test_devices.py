from pathlib import Path

import pytest
import torch

from stdc_lab.errors import StdcLabError
from stdc_lab.hardware import devices
from stdc_lab.hardware.devices import choose_device, choose_dtype, computes_natively, not_native
from tests.cli.in_child import child

CPU = torch.device("cpu")


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1", "cpu:0"])
def test_an_unknown_device(wanted: str) -> None:
    with pytest.raises(StdcLabError, match=r"--device: got .*; allowed: auto, cpu"):
        choose_device(wanted)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(StdcLabError, match=r"got 'cuda:1', but PyTorch sees 0 GPUs here; allowed: auto, cpu"):
        choose_device("cuda:1")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, torch.float32), ({"avx512_bf16"}, torch.bfloat16), ({"amx_bf16", "avx2"}, torch.bfloat16)],
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    monkeypatch.setattr(devices, "_onednn_may_use_bfloat16", lambda: True)
    assert choose_dtype("auto", CPU) == expected
    assert choose_dtype("float32", CPU) == torch.float32


@pytest.mark.parametrize(
    ("supported", "variables", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),  # PyTorch says yes there, and emulates
        (True, {"DNNL_MAX_CPU_ISA": "avx512_core_vnni"}, False),
        (True, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DNNL_MAX_CPU_ISA": "AVX2"}, True),
    ],
)
def test_bfloat16_only_where_pytorch_uses_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, supported: bool, variables: dict[str, str], expected: bool
) -> None:
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"avx512_bf16"})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert computes_natively("bfloat16", CPU) is expected
    assert (choose_dtype("auto", CPU) == torch.bfloat16) is expected
    said = None if expected else "not native here: PyTorch finds no bfloat16 on this processor"
    assert not_native("bfloat16", CPU) == said
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16  # who asks for it gets it


def print_dtype() -> None:
    print(choose_dtype("auto", CPU))


def test_where_onednn_is_held_back_training_is_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with child(tmp_path, print_dtype) as held_back:
        assert held_back.status() == 0, held_back.errors
    assert held_back.output == "torch.float32\n"


@pytest.mark.parametrize(
    ("capability", "native", "chosen"),
    [
        ((5, 2), set(), torch.float32),
        ((7, 5), {"float16"}, torch.float16),
        ((8, 0), {"float16", "bfloat16", "tf32"}, torch.bfloat16),
        ((9, 0), {"float16", "bfloat16", "tf32"}, torch.bfloat16),
    ],
)
def test_what_a_gpu_computes_natively(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: set[str], chosen: torch.dtype
) -> None:
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert {dtype for dtype in ("float16", "bfloat16", "tf32") if computes_natively(dtype, gpu)} == native
    assert computes_natively("float32", gpu)
    assert choose_dtype("auto", gpu) == chosen
