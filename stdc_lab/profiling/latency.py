"""Latency of inference graphs in eager PyTorch, and what every latency here is measured with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from stdc_lab.arithmetic import TIMING, arithmetic_here, computing, describe
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.data import IMAGE_MEAN, IMAGE_STD, render_scene
from stdc_lab.deploy.folding import settle_norms
from stdc_lab.deploy.graph import Logits
from stdc_lab.hardware.devices import place
from stdc_lab.hardware.threads import cpu_threads, default_threads
from stdc_lab.machine import machine_lock
from stdc_lab.profiling.intervals import INTERVAL_IS, is_noisy, median_interval, precision_of, spread_of
from stdc_lab.profiling.memory import lack_of_memory, peak_memory
from stdc_lab.profiling.timing import OnProgress, Turns, take_turns, timed, times_as_fast
from stdc_lab.records import LatencyResult

SETTLING_IMAGES = (4, 3, 128, 256)
"""Of noise, which untrained norms take their statistics from."""
Shape = tuple[int, int, int, int]


class _OfTurns(TypedDict):
    warmup_repeats: int
    attempts: int
    blocks: np.ndarray
    confidence: float


def measure_eager(
    networks: Mapping[str, nn.Module],
    config: LatencyConfig,
    device: torch.device,
    on_progress: OnProgress | None = None,
    *,
    reference: str | None = None,
) -> dict[str, LatencyResult]:
    """Time networks (inference form, eager, float32, channels-last) under the machine's lock, taking turns.

    Results say how many times as fast as the `reference` each is, if one of the names is given. `on_progress` hears
    the share that is done. The networks are moved to the device, channels-last.
    """
    threads = config.threads or default_threads()
    images = _noise(config.input_shape).to(device=device, memory_format=torch.channels_last)
    graphs = {name: place(Logits(network), device).eval() for name, network in networks.items()}
    with machine_lock(alone=True), cpu_threads(threads), computing(TIMING), torch.inference_mode():
        works = {name: work(graph, images) for name, graph in graphs.items()}
        with lack_of_memory():
            memory = {name: peak_memory(one, device) for name, one in works.items()}
        calls = {name: timed(one, device) for name, one in works.items()}
        turns = take_turns(calls, config, on_progress)
        ran = describe(arithmetic_here(), device)
    return {
        name: summarise(
            turns.of(name),
            **of_turns(turns, name),
            device=str(device),
            threads=threads,
            input_shape=config.input_shape,
            precision=config.precision,
            arithmetic=ran,
        ).replace(peak_memory_bytes=memory[name], **against(turns, name, reference))
        for name in turns.names
    }


def sample_images(shape: Shape, *, trained: bool) -> Tensor:
    """Street scenes, normalised, for trained weights; for others noise, which their norms have seen."""
    if not trained:
        return _noise(shape)
    batch, _, height, width = shape
    pixels = np.stack([render_scene(0, index, height, width)[0] for index in range(batch)])
    mean, std = torch.tensor(IMAGE_MEAN) * 255, torch.tensor(IMAGE_STD) * 255
    return ((torch.from_numpy(pixels).float() - mean) / std).permute(0, 3, 1, 2).contiguous()


def with_settled_norms(network: nn.Module) -> nn.Module:
    """A copy of an untrained network whose norms have the statistics of noise images."""
    copied = copy.deepcopy(network).cpu()
    settle_norms(copied, _noise(SETTLING_IMAGES))
    return copied


def summarise(
    milliseconds: np.ndarray,
    *,
    warmup_repeats: int,
    device: str,
    threads: int,
    input_shape: Shape,
    runtime: str = "eager",
    dtype: str = "float32",
    layout: str = "channels-last",
    precision: float = 0.02,
    attempts: int = 1,
    blocks: np.ndarray | None = None,
    confidence: float = 0.95,
    arithmetic: str | None = None,
) -> LatencyResult:
    """Median, 95th percentile, interval and spread of repeated timings (a vector, in ms).

    blocks: the block of each of them; None: each is one by itself. confidence: of this look at the interval. See
    `profiling.intervals`.
    """
    median, p95 = (float(v) for v in np.percentile(milliseconds, [50, 95]))
    return LatencyResult(
        median_ms=median,
        p95_ms=p95,
        ci95_ms=median_interval(milliseconds, blocks, confidence),
        spread=spread_of(milliseconds),
        repeats=len(milliseconds),
        warmup_repeats=warmup_repeats,
        runtime=runtime,
        device=device,
        dtype=dtype,
        threads=threads,
        input_shape=input_shape,
        layout=layout,
        precision=precision_of(milliseconds, blocks, confidence),
        noisy=is_noisy(milliseconds, precision, blocks, confidence),
        attempts=attempts,
        blocks=len(milliseconds) if blocks is None else len(np.unique(blocks)),
        interval_is=INTERVAL_IS,
        arithmetic=arithmetic,
    )


def of_turns(turns: Turns, name: str) -> _OfTurns:
    """What `summarise` is told of how the timings of one call came about."""
    return {
        "warmup_repeats": turns.warmups[turns.names.index(name)],
        "attempts": turns.attempts,
        "blocks": turns.blocks,
        "confidence": turns.confidence,
    }


def against(turns: Turns, name: str, reference: str | None) -> dict[str, object]:
    """How many times as fast as the reference, as fields of a `LatencyResult`; nothing without one."""
    if reference is None or reference not in turns.names:
        return {}
    ratio, interval = times_as_fast(turns, name, reference)
    return {"reference": reference, "times_as_fast": ratio, "times_as_fast_ci95": interval}


def work(call: Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    """The call on these images, for a timer."""
    return lambda: call(images)


def shape_of(images: Tensor) -> Shape:
    """Of images: four numbers."""
    batch, channels, height, width = images.shape
    return batch, channels, height, width


def _noise(shape: Shape) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
