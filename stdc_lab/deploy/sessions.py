"""Graphs run by ONNX Runtime and OpenVINO: images N×3×H×W in, logits out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stdc_lab.errors import StdcLabError

Call = Callable[[Tensor], Tensor]
DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
"""By OpenVINO's names."""
_MULTIPLYING = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")


def onnxruntime_session(graph: bytes | Path, threads: int) -> Call:
    """ONNX Runtime on the CPU, from a serialised graph or its file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads would go on spinning after a call, on the cores of whatever is timed next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    (image_input,) = session.get_inputs()

    def call(images: Tensor) -> Tensor:
        (logits,) = session.run(None, {image_input.name: images.contiguous().numpy()})
        return torch.from_numpy(logits)

    return call


def openvino_session(graph: bytes | Path, threads: int, precision: str = "f32") -> Call:
    """OpenVINO on the CPU, computing in `precision` (f32 or bf16), from a serialised ONNX graph or a file of either.

    The logits are float32, and overwritten by the next call. Raises `StdcLabError` if OpenVINO does not execute the
    graph in that precision: on a processor without it, it takes another without a word.
    """
    import openvino

    core = openvino.Core()
    # Reading by the core, not by its converter: that one would report its use to the makers.
    model = core.read_model(graph if isinstance(graph, bytes) else str(graph))
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    compiled = _compiled(core, model, settings)
    executed = _executed(compiled)
    if executed != precision:
        raise StdcLabError(_other_precision(executed, precision))
    request = compiled.create_infer_request()

    def call(images: Tensor) -> Tensor:
        # Shared: neither images nor logits are copied.
        found = request.infer([images.contiguous().numpy()], share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return call


def openvino_lacks(precision: str) -> str | None:
    """Why OpenVINO does not compute in `precision` (f32 or bf16) on this CPU, found with a small convolution."""
    import openvino
    from openvino import opset8

    images = opset8.parameter([1, 16, 8, 8], openvino.Type.f32)
    kernel = opset8.constant(torch.ones(16, 16, 3, 3).numpy())
    convolution = opset8.convolution(images, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([convolution], [images])
    try:
        executed = _executed(_compiled(openvino.Core(), model, {"INFERENCE_PRECISION_HINT": precision}))
    except StdcLabError as error:
        return str(error)
    return None if executed == precision else _other_precision(executed, precision)


def _compiled(core: Any, model: Any, settings: dict[str, Any]) -> Any:
    """The model for the CPU. Raises `StdcLabError` where OpenVINO has no way to compute it."""
    try:
        return core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        wanted, words = DTYPES[settings["INFERENCE_PRECISION_HINT"]], str(error).strip().splitlines()
        raise StdcLabError(f"OpenVINO cannot compute in {wanted} here: {words[-1]}") from error


def _executed(compiled: Any) -> str:
    """The precision that most convolutions and products of matrices are executed in, as the compiled model tells it."""
    told = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    found = Counter(info["runtimePrecision"].value for info in told if info["layerType"].value in _MULTIPLYING)
    if not found:
        return str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return str(found.most_common(1)[0][0])


def _other_precision(executed: str, precision: str) -> str:
    return f"OpenVINO executes {DTYPES.get(executed, executed)} here, not {DTYPES[precision]}"
