"""Networks that take turns although their images differ in size: what a comparison across sizes is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from stdc_lab.arithmetic import TIMING, computing
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.deploy.agreement import check, check_rounding, compare, expected_logits
from stdc_lab.deploy.runtimes import Source, check_runtime, start
from stdc_lab.hardware.threads import cpu_threads, default_threads
from stdc_lab.machine import machine_lock
from stdc_lab.profiling.latency import sample_images, with_settled_norms, work
from stdc_lab.profiling.memory import lack_of_memory
from stdc_lab.profiling.timing import OnProgress, Turns, take_turns, timed


@dataclass(frozen=True)
class Sized:
    """A network with untrained weights, and the height and width of the images that it is timed on."""

    network: nn.Module
    size: tuple[int, int]


def take_turns_in_runtime(
    networks: Mapping[str, Sized],
    config: LatencyConfig,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Turns:
    """Timings of networks in the configuration's runtime, each on images of its own size, under the machine's lock.

    `on_progress` hears the share that is done: half of it is making. Raises `ConfigError` for a runtime that cannot be
    had here, `StdcLabError` if a network fails in it or its logits are not those of float32 eager PyTorch.
    """
    tell = on_progress or (lambda _share: None)
    runtime = check_runtime(config, device, "claim")
    threads = config.threads or default_threads()
    with machine_lock(alone=True), cpu_threads(threads), computing(TIMING), lack_of_memory():
        calls = {}
        for index, (name, one) in enumerate(networks.items()):
            tell(index / len(networks) / 2)
            network = with_settled_norms(one.network)
            images = sample_images((config.batch, 3, *one.size), trained=False).to(device)
            call = start(runtime, Source(network, images), threads)
            agreement = compare(expected_logits(network, images), call(images), "random")
            check(f"{name} in {runtime.name}", runtime.dtype, agreement)
            check_rounding(f"{name} in {runtime.name}", runtime.dtype, agreement)
            calls[name] = timed(work(call, images), device)
        return take_turns(calls, config, lambda share: tell((1 + share) / 2))
