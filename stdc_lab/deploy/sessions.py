"""Graphs run by ONNX Runtime and OpenVINO: images N×3×H×W in, logits out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Call = Callable[[Tensor], Tensor]


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

    The logits are float32, and overwritten by the next call.
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
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def call(images: Tensor) -> Tensor:
        # Shared: neither images nor logits are copied.
        found = request.infer([images.contiguous().numpy()], share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return call
