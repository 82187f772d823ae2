"""The same weights in every runtime: what there is, what it needs, and how it is made."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from stdc_lab.arithmetic import TIMING, TIMING_TF32, Arithmetic, computing
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.folding import folded
from stdc_lab.deploy.graph import Logits, onnx_graph
from stdc_lab.deploy.sessions import Call, onnxruntime_session, openvino_lacks, openvino_session
from stdc_lab.deploy.winograd import with_winograd
from stdc_lab.errors import ConfigError, StdcLabError
from stdc_lab.hardware.devices import computes_natively, not_native
from stdc_lab.hardware.memory import keep_freed_memory


class Source:
    """What runtimes are made from: a network, and images of the shape that is wanted, on the device."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.network = network
        self.images = images

    def folded(self) -> nn.Module:
        """A copy of the network with folded batch norms."""
        return folded(self.network, self.images)

    @cached_property
    def graph(self) -> bytes:
        """The serialised ONNX graph, which takes seconds to make and serves several runtimes."""
        serialised: bytes = onnx_graph(self.network, self.images).SerializeToString()
        return serialised


Maker = Callable[[Source, int], Call]
"""A source and CPU threads → images to logits."""


@dataclass(frozen=True)
class Runtime:
    """A way to run a network.

    extra: what installs it, `pip install 'stdc_lab[extra]'`; None: it comes with PyTorch. compiles: needs a C++
    compiler on the CPU, and minutes. keeps_memory: its feature maps stay allocated between calls. replaces: says, where
    all is installed, which other dtype it would compute in on the device without a word; None: it keeps its dtype.
    """

    name: str
    what: str
    dtype: Literal["float32", "tf32", "bfloat16", "float16"]
    layout: Literal["contiguous", "channels-last"]
    make: Maker
    devices: tuple[str, ...] = ("cpu",)
    extra: str | None = None
    modules: tuple[str, ...] = ()
    compiles: bool = False
    keeps_memory: bool = False
    engine: str = ""
    replaces: Callable[[torch.device], str | None] = lambda device: None

    @property
    def is_eager(self) -> bool:
        """Whether it is what a study times unless it says otherwise, see `profiling.latency.measure_eager`."""
        return self.engine == "eager"

    @property
    def arithmetic(self) -> Arithmetic:
        """How PyTorch computes in it."""
        return TIMING_TF32 if self.dtype == "tf32" else TIMING


def _eager(source: Source, threads: int) -> Call:
    return _in_torch(copy.deepcopy(source.network), source.images, torch.contiguous_format)


def _channels_last(source: Source, threads: int) -> Call:
    return _in_torch(copy.deepcopy(source.network), source.images)


def _folded(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images)


def _compiled(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, compiled=True)


def _winograd(source: Source, threads: int) -> Call:
    return _in_torch(with_winograd(source.folded()), source.images, compiled=True)


def _bf16(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, dtype=torch.bfloat16)


def _compiled_bf16(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, dtype=torch.bfloat16, compiled=True)


def _winograd_bf16(source: Source, threads: int) -> Call:
    return _in_torch(with_winograd(source.folded()), source.images, dtype=torch.bfloat16, compiled=True)


def _onnxruntime(source: Source, threads: int) -> Call:
    return onnxruntime_session(source.graph, threads)


def _openvino(source: Source, threads: int) -> Call:
    return openvino_session(source.graph, threads)


def _openvino_bf16(source: Source, threads: int) -> Call:
    return openvino_session(source.graph, threads, "bf16")


def _openvino_without_bf16(device: torch.device) -> str | None:
    return openvino_lacks("bf16")


def _cuda_without_tf32(device: torch.device) -> str | None:
    return None if computes_natively("tf32", device) else "this GPU has no TensorFloat-32 and computes float32 instead"


def _cuda_tf32(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, tf32=True)


def _cuda_fp16(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, dtype=torch.float16)


def _cuda_bf16(source: Source, threads: int) -> Call:
    return _in_torch(source.folded(), source.images, dtype=torch.bfloat16)


BOTH = ("cpu", "cuda")
CL: Literal["channels-last"] = "channels-last"
NCHW: Literal["contiguous"] = "contiguous"
ONNX = ("onnx", "onnxscript", "onnxruntime")
OPENVINO = ("onnx", "onnxscript", "openvino")
RUNTIMES = (
    Runtime("eager", "PyTorch as it comes", "float32", NCHW, _eager, BOTH, engine="contiguous"),
    Runtime("channels_last", "eager, channels last in memory", "float32", CL, _channels_last, BOTH, engine="eager"),
    Runtime("folded", "batch norm in the convolutions, doublings merged", "float32", CL, _folded, BOTH),
    Runtime("compile", "folded, torch.compile", "float32", CL, _compiled, BOTH, compiles=True),
    Runtime("winograd", "compile, wide 3×3 by Winograd", "float32", CL, _winograd, compiles=True),
    Runtime("bf16", "folded, weights in bfloat16", "bfloat16", CL, _bf16, engine="folded"),
    Runtime("compile_bf16", "bf16, torch.compile", "bfloat16", CL, _compiled_bf16, compiles=True, engine="compile"),
    Runtime(
        "winograd_bf16",
        "compile_bf16, wide 3×3 by Winograd",
        "bfloat16",
        CL,
        _winograd_bf16,
        compiles=True,
        engine="winograd",
    ),
    Runtime("onnxruntime", "ONNX Runtime", "float32", NCHW, _onnxruntime, ("cpu",), "onnx", ONNX, keeps_memory=True),
    Runtime("openvino", "OpenVINO", "float32", NCHW, _openvino, ("cpu",), "openvino", OPENVINO, keeps_memory=True),
    Runtime(
        "openvino_bf16",
        "OpenVINO in bfloat16",
        "bfloat16",
        NCHW,
        _openvino_bf16,
        ("cpu",),
        "openvino",
        OPENVINO,
        keeps_memory=True,
        engine="openvino",
        replaces=_openvino_without_bf16,
    ),
    Runtime(
        "cuda_tf32",
        "folded, TensorFloat-32",
        "tf32",
        CL,
        _cuda_tf32,
        ("cuda",),
        engine="folded",
        replaces=_cuda_without_tf32,
    ),
    Runtime("cuda_fp16", "folded, weights in float16", "float16", CL, _cuda_fp16, ("cuda",), engine="folded"),
    Runtime("cuda_bf16", "folded, weights in bfloat16", "bfloat16", CL, _cuda_bf16, ("cuda",), engine="folded"),
)


def find_runtimes(names: Iterable[str], device: torch.device) -> tuple[Runtime, ...]:
    """Runtimes by name, or with `all` those that can run on the device.

    One that is named is taken where its dtype is only emulated. Raises `ConfigError` for an unknown one, or one that
    cannot run here or would compute in another dtype than its own, with what would help.
    """
    known = {runtime.name: runtime for runtime in RUNTIMES}
    found: dict[str, Runtime] = {}
    for name in names:
        if name == "all":
            found |= {runtime.name: runtime for runtime in available(device)}
            continue
        if name not in known:
            raise ConfigError(f"--runtime: got {name!r}; allowed: all, {', '.join(known)}")
        reason = missing(known[name], device)
        if reason is not None:
            raise ConfigError(f"--runtime: got {name!r}, but {reason}")
        found[name] = known[name]
    return tuple(found.values())


def check_runtime(config: LatencyConfig, device: torch.device, where: str = "study") -> Runtime:
    """The runtime that a study's latencies are measured in.

    where: the study's file or name, for the message. Raises `ConfigError` if there is none of this name and dtype, or
    it cannot run on the device, or the device only emulates the dtype: with what was got and what is allowed here.
    """
    named = [one for one in RUNTIMES if (one.engine or one.name, one.dtype) == (config.runtime, config.dtype)]
    found = next((one for one in named if device.type in one.devices), next(iter(named), None))
    reason = "there is no such runtime" if found is None else missing(found, device) or not_native(found.dtype, device)
    if found is not None and reason is None:
        return found
    allowed = ", ".join(f"{one.engine or one.name} in {one.dtype}" for one in available(device))
    got = f"{config.runtime!r} in {config.dtype}"
    raise ConfigError(f"{where}: latency.runtime: got {got}, but {reason}; allowed here: {allowed}")


def available(device: torch.device) -> tuple[Runtime, ...]:
    """The runtimes that can run on the device, without those whose dtype it would only emulate."""
    out = left_out(device)
    return tuple(runtime for runtime in RUNTIMES if device.type in runtime.devices and runtime.name not in out)


def left_out(device: torch.device) -> dict[str, str]:
    """The runtimes for such a device that `all` leaves out here, each with the reason."""
    ours = [runtime for runtime in RUNTIMES if device.type in runtime.devices]
    reasons = {one.name: not_native(one.dtype, device) or missing(one, device) for one in ours}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def missing(runtime: Runtime, device: torch.device) -> str | None:
    """What it lacks to run on the device, and how to get it; None if nothing."""
    if device.type not in runtime.devices:
        return f"it runs on {' or '.join(runtime.devices)} only, not on {device.type}"
    lacking = [name for name in runtime.modules if importlib.util.find_spec(name) is None]
    if lacking:
        return f"{', '.join(lacking)} is not installed: pip install 'stdc_lab[{runtime.extra}]'"
    if runtime.compiles and device.type == "cpu" and not any(map(shutil.which, _compilers())):
        return "torch.compile finds no C++ compiler here: install g++ or clang++"
    return runtime.replaces(device)


def start(runtime: Runtime, source: Source, threads: int) -> Call:
    """Make the runtime and call it once, which is when compilers do their work; the network is left as it is.

    To be called with `threads` as PyTorch's own number of threads, which compiled code keeps.
    """
    call = runtime.make(source, threads)
    call(source.images)
    return call


def _in_torch(
    network: nn.Module,
    images: Tensor,
    layout: torch.memory_format = torch.channels_last,
    *,
    dtype: torch.dtype = torch.float32,
    tf32: bool = False,
    compiled: bool = False,
) -> Call:
    device = images.device
    if device.type == "cpu":
        keep_freed_memory()
    # The norms that folding left keep their statistics in float32: a variance may be infinite in float16.
    norms = {norm: norm.state_dict() for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)}
    placed = Logits(network).eval().to(device, dtype).to(memory_format=layout)  # type: ignore[call-overload]
    for norm, exact in norms.items():
        norm.float().load_state_dict(exact)
    graph: Callable[[Tensor], Tensor] = placed
    if compiled:
        # Frozen weights are packed once, and norms, activations and convolutions become one.
        graph = torch.compile(placed, dynamic=False, options={"freezing": True})

    def call(images: Tensor) -> Tensor:
        # The compiler sees through `no_grad`, and would compile again for the inference mode of a caller.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            computing(TIMING_TF32 if tf32 else TIMING) if device.type == "cuda" else nullcontext(),
        ):
            return graph(images.to(dtype=dtype, memory_format=layout))

    if compiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler about itself
            try:
                call(images)
            except torch._dynamo.exc.TorchDynamoException as error:
                raise StdcLabError(f"torch.compile failed: {str(error).strip().splitlines()[0]}") from error
    return call


def _compilers() -> tuple[str, ...]:
    chosen = os.environ.get("CXX")
    return (chosen,) if chosen else ("g++", "clang++")
