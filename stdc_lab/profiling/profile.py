"""`ArchSpec` → `ProfileResult`: what a network costs in its inference form."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stdc_lab.arch import ArchSpec, analyse
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.machine import environment, usable_cores
from stdc_lab.nn import build_model
from stdc_lab.profiling.counters import count_macs
from stdc_lab.profiling.latency import measure_latency
from stdc_lab.records import ProfileResult, StageCost


def profile(
    spec: ArchSpec,
    *,
    num_classes: int = 19,
    latency: LatencyConfig | None = None,
    timed: bool = True,
    device: torch.device | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ProfileResult:
    """Parameters, MACs by several counters and by stage, and (if `timed`) the latency at batch 1.

    The latency is of untrained weights, which cost the same. Size, threads and duration are in `latency`.
    """
    config = latency or LatencyConfig()
    device = device or torch.device("cpu")
    network = build_model(spec, num_classes)
    counted = count_macs(network, config.size)
    theory = analyse(spec, config.size, num_classes)
    result = ProfileResult(
        arch=spec,
        arch_id=spec.arch_id,
        num_classes=num_classes,
        size=config.size,
        num_params=theory.cost.num_params,
        macs=theory.cost.macs,
        counters=counted.counters,
        not_counted=counted.not_counted,
        stages=tuple(map(StageCost.of, theory.parts)),
    )
    if not timed:
        return result
    measured = measure_latency({"network": network}, config, device, on_progress)["network"]
    threads = config.threads or usable_cores()
    return result.model_copy(update={"latency": measured, "environment": environment(device, threads)})
