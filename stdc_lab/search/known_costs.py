"""What the networks of a study cost on this machine: what a further latency is judged by."""

from __future__ import annotations

from collections.abc import Iterable

from stdc_lab.profiling.plausibility import is_implausible
from stdc_lab.records import LatencyResult, ProfileResult
from stdc_lab.storage import StoredTrial

NEAR_IN_SIZE = 2.0
"""A call has a fixed cost beside its MACs: only networks of up to so many times more or fewer MACs are compared."""
IMPLAUSIBLE = "more than five times what its MACs predict beside the other networks of this study, timed twice"

Cost = tuple[float, float]
"""Latency in ms, and MACs."""


class KnownCosts:
    """Latency and MACs of the networks that were timed on one machine, by `arch_id`; implausible ones left out."""

    def __init__(self, trials: Iterable[StoredTrial] = (), fingerprint: str | None = None) -> None:
        self._of: dict[str, Cost] = {}
        for trial in trials:
            notes = trial.notes
            latency_ms, macs = notes.figures.get("latency_ms"), notes.figures.get("macs")
            here = fingerprint is None or notes.fingerprint == fingerprint
            if here and latency_ms is not None and macs is not None and notes.latency_note is None:
                self.put(str(notes.arch_id), latency_ms, macs)

    def add(self, cost: ProfileResult) -> None:
        """Hear of a network that has been timed."""
        if cost.arch_id is not None and cost.latency is not None and cost.latency.note is None:
            self.put(cost.arch_id, cost.latency.median_ms, cost.macs)

    def put(self, arch_id: str, latency_ms: float, macs: float) -> None:
        """Take a network in, or its latest latency."""
        self._of[arch_id] = (latency_ms, macs)

    def beside(self, arch_id: str, macs: float) -> tuple[Cost, ...]:
        """Those of the other networks that are near in size."""
        return tuple(
            cost
            for other, cost in self._of.items()
            if other != arch_id and macs / NEAR_IN_SIZE <= cost[1] <= macs * NEAR_IN_SIZE
        )


def is_suspect(cost: ProfileResult, beside: Iterable[Cost]) -> bool:
    """Whether the latency of a profile cannot be what its network takes, see `is_implausible`."""
    return cost.latency is not None and is_implausible(cost.latency.median_ms, cost.macs, tuple(beside))


def marked(latency: LatencyResult) -> LatencyResult:
    """The latency with what is wrong with it: no other timing bore it out."""
    return latency.replace(noisy=True, note=IMPLAUSIBLE)
