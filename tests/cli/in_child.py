"""The command line in processes of their own, to be killed or to work together.

They are forked from one that has imported everything once: importing PyTorch takes longer than what they do.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

from stdc_lab.cli.main import main

START_S = 120.0
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "stdc_lab.training.run",
        "stdc_lab.cli.training",
        "stdc_lab.search",
        "stdc_lab.cli.watching",
        "tests.cli.in_child",
        "torch._dynamo",  # which the first optimiser imports, for a second in each process
    ]
)


class Child:
    """A process that runs a function; what it prints goes to files."""

    def __init__(self, folder: Path, number: int, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self._files = (folder / f"out{number}.txt", folder / f"err{number}.txt")
        for file in self._files:
            file.touch()
        values = (*map(str, self._files), dict(os.environ), function, *arguments)
        self.process = context.Process(target=_run, args=values)
        self.process.start()
        assert self.process.pid is not None
        self.pid = self.process.pid

    @property
    def output(self) -> str:
        return self._files[0].read_text()

    @property
    def errors(self) -> str:
        return self._files[1].read_text()

    def status(self) -> int | None:
        """Wait for its end; minus the number of the signal that killed it."""
        self.process.join(START_S)
        return self.process.exitcode

    def wait_for(self, path: Path) -> None:
        """Wait until it has written a file."""
        self.wait_until(path.exists)

    def wait_until(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while not happened():
            assert self.process.is_alive() and time.monotonic() < until, self.errors
            time.sleep(0.01)


@contextmanager
def child(folder: Path, function: Callable[..., Any], *arguments: Any) -> Iterator[Child]:
    """A function of this or another module in a process of its own, which does not outlive the block."""
    started = Child(folder, 0, function, arguments)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.join()


def together(folder: Path, count: int, function: Callable[..., Any], *arguments: Any) -> list[Child]:
    """A function in several processes that find each other as those of torchrun do, until all have ended."""
    # The store by which they meet is in this process, as torchrun's is in torchrun: it outlives them.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True}
    children = []
    try:
        for rank in range(count):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count}
            children.append(Child(folder, rank, _placed, ({**place, **meeting}, function, *arguments)))
        for started in children:
            started.status()
    finally:
        for started in children:
            started.process.kill()
            started.process.join()
    return children


def stdc_lab(*arguments: object) -> None:
    """Run a command as the shell would."""
    sys.argv = ["stdc-lab", *map(str, arguments)]
    main()


def _placed(variables: Mapping[str, object], function: Callable[..., Any], *arguments: Any) -> None:
    os.environ.update({name: str(value) for name, value in variables.items()})
    function(*arguments)


def _run(out: str, err: str, variables: dict[str, str], function: Callable[..., Any], *arguments: Any) -> None:
    for path, stream, number in ((out, sys.stdout, 1), (err, sys.stderr, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        stream.flush()
        os.dup2(file, number)
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(variables)
    function(*arguments)
