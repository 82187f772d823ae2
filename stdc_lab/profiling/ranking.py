"""The same weights in several runtimes: compared with the float32 eager network first, then timed and ranked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stdc_lab.arithmetic import TIMING, computing, describe
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.agreement import check, check_rounding, compare, expected_logits
from stdc_lab.deploy.runtimes import Runtime, Source, check_runtime, start
from stdc_lab.deploy.sessions import Call as Run
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.devices import computes_natively
from stdc_lab.hardware.threads import cpu_threads, default_threads
from stdc_lab.machine import machine_lock
from stdc_lab.profiling.latency import (
    against,
    measure_eager,
    of_turns,
    sample_images,
    shape_of,
    summarise,
    with_settled_norms,
    work,
)
from stdc_lab.profiling.memory import check_memory, lack_of_memory, peak_memory
from stdc_lab.profiling.timing import Call, OnProgress, Turns, take_turns, timed
from stdc_lab.records import Agreement, LatencyResult, RuntimeResult

Key = tuple[str, str]
"""A network's name and a runtime's."""
Tell = Callable[[str, float], None]
MAKING = "making"


@dataclass(frozen=True)
class _Running:
    """A network in a runtime whose logits were compared."""

    runtime: Runtime
    call: Run
    agreement: Agreement
    memory: int | None
    making_s: float


def measure_latency(
    networks: Mapping[str, nn.Module],
    config: LatencyConfig,
    device: torch.device,
    on_progress: OnProgress | None = None,
    *,
    reference: str | None = None,
) -> dict[str, LatencyResult]:
    """Time networks with untrained weights in the runtime that the configuration names, taking turns.

    Results say how many times as fast as the `reference` each is, if one of the names is given. `on_progress` hears
    the share that is done: half of it is making, where the runtime has to be made. Raises `ConfigError` for a runtime
    that cannot be had here, `StdcLabError` if one of the networks fails in it or its logits are not those of float32
    eager PyTorch.
    """
    runtime = check_runtime(config, device)
    if runtime.is_eager:
        return measure_eager(networks, config, device, on_progress, reference=reference)

    def tell(what: str, share: float) -> None:
        if on_progress is not None:
            on_progress((share if what.startswith(MAKING) else 1 + share) / 2)

    beside = None if reference is None else (reference, runtime.name)
    found = measure_runtimes(
        networks, [runtime], config, device, batches=(config.batch,), reference=beside, on_progress=tell
    )
    said = {"runtime": config.runtime, "dtype": config.dtype, "reference": reference}
    latencies = {one.network: one.latency.replace(**said) for one in found if one.latency is not None}
    failed = [f"{one.network}: {one.reason}" for one in found if one.latency is None]
    if failed:
        raise StdcLabError(f"not timed in {config}: {'; '.join(failed)}")
    return {name: latencies[name] for name in networks}


def measure_runtimes(
    networks: Mapping[str, nn.Module],
    runtimes: Sequence[Runtime],
    config: LatencyConfig,
    device: torch.device,
    *,
    trained: Collection[str] = (),
    batches: Iterable[int] = (1,),
    sizes: Iterable[tuple[int, int]] | None = None,
    reference: Key | None = None,
    others: Mapping[Key, Call] | None = None,
    on_progress: Tell | None = None,
) -> list[RuntimeResult]:
    """Deployed networks in runtimes: outputs compared first, then timed, all taking turns; the fastest first.

    For every batch size and input size (default: that of the configuration) a result a network and runtime; one that
    fails, disagrees or runs out of memory has the reason instead of figures, and the others still run. `trained`: the
    names whose weights are; of the others copies get norms that rounding can be compared on. `reference`: of one of
    them, or of one of `others`: calls of something else that take turns too, and are given no result. `on_progress`
    hears what is done and its share.
    """
    tell = on_progress or (lambda _what, _share: None)
    settled = {name: one if name in trained else with_settled_norms(one) for name, one in networks.items()}
    results: list[RuntimeResult] = []
    for size in sizes or (config.size,):
        needed: dict[str, float] = {}
        for batch in sorted(set(batches)):
            threads = config.threads or default_threads()
            with machine_lock(alone=True), cpu_threads(threads), computing(TIMING):
                running: dict[Key, _Running] = {}
                failed: list[RuntimeResult] = []
                for index, (name, network) in enumerate(settled.items()):
                    images = sample_images((batch, 3, *size), trained=name in trained).to(device)
                    heard = _part_of(tell, index, len(settled))
                    started = _start_all(name, network, runtimes, images, needed, name in trained, heard)
                    running |= started[0]
                    failed += started[1]
                turns = _time(running, images, config, others or {}, tell)
            if turns is not None:
                results += _ranked(running, turns, images, config, reference)
            results += failed
    return results


def _start_all(
    name: str,
    network: nn.Module,
    runtimes: Sequence[Runtime],
    images: Tensor,
    needed: dict[str, float],
    trained: bool,
    tell: Tell,
) -> tuple[dict[Key, _Running], list[RuntimeResult]]:
    """The runtimes that answer as they should, and the results of those that do not.

    needed: by network, the bytes that an image needed at most so far; it is brought up to date.
    """
    weights: Literal["trained", "random"] = "trained" if trained else "random"
    running: dict[Key, _Running] = {}
    failed: list[RuntimeResult] = []
    expected: Tensor | None = None
    source = Source(network, images)
    for number, runtime in enumerate(runtimes):
        tell(f"{MAKING} {name} in {runtime.name}", number / len(runtimes))
        agreement = None
        try:
            check_memory(needed.get(name, 0.0) * len(images), images.device)
            with lack_of_memory():
                expected = expected_logits(network, images) if expected is None else expected
                begun = time.monotonic()
                call = start(runtime, source, torch.get_num_threads())
                making_s = time.monotonic() - begun
                agreement = compare(expected, call(images), weights)
                memory = None if runtime.keeps_memory else peak_memory(work(call, images), images.device)
            needed[name] = max(needed.get(name, 0.0), (memory or 0) / len(images))
            check(runtime.name, runtime.dtype, agreement)
            check_rounding(runtime.name, runtime.dtype, agreement)
        except StdcLabError as error:
            failed.append(_result(name, runtime, images, agreement=agreement, reason=str(error)))
        else:
            running[name, runtime.name] = _Running(runtime, call, agreement, memory, making_s)
    return running, failed


def _time(
    running: Mapping[Key, _Running], images: Tensor, config: LatencyConfig, others: Mapping[Key, Call], tell: Tell
) -> Turns | None:
    if not running:
        return None
    calls = dict(others)
    calls |= {key: timed(work(one.call, images), images.device) for key, one in running.items()}
    return take_turns({_joined(key): call for key, call in calls.items()}, config, lambda share: tell("timing", share))


def _ranked(
    running: Mapping[Key, _Running], turns: Turns, images: Tensor, config: LatencyConfig, reference: Key | None
) -> list[RuntimeResult]:
    results = []
    for key, one in running.items():
        name = _joined(key)
        latency = summarise(
            turns.of(name),
            **of_turns(turns, name),
            device=str(images.device),
            threads=config.threads or default_threads(),
            input_shape=shape_of(images),
            runtime=one.runtime.name,
            dtype=one.runtime.dtype,
            layout=one.runtime.layout,
            precision=config.precision,
            arithmetic=None if one.runtime.modules else describe(one.runtime.arithmetic, images.device),
        )
        compared = against(turns, name, None if reference is None else _joined(reference))
        latency = latency.replace(peak_memory_bytes=one.memory, making_s=one.making_s, **compared)
        results.append(_result(key[0], one.runtime, images, latency=latency, agreement=one.agreement))
    return sorted(results, key=lambda result: result.latency.median_ms if result.latency else 0.0)


def _result(
    network: str,
    runtime: Runtime,
    images: Tensor,
    *,
    latency: LatencyResult | None = None,
    agreement: Agreement | None = None,
    reason: str | None = None,
) -> RuntimeResult:
    batch, _, height, width = images.shape
    return RuntimeResult(
        network=network,
        runtime=runtime.name,
        dtype=runtime.dtype,
        emulated=not computes_natively(runtime.dtype, images.device),
        layout=runtime.layout,
        what=runtime.what,
        batch=batch,
        size=(height, width),
        latency=latency,
        agreement=agreement,
        reason=reason,
    )


def _part_of(tell: Tell, index: int, count: int) -> Tell:
    return lambda what, share: tell(what, (index + share) / count)


def _joined(key: Key) -> str:
    return " in ".join(key)
