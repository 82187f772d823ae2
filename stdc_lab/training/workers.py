"""Several processes that train one network together, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from stdc_lab.errors import StdcLabError


@dataclass(frozen=True)
class Workers:
    """This process among those that share a training: number `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that evaluates, writes and speaks."""
        return self.rank == 0

    def slots(self, batch_size: int) -> range:
        """Which images of a batch are this process's."""
        share = batch_size // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.count > 1:
            dist.all_reduce(value)
            value = value / self.count
        return value

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined_workers(device: torch.device) -> Iterator[tuple[Workers, torch.device]]:
    """Join the processes that `torchrun` started, each on a device of its own; alone if there are none.

    Gives this process's place and its device: on GPUs the one numbered as the process on this machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "LOCAL_RANK" not in os.environ:
        yield Workers(), device
        return
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise StdcLabError(
                f"torchrun started process {local} on this machine, but PyTorch sees {torch.cuda.device_count()} GPUs; "
                "start as many processes as there are GPUs, or use --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), count), device
    finally:
        dist.destroy_process_group()
