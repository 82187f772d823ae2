"""Latency of the parts of a network, measured within whole calls, and how closely they add up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from stdc_lab.arithmetic import TIMING, computing
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.graph import Logits
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.devices import place
from stdc_lab.hardware.threads import cpu_threads, default_threads
from stdc_lab.machine import machine_lock
from stdc_lab.nn import Classifier, Segmenter
from stdc_lab.profiling.intervals import median_interval
from stdc_lab.profiling.timing import take_turns, timed
from stdc_lab.records import StageLatencies, StageLatency

UPSAMPLING = "upsampling"
"""What a segmenter does after its head; theory has no such part, since it has no multiply-accumulates."""


def measure_stages(
    network: nn.Module, config: LatencyConfig, device: torch.device, parts: Mapping[str, nn.Module] | None = None
) -> StageLatencies:
    """Time the parts of a deployed network (eager, float32, channels-last, batch 1) by the names that theory has.

    A watched call, in which the clock is read where a part begins, takes turns with one that nobody watches. A part
    lasts until the next begins, so that nothing of the call is left out. The network is moved to the device. `parts`:
    of a network that is not ours, the modules at which its parts begin.

    Raises `StdcLabError` for a network that is not ours, or has training heads.
    """
    parts = parts_of(network) if parts is None else parts
    threads = config.threads or default_threads()
    images = torch.randn((1, 3, *config.size), generator=torch.Generator().manual_seed(0))
    images = images.to(device=device, memory_format=torch.channels_last)
    graph = place(Logits(network), device).eval()
    watch = Watch(device)

    def watched() -> None:
        with watch.on(parts):
            graph(images)

    with machine_lock(alone=True), cpu_threads(threads), computing(TIMING), torch.inference_mode():
        calls = {"whole": timed(lambda: graph(images), device), "watched": timed(watched, device)}
        turns = take_turns(calls, config.replace(attempts=1))
    whole = turns.of("whole")
    # Without those of the warm-up and of the gaps between blocks.
    milliseconds = np.array(watch.milliseconds[-len(turns.counted) :])[turns.counted]
    stages = tuple(
        StageLatency(name=name, median_ms=float(np.median(column)), ci95_ms=median_interval(column, turns.blocks))
        for name, column in zip(watch.names, milliseconds.T, strict=True)
    )
    total, median = sum(stage.median_ms for stage in stages), float(np.median(whole))
    return StageLatencies(
        stages=stages,
        sum_ms=total,
        whole_ms=median,
        closure=total / median,
        repeats=len(whole),
        runtime="eager",
        threads=threads,
        device=str(device),
        input_shape=(1, 3, *config.size),
    )


def parts_of(network: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network in the order in which they run, by the names of theory's parts."""
    if not isinstance(network, Segmenter | Classifier):
        raise StdcLabError(f"stages: got {type(network).__name__}; allowed: a segmenter or classifier of stdc_lab")
    if isinstance(network, Segmenter) and network.heads is not None:
        raise StdcLabError("stages: got a network with training heads; allowed: the deployed one (strip_heads)")
    return network.parts()


class Watch:
    """Reads the clock where the parts of a network begin; on CUDA by events, which do not hold up the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.names: list[str] = []
        self.milliseconds: list[list[float]] = []
        """Of the parts, a row a call."""
        self._marks: list[Any] = []

    @contextmanager
    def on(self, parts: Mapping[str, nn.Module]) -> Iterator[None]:
        """Watch one call; what comes before the first part counts with it."""
        names = list(parts)
        _first, *later = parts.values()
        handles = [module.register_forward_pre_hook(self._mark) for module in later]
        if names[-1] == "head":
            names.append(UPSAMPLING)
            handles.append(parts["head"].register_forward_hook(self._mark))
        self._marks = [self._now()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self._marks.append(self._now())
        self.names = names
        self.milliseconds.append(self._durations())

    def _mark(self, *_hooked: Any) -> None:
        self._marks.append(self._now())

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter_ns()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _durations(self) -> list[float]:
        pairs = zip(self._marks, self._marks[1:], strict=False)
        if self.device.type != "cuda":
            return [(end - start) / 1e6 for start, end in pairs]
        torch.cuda.synchronize(self.device)
        return [start.elapsed_time(end) for start, end in pairs]
