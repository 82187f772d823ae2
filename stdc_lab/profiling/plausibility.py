"""Whether a latency can be true, judged by what the same machine took for other networks."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

IMPLAUSIBLE_RATIO = 5.0
"""Latency over MACs varies between honest networks of one search space by a factor of about two, on any machine;
a machine that was busy, suspended or throttled for a while has multiplied it by more than a hundred."""


def is_implausible(latency_ms: float, macs: float, known: Sequence[tuple[float, float]]) -> bool:
    """Whether a latency is more than five times what the network's MACs predict.

    known: (latency_ms, macs) of finished networks, timed on the same machine at the same size. Their median of
    latency over MACs predicts; those without MACs say nothing. Without any, nothing is implausible.
    """
    rates = [known_ms / known_macs for known_ms, known_macs in known if known_macs > 0]
    return bool(rates) and latency_ms > IMPLAUSIBLE_RATIO * median(rates) * macs
