"""What a trial is to find out about, and who is told of it on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from stdc_lab.arch import ArchSpec
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.records import Circumstances, ProfileResult, trial_key
from stdc_lab.training import Progress


@dataclass(frozen=True)
class Candidate:
    """What a trial is to find out about."""

    number: int
    spec: ArchSpec
    train: TrainConfig
    seed: int
    reference: str | None = None
    arm: str | None = None
    """Of a plan."""
    confirms: int | None = None
    """The trial that is trained once more with a fresh seed."""
    planned: TrainConfig | None = None
    """The training that was asked for, where memory allows only another form of it: the key is of this one."""
    retried: str | None = None
    """Why it is another form."""
    here: Circumstances | None = None
    """On which contents and in which precision it is trained: part of its key."""

    @property
    def named(self) -> bool:
        """Whether it is asked for by name: it is run whatever limits and constraints say, and to its end."""
        return any(name is not None for name in (self.reference, self.arm, self.confirms))

    def key(self, study: StudyConfig) -> str:
        """The key of its training, see `trial_key`."""
        return trial_key(self.spec, self.planned or self.train, study.data, self.seed, self.here, study.scorer)

    def in_smaller_parts(self) -> Candidate | None:
        """The same batches in parts of half the size; None where a part would have fewer than two images."""
        parts = 2 * self.train.accumulation
        if self.train.batch_size % parts or self.train.batch_size // parts < 2:
            return None
        size = self.train.batch_size // parts
        reason = f"out of memory in parts of {2 * size} images: trained in parts of {size}, gradients accumulated"
        train = self.train.replace(accumulation=parts)
        return replace(self, train=train, planned=self.planned or self.train, retried=reason)


@dataclass(frozen=True)
class Judge:
    """Who is told of a trial on its way, and may say why it ends there: at its cost, and at every evaluation."""

    cost: Callable[[ProfileResult], str | None] = lambda cost: None
    progress: Callable[[Progress], None] = lambda progress: None
    score: Callable[[Progress], str | None] = lambda progress: None
    works: Callable[[], None] = lambda: None
    """Told that something other than steps comes on."""
    waits: Callable[[], None] = lambda: None
    """Told that the machine's lock is waited for."""
