"""Any number of networks timed so that their latencies compare, with a few of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median_low

import torch

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.costs import total_cost
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.nn import build_model
from stdc_lab.profiling import measure_latency
from stdc_lab.profiling.plausibility import is_implausible
from stdc_lab.records import LatencyResult
from stdc_lab.search.known_costs import KnownCosts, marked

GROUP = 12
"""So many networks at most are in memory at a time, the reference among them."""


def time_in_groups(
    specs: Mapping[str, ArchSpec],
    config: LatencyConfig,
    num_classes: int,
    device: torch.device,
    reference: tuple[str, ArchSpec] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, LatencyResult]:
    """Time networks, given and returned by their `arch_id`, in groups of at most `GROUP` that take turns within.

    Every group times the same reference among its own, for the machine may be slower by the time that another group has
    its turn. With several groups a network's latency is how long it took over the reference in the same rounds, times
    the median of what the reference took in all groups; its interval is that of this ratio. A single group's latencies
    are as they were measured. `reference`: its name and network; left out, it is the network of median MACs. A latency
    of more than five times what MACs predict is measured once more; the lower of both stands, marked where it is no
    more likely.
    """
    macs = {arch_id: total_cost(spec, config.size, num_classes).macs for arch_id, spec in specs.items()}
    by_size = sorted(specs, key=lambda arch_id: (macs[arch_id], arch_id))
    name, other = reference or (by_size[len(by_size) // 2], specs[by_size[len(by_size) // 2]])
    of_reference: list[LatencyResult] = []
    found: dict[str, LatencyResult] = {}

    def time(arch_ids: Sequence[str], begin: float, end: float) -> dict[str, LatencyResult]:
        rest = [one for one in arch_ids if one != other.arch_id]
        size = GROUP - 1
        groups = [rest[start : start + size] for start in range(0, len(rest), size)] or [[]]
        timed: dict[str, LatencyResult] = {}
        for index, group in enumerate(groups):

            def heard(share: float, index: int = index) -> None:
                if on_progress is not None:
                    on_progress(begin + (end - begin) * (index + share) / len(groups))

            networks = {other.arch_id: build_model(other, num_classes)}
            networks |= {arch_id: build_model(specs[arch_id], num_classes) for arch_id in group}
            measured = measure_latency(networks, config, device, heard, reference=other.arch_id)
            del networks  # before the next group is built
            of_reference.append(measured.pop(other.arch_id))
            timed |= measured
        return timed

    def comparable() -> dict[str, LatencyResult]:
        whole = {**found, other.arch_id: _pooled(of_reference)}
        if len(of_reference) > 1:
            reference_ms = whole[other.arch_id].median_ms
            whole |= {arch_id: _over(reference_ms, one) for arch_id, one in found.items()}
        return {one: whole[one].replace(reference=name) for one in specs}

    found |= time(by_size, 0.0, 0.9)
    suspects = _suspects(comparable(), macs)
    if suspects:
        for arch_id, again in time(suspects, 0.9, 1.0).items():
            # Whatever else ran on the machine has only ever made a network slower.
            found[arch_id] = min(found[arch_id], again, key=lambda one: one.median_ms)
    if on_progress is not None:
        on_progress(1.0)
    latencies = comparable()
    still = _suspects(latencies, macs)
    return {arch_id: marked(one) if arch_id in still else one for arch_id, one in latencies.items()}


def _suspects(latencies: Mapping[str, LatencyResult], macs: Mapping[str, int]) -> list[str]:
    """The networks whose latency cannot be what they take, by those near in size."""
    known = KnownCosts()
    for arch_id, latency in latencies.items():
        known.put(arch_id, latency.median_ms, macs[arch_id])
    return [
        arch_id
        for arch_id, latency in latencies.items()
        if is_implausible(latency.median_ms, macs[arch_id], known.beside(arch_id, macs[arch_id]))
    ]


def _pooled(results: Sequence[LatencyResult]) -> LatencyResult:
    """The reference over all groups: the (lower) medians of its figures."""
    if len(results) == 1:
        return results[0]
    low, high = (median_low(one.ci95_ms[end] for one in results) for end in (0, 1))
    return results[0].replace(
        median_ms=median_low(one.median_ms for one in results),
        p95_ms=median_low(one.p95_ms for one in results),
        ci95_ms=(low, high),
        noisy=any(one.noisy for one in results),
    )


def _over(reference_ms: float, result: LatencyResult) -> LatencyResult:
    """A latency as it would have been had the reference taken so long in its group."""
    assert result.times_as_fast is not None and result.times_as_fast_ci95 is not None  # it was timed beside it
    median_ms = reference_ms / result.times_as_fast
    slow, fast = result.times_as_fast_ci95
    ends = (reference_ms / fast, reference_ms / slow)
    return result.replace(
        median_ms=median_ms,
        p95_ms=result.p95_ms * median_ms / result.median_ms,
        ci95_ms=ends,
        precision=max(ends[1] - median_ms, median_ms - ends[0]) / median_ms,
    )
