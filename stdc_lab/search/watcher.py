"""Who hears what a search does."""

from __future__ import annotations

from pathlib import Path

import torch

from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.search.candidate import Candidate
from stdc_lab.training import Progress


class Watcher:
    """Hears what a search does; the command line shows it. Every method may be left out."""

    def started(self, folder: Path, done: int, wanted: int, device: torch.device) -> None:
        """A search begins (or goes on) with so many trials trained of so many wanted."""

    def set_aside(self, storage: Path) -> None:
        """The folder was begun with another study that trained nothing: its storage is kept under this name."""

    def data(self, what: str, done: int, total: int) -> None:
        """The data set's cache is being built."""

    def trial_started(self, candidate: Candidate, done: int, wanted: int) -> None:
        """A candidate is about to be timed and trained."""

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        """Its latency is known."""

    def trial_progress(self, candidate: Candidate, progress: Progress) -> None:
        """An iteration of its training is done; not every one is told of."""

    def trial_again(self, candidate: Candidate, reason: str) -> None:
        """Its worker was lost, or had not the memory: it goes on in another, or in another form."""

    def trial_finished(self, candidate: Candidate, record: TrialRecord, duplicate_of: int | None) -> None:
        """It is recorded; `duplicate_of` names the trial that had trained the same before."""

    def trial_screened(self, number: int, reason: str) -> None:
        """A proposal is not trained, for what theory or its profile says."""

    def trial_failed(self, candidate: Candidate, reason: str) -> None:
        """It came to nothing."""

    def stopping(self, running: int) -> None:
        """Ctrl-C: so many trials are finished, then the search ends."""
