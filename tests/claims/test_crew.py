"""Arms that are trained at once: what one of them meets costs no other its row."""

from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from threading import Timer
from typing import Any, cast

import pytest

from stdc_lab.claims.crew import Crew, train_together
from stdc_lab.errors import DataError, StudyError


class Made:
    """In place of processes: each task is what comes of it; what is no error comes a moment later."""

    def submit(self, _train: object, task: object) -> "Future[Any]":
        future: Future[Any] = Future()
        if isinstance(task, BaseException):
            future.set_exception(task)
        else:
            Timer(0.02, future.set_result, [task]).start()
        return future


def together(*tasks: object) -> Iterator[object]:
    return train_together(cast(Crew, Made()), cast(Any, tasks))


def test_what_one_training_meets_leaves_the_rows_of_the_others() -> None:
    rows = together(DataError("labels have changed"), "one", "other")
    assert {next(rows), next(rows)} == {"one", "other"}
    with pytest.raises(DataError, match="labels have changed"):
        next(rows)


def test_a_process_that_was_killed_is_told_in_words() -> None:
    with pytest.raises(StudyError, match="a process that trains was killed, perhaps for want of memory; called again"):
        list(together(BrokenProcessPool("dead"), "one"))
