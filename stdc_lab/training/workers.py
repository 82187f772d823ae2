"""Several processes that train one network together, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from stdc_lab.errors import StdcLabError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

Shared = TypeVar("Shared")
PATIENCE = timedelta(hours=12)
"""How long processes wait while the first one evaluates and writes. One that ends is noticed at once all the same."""
LISTEN = timedelta(seconds=5)
"""How long a process that found something wrong waits for another one to say it."""
FAILED = "stdc_lab failed"
EXIT_USER, EXIT_BUG, EXIT_ENDED = 2, 1, 143


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

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is up in any of the processes."""
        if self.count == 1:
            return flag
        return bool(self.mean(torch.tensor(float(flag), device=device)) > 0)

    def from_first(self, make: Callable[[], Shared]) -> Shared:
        """What the first process makes, in all of them."""
        if self.count == 1:
            return make()
        box: list[Any] = [make() if self.first else None]
        dist.broadcast_object_list(box, src=0)
        made: Shared = box[0]
        return made

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined_workers(device: torch.device) -> Iterator[tuple[Workers, torch.device]]:
    """Join the processes that `torchrun` started, each on a device of its own; alone if there are none.

    Gives this process's place and its device: on GPUs the one numbered as the process on this machine. What goes
    wrong inside the block is raised in one process; the others, which found the same or lost the one that failed, end
    silently.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "LOCAL_RANK" not in os.environ:
        yield Workers(), device
        return
    from torch.distributed.rendezvous import rendezvous

    store, rank, count = next(rendezvous("env://"))
    if device.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        device = torch.device("cuda", local)
    try:
        _begin(store, rank, count, device)
        yield Workers(rank, count), device
    except BaseException as error:
        status = _status_of_another(error, store, rank)
        if status is None:
            raise
        raise SystemExit(status) from None
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _begin(store: Store, rank: int, count: int, device: torch.device) -> None:
    if device.type != "cuda":
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE)
        return
    if device.index >= torch.cuda.device_count():
        raise StdcLabError(
            f"torchrun started process {device.index} on this machine, but PyTorch sees {torch.cuda.device_count()} "
            "GPUs; start as many processes as there are GPUs, or use --device cpu"
        )
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", store=store, rank=rank, world_size=count, timeout=PATIENCE, device_id=device)


def _status_of_another(error: BaseException, store: Store, rank: int) -> int | None:
    """The status to end with in silence, because another process says what is wrong; None if this one has to."""
    interrupted = isinstance(error, KeyboardInterrupt)
    if interrupted and rank > 0:
        return EXIT_ENDED
    known = isinstance(error, StdcLabError)
    # What is wrong with the input all processes find, and the first one says it. A connection that broke is the
    # other side's failure, whichever side this is.
    follows = (known and rank > 0) or isinstance(error, RuntimeError)
    try:
        if follows and _is_set(store):
            return int(store.get(FAILED))
        store.set(FAILED, str(EXIT_USER if known else EXIT_ENDED if interrupted else EXIT_BUG))
    except RuntimeError:  # the store was the first process's, which is gone
        return EXIT_USER if known else EXIT_BUG
    return None


def _is_set(store: Store) -> bool:
    try:
        store.wait([FAILED], LISTEN)
    except RuntimeError:
        return bool(store.check([FAILED]))
    return True
