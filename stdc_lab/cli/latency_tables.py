"""What `stdc-lab profile` says of time: the latency of a network, of its parts, and of its runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stdc_lab.cli.tables import Row, Table

if TYPE_CHECKING:
    from stdc_lab.records import Environment, LatencyResult, ProfileResult, RuntimeResult

CLAIM = {"times_as_fast": 2.5, "share": "about a third"}
"""Of the paper: STDC2 against ResNet-50."""
NOISY = "noisy: the machine was not quiet while this was timed; close other programs before you trust these"
INTERVAL = "the interval is of the median of the process, under drift of this window; it counts blocks, not calls"
RATIO_NOTE = "×: times as fast as the reference in the same rounds"


def headline(latency: LatencyResult) -> str:
    """The latency of one network, in a line."""
    low, high = latency.ci95_ms
    return (
        f"median {latency.median_ms:.1f} ms (95 % interval {low:.1f} to {high:.1f}), p95 {latency.p95_ms:.1f} ms, "
        f"spread {latency.spread:.1%}"
    )


def how(latency: LatencyResult) -> str:
    """What was timed, how often, what the interval is of, and the memory that it took."""
    _, _, height, width = latency.input_shape
    windows = f" of {latency.attempts} windows" if latency.attempts > 1 else ""
    blocks = "" if latency.blocks is None else f" in {latency.blocks} blocks{windows}"
    memory = "" if latency.peak_memory_bytes is None else f"; {_mib(latency.peak_memory_bytes)} MiB more at its peak"
    threads = f", {latency.threads} thread{'s' if latency.threads > 1 else ''}" if latency.device == "cpu" else ""
    return (
        f"{latency.runtime}, {latency.layout}, {latency.dtype}, 1×3×{height}×{width}{threads}: {latency.repeats} calls"
        f"{blocks} after {latency.warmup_repeats} of warm-up{memory}\n{INTERVAL}"
    )


def where(environment: Environment) -> str:
    """The machine and the versions."""
    clock = "" if environment.clock_mhz is None else f", {environment.clock_mhz:,.0f} MHz"
    computed = "" if environment.arithmetic is None else f"; {environment.arithmetic}"
    versions = "".join(f", {name} {version}" for name, version in environment.versions.items())
    return (
        f"{environment.device}: {environment.processor}{clock}; Python {environment.python}, torch {environment.torch}"
        f"{versions}{computed}; fingerprint {environment.fingerprint}"
    )


def parts_sum(result: ProfileResult) -> str | None:
    """How closely the parts' latencies add up, in a sentence; None without them."""
    stages = result.stage_latencies
    if stages is None:
        return None
    return (
        f"ms: of the parts within one call, each until the next begins; together {stages.sum_ms:.1f} ms, "
        f"{stages.closure:.1%} of whole calls between them ({stages.whole_ms:.1f} ms)."
    )


def part_latencies(names: Sequence[str], results: Sequence[ProfileResult]) -> Table:
    """Milliseconds of the parts, a row a network."""
    measured = [result.stage_latencies for result in results]
    longest = max((m.stages for m in measured if m is not None), key=len)
    everyone = (longest, *(m.stages for m in measured if m is not None))
    parts = dict.fromkeys(stage.name for stages in everyone for stage in stages)
    rows = []
    for name, found in zip(names, measured, strict=True):
        values = {} if found is None else {stage.name: f"{stage.median_ms:.1f}" for stage in found.stages}
        whole = ("–", "–", "–") if found is None else (f"{found.sum_ms:.1f}", f"{found.whole_ms:.1f}")
        closure = () if found is None else (f"{found.closure:.1%}",)
        rows.append(Row((name, *(values.get(part, "–") for part in parts), *whole, *closure)))
    titles = (part.removeprefix("stage ") for part in parts)
    note = "sum: of the parts; whole: calls that nobody watched, taking turns; of it: sum over whole."
    columns = ("network", *titles, "sum", "whole", "of it")
    return Table("ms of stages 1 to 5 and what follows", columns, tuple(rows), notes=(note,))


def runtimes_table(results: Sequence[ProfileResult]) -> Table:
    """Every runtime of every network, the fastest of a batch size first."""
    found = sorted((one for result in results for one in result.runtimes), key=_rank)
    several, batches = len(results) > 1, any(one.batch != 1 for one in found)
    columns = [*(["network"] if several else []), "runtime", "dtype", *(["batch"] if batches else [])]
    columns += ["ms", "±", *([] if several else ["p95"]), "×", "img/s†", "peak MiB", "error", "same"]
    rows, reasons = [], []
    for one in found:
        dtype = f"{one.dtype}~" if one.emulated else one.dtype
        cells = [*([one.network] if several else []), one.runtime, dtype, *([str(one.batch)] if batches else [])]
        latency, agreement = one.latency, one.agreement
        error = ("–", "–") if agreement is None else (_error(agreement.max_rel_error), _share(agreement.argmax_share))
        if latency is None:
            named = f"{one.network} in {one.runtime}" if several else one.runtime
            reasons.append(f"{named}, batch {one.batch}: not run: {one.reason}")
            rows.append(Row((*cells, "not run", *[""] * (4 if several else 5), *error), "red"))
            continue
        figures = _figures(latency, one.batch, with_p95=not several)
        rows.append(Row((*cells, *figures, *error), "dim" if latency.noisy else ""))
    return Table("runtimes", tuple(columns), tuple(rows), words=3 if several else 2, notes=_notes(found, reasons))


def comparison_row(names: Sequence[str], results: Sequence[ProfileResult]) -> list[str]:
    """Each network of ours against each baseline that was the reference, in words."""
    lines = []
    for name, result in zip(names, results, strict=True):
        latency = result.latency
        if latency is None or latency.reference is None or latency.reference not in names or result.arch_id is None:
            continue
        other = results[list(names).index(latency.reference)]
        if other.arch_id is not None or latency.times_as_fast is None or latency.times_as_fast_ci95 is None:
            continue
        low, high = latency.times_as_fast_ci95
        line = (
            f"{name} against {latency.reference}: {latency.times_as_fast:.2f} times as fast ({low:.2f} to {high:.2f}), "
            f"{result.macs / other.macs:.1%} of its MACs"
        )
        if (name, latency.reference) == ("stdc2", "resnet50"):
            line += f"; the paper says {CLAIM['times_as_fast']} times, {CLAIM['share']} (on a GPU)"
        lines.append(line)
    return lines


def _rank(one: RuntimeResult) -> tuple[int, bool, float]:
    return one.batch, one.latency is None, one.latency.median_ms if one.latency else 0.0


def _figures(latency: LatencyResult, batch: int, *, with_p95: bool) -> tuple[str, ...]:
    ratio = "" if latency.times_as_fast is None else f"{latency.times_as_fast:.2f}"
    noisy = "!" if latency.noisy else ""
    return (
        f"{latency.median_ms:.1f}",
        f"{latency.precision or 0:.1%}{noisy}",
        *((f"{latency.p95_ms:.1f}",) if with_p95 else ()),
        ratio,
        f"{1000 * batch / latency.median_ms:.1f}",
        "–" if latency.peak_memory_bytes is None else _mib(latency.peak_memory_bytes),
    )


def _notes(found: Sequence[RuntimeResult], reasons: Sequence[str]) -> tuple[str, ...]:
    timed = [one for one in found if one.latency is not None]
    notes = list(reasons)
    reference = next(
        (one.latency.reference for one in timed if one.latency is not None and one.latency.reference), None
    )
    ratio = "" if reference is None else f"{RATIO_NOTE} ({reference}). "
    weights = {one.agreement.weights for one in found if one.agreement is not None}
    notes.append(
        "±: the 95 % interval of the median (of the process; under drift, of this window), to its farther side. "
        f"{ratio}† derived: 1000 × batch / ms. peak: memory during a call; –: kept between calls. error (largest, over "
        "the largest logit) and same (class, share of pixels): against float32 eager PyTorch, before it was timed."
    )
    if any(one.emulated for one in found):
        notes[-1] += " ~: emulated, as nothing here computes that dtype natively."
    if "random" in weights:
        notes[-1] += " The weights are fresh, with norms that fit the images; a checkpoint's are compared as trained."
    if any(one.latency is not None and one.latency.noisy for one in timed):
        notes.append(f"!: {NOISY}.")
    return tuple(notes)


def _error(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def _share(value: float) -> str:
    return "100%" if value == 1 else f"{min(value, 0.9999):.2%}"


def _mib(value: int) -> str:
    return f"{value / 2**20:,.0f}"
