"""Latencies that were measured anew in one pass, in place of those of the search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stdc_lab.config.study import StudyConfig


class Retimed:
    """The latencies of `study retime`, by architecture."""

    def __init__(self, by_arch: Mapping[str, Any], config: StudyConfig | None) -> None:
        self.by_arch = by_arch
        self.reference = next(iter(config.known_networks.items()), None) if config is not None else None

    def of(self, arch_id: str, ratio: float | None) -> dict[str, Any]:
        """What replaces the latencies of the search; nothing for an architecture that was not timed anew. A ratio is
        taken anew where there was one: from the rounds that both were timed in, or else of the two medians."""
        anew = self.by_arch.get(arch_id)
        median = self._median(arch_id)
        if median is None or not isinstance(anew, dict):
            return {}
        low, high = anew.get("ci95_ms") or (None, None)
        row = {"retimed": True, "latency_ms": median, "latency_p95_ms": anew.get("p95_ms")}
        row |= {"latency_ms_low": low, "latency_ms_high": high, "latency_spread": anew.get("spread")}
        row |= {"latency_noisy": anew.get("noisy"), "latency_note": anew.get("note")}
        return row | (self._ratio(anew, median) if ratio is not None else {})

    def _ratio(self, anew: Mapping[str, Any], median: float) -> dict[str, Any]:
        if self.reference is None:
            return {}
        name, other = self.reference
        if anew.get("reference") == name and anew.get("times_as_fast"):
            low, high = (1 / end for end in anew.get("times_as_fast_ci95") or [anew["times_as_fast"]] * 2)
            return {"latency_ratio": 1 / anew["times_as_fast"], "latency_ratio_low": high, "latency_ratio_high": low}
        other_ms = self._median(other.arch_id)
        if other_ms is None:
            return {}
        return {"latency_ratio": median / other_ms, "latency_ratio_low": None, "latency_ratio_high": None}

    def _median(self, arch_id: str) -> float | None:
        anew = self.by_arch.get(arch_id)
        return anew.get("median_ms") if isinstance(anew, dict) else None
