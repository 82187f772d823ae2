"""A clock that believes what simulated calls say of themselves."""

from collections.abc import Iterator

from stdc_lab.profiling.timing import Call


class Believing:
    """Only its own calls and sleeping take time on it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def call(self, times: Iterator[float]) -> Call:
        """A call that takes these milliseconds, one after another."""

        def call() -> float:
            value = next(times)
            self.sleep(value / 1000)
            return value

        return call
