"""How fast this machine can multiply: its best rate over large convolutions, as the limit of what a network can do."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from stdc_lab.arithmetic import TIMING, computing
from stdc_lab.hardware.devices import place
from stdc_lab.hardware.threads import cpu_threads
from stdc_lab.machine import machine_lock
from stdc_lab.profiling.timing import timed


class Convolution(NamedTuple):
    """A 3×3 or 1×1 convolution of stride 1 that keeps the size."""

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.in_channels * self.out_channels * self.kernel**2 * self.size[0] * self.size[1]


LARGE = (
    Convolution(256, 256, (64, 128), 3),
    Convolution(256, 256, (128, 128), 3),
    Convolution(128, 128, (128, 256), 3),
    Convolution(512, 512, (32, 64), 3),
    Convolution(512, 512, (64, 128), 1),
)
REPEATS = 12


def convolution_rate(dtype: torch.dtype, device: torch.device, threads: int) -> float:
    """The best MACs a second of a direct convolution here, over a few large ones and repeated calls."""
    best = 0.0
    with machine_lock(alone=True), cpu_threads(threads), computing(TIMING), torch.inference_mode():
        for shape in LARGE:
            conv = nn.Conv2d(shape.in_channels, shape.out_channels, shape.kernel, padding=shape.kernel // 2, bias=False)
            conv = place(conv.to(dtype), device)
            images = torch.randn(1, shape.in_channels, *shape.size).to(device, dtype)
            images = images.to(memory_format=torch.channels_last)
            call = timed(lambda conv=conv, images=images: conv(images), device)  # type: ignore[misc]
            fastest = min(call() for _ in range(REPEATS))
            best = max(best, 1000 * shape.macs / fastest)
    return best
