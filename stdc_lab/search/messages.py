"""What the driver and its workers say to each other over a pipe: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stdc_lab.config.study import StudyConfig
from stdc_lab.records import ProfileResult
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.known_costs import Cost
from stdc_lab.training import Progress


@dataclass(frozen=True)
class Task:
    """A trial for a worker."""

    candidate: Candidate
    study: StudyConfig
    runs: Path
    data_path: Path | None
    known_profile: ProfileResult | None
    beside: tuple[Cost, ...] = ()
    """What networks near in size cost here: a latency far above what they predict is measured again."""


@dataclass(frozen=True)
class Profiled:
    """The cost is known. The worker waits for an answer: None, or why the trial ends here."""

    cost: ProfileResult


@dataclass(frozen=True)
class Stepped:
    """An iteration is done; not every one is told of. No answer."""

    progress: Progress


@dataclass(frozen=True)
class Working:
    """Something other than steps comes on: an evaluation, batch after batch. No answer."""


@dataclass(frozen=True)
class Waiting:
    """The machine's lock is waited for; until the next message, silence says nothing. No answer."""


@dataclass(frozen=True)
class Scored:
    """The validation set was evaluated. The worker waits for an answer: None, or why the training ends here."""

    progress: Progress


@dataclass(frozen=True)
class Finished:
    """The trial's record is in its folder; where the driver would not have it trained, there is none."""


@dataclass(frozen=True)
class Failed:
    """The trial came to nothing. `ends`: and the worker with it, which may be damaged. `diverged`: its training did."""

    reason: str
    out_of_memory: bool
    ends: bool
    diverged: bool = False


@dataclass(frozen=True)
class Lost:
    """Not said by a worker but of one: its process has ended. `killed`: by a signal from outside, or by the driver,
    because it hung."""

    reason: str
    killed: bool


FromWorker = Profiled | Stepped | Working | Waiting | Scored | Finished | Failed | Lost
