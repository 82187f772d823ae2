"""Batches made ahead of the training that waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Batches(Generic[Batch]):
    """The batches of iterations `first` up to `last`, in order, made by threads while the last ones are used.

    make: gives the batch of an iteration. Called from several threads at once, so it must depend on nothing but its
        argument; what it raises is raised when its batch is due.
    workers: how many batches are in the making at once. Resizing and drawing release Python's lock.
    waited_s: how long, in seconds, the user of the batches has waited for them so far.
    """

    def __init__(self, make: Callable[[int], Batch], first: int, last: int, workers: int = 1) -> None:
        self.make, self.first, self.last, self.workers = make, first, last, workers
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="batches")
        due: deque[Future[Batch]] = deque()
        upcoming = iter(range(self.first, self.last))
        try:
            for iteration in upcoming:
                due.append(pool.submit(self.make, iteration))
                if len(due) > self.workers:
                    yield self._take(due)
            while due:
                yield self._take(due)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, due: deque[Future[Batch]]) -> Batch:
        started = time.perf_counter()
        batch = due.popleft().result()
        self.waited_s += time.perf_counter() - started
        return batch
