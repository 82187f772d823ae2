import threading
import time

import pytest

from stdc_lab.data import Batches
from stdc_lab.errors import DataError


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order_and_ahead_of_their_user(workers: int) -> None:
    made: list[int] = []

    def make(iteration: int) -> int:
        time.sleep(0.002 * (iteration % 3))
        made.append(iteration)
        return iteration

    taken = []
    for batch in Batches(make, 3, 20, workers):
        taken.append(batch)
        assert len(made) <= len(taken) + workers + 1
    assert taken == list(range(3, 20))
    assert sorted(made) == taken


def test_what_a_batch_raises_is_raised_when_it_is_due_and_no_thread_stays() -> None:
    def make(iteration: int) -> int:
        if iteration == 4:
            raise DataError("broken.png: damaged")
        return iteration

    taken = []
    with pytest.raises(DataError, match=r"broken\.png"):
        taken.extend(Batches(make, 0, 10, 2))
    assert taken == [0, 1, 2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_waiting_is_counted() -> None:
    batches = Batches(lambda iteration: time.sleep(0.05), 0, 3)
    assert list(batches) == [None] * 3
    assert batches.waited_s >= 0.1


def test_who_stops_early_leaves_no_thread() -> None:
    stream = iter(Batches(lambda iteration: iteration, 0, 10_000_000, 2))
    assert next(stream) == 0
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
