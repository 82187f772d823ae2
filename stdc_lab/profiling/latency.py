"""Latency of inference graphs: networks, runtimes, batch and input sizes, and the parts of a network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stdc_lab.config.latency import LatencyConfig
from stdc_lab.data import IMAGE_MEAN, IMAGE_STD, render_scene
from stdc_lab.deploy.folding import settle_norms
from stdc_lab.deploy.graph import Logits
from stdc_lab.deploy.runtimes import Runtime, Source, check, compare, expected_logits, start
from stdc_lab.deploy.sessions import Call as Run
from stdc_lab.errors import StdcLabError
from stdc_lab.machine import cpu_threads, is_out_of_memory, machine_lock, place, usable_cores
from stdc_lab.profiling.memory import free_memory, peak_memory
from stdc_lab.profiling.timing import (
    Call,
    OnProgress,
    Turns,
    is_noisy,
    median_interval,
    precision_of,
    spread_of,
    take_turns,
    timed,
    times_as_fast,
)
from stdc_lab.records import Agreement, LatencyResult, RuntimeResult

SETTLING_IMAGES = (4, 3, 128, 256)
"""Of noise, which untrained norms take their statistics from."""
Shape = tuple[int, int, int, int]


def measure_latency(
    networks: Mapping[str, nn.Module],
    config: LatencyConfig,
    device: torch.device,
    on_progress: OnProgress | None = None,
    *,
    reference: str | None = None,
) -> dict[str, LatencyResult]:
    """Time networks (inference form, eager, channels-last) at batch 1 under the machine's lock, taking turns.

    Results say how many times as fast as the `reference` each is, if one of the names is given. `on_progress` hears
    the share that is done. The networks are moved to the device, channels-last.
    """
    threads = config.threads or usable_cores()
    images = _noise((1, 3, *config.size)).to(device=device, memory_format=torch.channels_last)
    graphs = {name: place(Logits(network), device).eval() for name, network in networks.items()}
    with machine_lock(alone=True), cpu_threads(threads), torch.inference_mode():
        works = {name: _work(graph, images) for name, graph in graphs.items()}
        memory = {name: peak_memory(work, device) for name, work in works.items()}
        calls = {name: timed(work, device) for name, work in works.items()}
        turns = take_turns(calls, config, on_progress)
    return {
        name: summarise(
            turns.of(name),
            warmup_repeats=turns.warmups[index],
            device=str(device),
            threads=threads,
            input_shape=(1, 3, *config.size),
            precision=config.precision,
            attempts=turns.attempts,
        ).model_copy(update={"peak_memory_bytes": memory[name], **_compared(turns, name, reference)})
        for index, name in enumerate(turns.names)
    }


def measure_runtimes(
    network: nn.Module,
    runtimes: Sequence[Runtime],
    config: LatencyConfig,
    device: torch.device,
    *,
    trained: bool,
    batches: Iterable[int] = (1,),
    sizes: Iterable[tuple[int, int]] | None = None,
    reference: str | None = None,
    others: Mapping[str, Call] | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> list[RuntimeResult]:
    """The same weights in several runtimes: outputs compared first, then timed, taking turns; the fastest first.

    For every batch size and input size (default: that of the configuration) a result a runtime; one that fails,
    disagrees or runs out of memory has the reason instead of figures, and the others still run. `trained`: whether
    the weights are; if not, a copy's norms get statistics to compare rounding on. `reference`: the name of a runtime,
    or of one of `others`: calls of something else that take turns too, and are given no result. `on_progress` hears
    what is done and its share.
    """
    tell = on_progress or (lambda _what, _share: None)
    if not trained:
        network = with_settled_norms(network)
    results: list[RuntimeResult] = []
    for size in sizes or (config.size,):
        needed = 0.0
        for batch in sorted(set(batches)):
            images = sample_images((batch, 3, *size), trained=trained).to(device)
            with machine_lock(alone=True), cpu_threads(config.threads or usable_cores()):
                found, needed = _measure_at(
                    network, runtimes, config, images, needed, trained, reference, others or {}, tell
                )
            results += found
    return results


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
) -> LatencyResult:
    """Median, 95th percentile, interval and spread of repeated timings (a vector, in ms)."""
    median, p95 = (float(v) for v in np.percentile(milliseconds, [50, 95]))
    return LatencyResult(
        median_ms=median,
        p95_ms=p95,
        ci95_ms=median_interval(milliseconds),
        spread=spread_of(milliseconds),
        repeats=len(milliseconds),
        warmup_repeats=warmup_repeats,
        runtime=runtime,
        device=device,
        dtype=dtype,
        threads=threads,
        input_shape=input_shape,
        layout=layout,
        precision=precision_of(milliseconds),
        noisy=is_noisy(milliseconds, precision),
        attempts=attempts,
    )


def _measure_at(
    network: nn.Module,
    runtimes: Sequence[Runtime],
    config: LatencyConfig,
    images: Tensor,
    needed: float,
    trained: bool,
    reference: str | None,
    others: Mapping[str, Call],
    tell: Callable[[str, float], None],
) -> tuple[list[RuntimeResult], float]:
    """Results for one shape of images, and the bytes that an image needed at most so far."""
    device, threads = images.device, torch.get_num_threads()
    weights: Literal["trained", "random"] = "trained" if trained else "random"
    running: dict[str, tuple[Runtime, Run, Agreement, int | None]] = {}
    failed: list[RuntimeResult] = []
    expected: Tensor | None = None
    source = Source(network, images)
    for number, runtime in enumerate(runtimes):
        tell(f"making {runtime.name}", number / len(runtimes))
        try:
            _check_memory(needed * len(images), device)
            expected = expected_logits(network, images) if expected is None else expected
            call = start(runtime, source, threads)
            agreement = compare(expected, call(images), weights)
            memory = None if runtime.keeps_memory else peak_memory(_work(call, images), device)
            needed = max(needed, (memory or 0) / len(images))
            failed_with = None
            try:
                check(runtime.name, runtime.dtype, agreement)
            except StdcLabError as error:
                failed_with = str(error)
        except (StdcLabError, MemoryError, RuntimeError) as error:
            failed.append(_result(runtime, images, reason=_reason(error)))
            continue
        if failed_with is not None:
            failed.append(_result(runtime, images, agreement=agreement, reason=failed_with))
            continue
        running[runtime.name] = (runtime, call, agreement, memory)
    del expected, source
    if not running:
        return failed, needed
    calls = {name: timed(_work(call, images), device) for name, (_, call, _, _) in running.items()}
    turns = take_turns({**others, **calls}, config, lambda share: tell("timing", share))
    timings = []
    for name, (runtime, _, agreement, memory) in running.items():
        latency = summarise(
            turns.of(name),
            warmup_repeats=turns.warmups[turns.names.index(name)],
            device=str(device),
            threads=threads,
            input_shape=_shape(images),
            runtime=name,
            dtype=runtime.dtype,
            layout=runtime.layout,
            precision=config.precision,
            attempts=turns.attempts,
        ).model_copy(update={"peak_memory_bytes": memory, **_compared(turns, name, reference)})
        timings.append((latency.median_ms, _result(runtime, images, latency=latency, agreement=agreement)))
    return [result for _, result in sorted(timings, key=lambda pair: pair[0])] + failed, needed


def _result(
    runtime: Runtime,
    images: Tensor,
    *,
    latency: LatencyResult | None = None,
    agreement: Agreement | None = None,
    reason: str | None = None,
) -> RuntimeResult:
    batch, _, height, width = images.shape
    return RuntimeResult(
        runtime=runtime.name,
        dtype=runtime.dtype,
        layout=runtime.layout,
        what=runtime.what,
        batch=batch,
        size=(height, width),
        latency=latency,
        agreement=agreement,
        reason=reason,
    )


def _compared(turns: Turns, name: str, reference: str | None) -> dict[str, object]:
    if reference is None or reference not in turns.names:
        return {}
    ratio, interval = times_as_fast(turns, name, reference)
    return {"reference": reference, "times_as_fast": ratio, "times_as_fast_ci95": interval}


def _check_memory(needed: float, device: torch.device) -> None:
    # On the CPU the system kills who asks for too much: what a smaller batch needed says so before it happens.
    free = free_memory(device)
    if free is not None and needed > free:
        raise MemoryError(f"about {needed / 2**30:.1f} GiB are needed, {free / 2**30:.1f} GiB are free")


def _reason(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, StdcLabError):
        return text
    if is_out_of_memory(error):
        return f"out of memory: {text}"
    raise error


def _work(call: Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    return lambda: call(images)


def _shape(images: Tensor) -> Shape:
    batch, channels, height, width = images.shape
    return batch, channels, height, width


def _noise(shape: Shape) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
