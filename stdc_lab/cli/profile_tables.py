"""The tables that `stdc-lab profile` shows: of one network, and of several side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stdc_lab.cli.latency_tables import RATIO_NOTE, parts_sum
from stdc_lab.cli.tables import Row, Table

if TYPE_CHECKING:
    from stdc_lab.records import AccountRow, CounterAccount, LatencyResult, ProfileResult, StageCost

MEASURED = "‡"
MIB = 2**20 / 4
"""Elements of float32 in a mebibyte."""
PARTS_NOTE = (
    "M act.: elements that convolutions and linear layers put out. peak: feature maps alive at once, each from the "
    "operation that writes it to the last that reads it. field: side in pixels of what the convolutional path sees of "
    "the image; *: and the whole of it by a global mean."
)
EACH_NOTE = "each: what the counter takes for one element."
NOT_OURS_NOTE = (
    "not ours: MACs are measured, not theory: of a baseline from the shapes that its layers meet, of --network as "
    "PyTorch's counter has them (half its FLOPs). Nobody accounts for what counters add."
)
CONVENTION_NOTE = (
    "MACs: multiply-accumulates of convolutions and linear layers; one is two FLOPs. The paper's names 813M and 1446M "
    "are MACs with batch norm, ReLU and pooling added: stdc-lab profile stdc1 --task cls."
)


def network_tables(name: str, result: ProfileResult) -> list[Table]:
    """All there is to say of one network, but latency."""
    tables = [parts_table(name, result), counters_table(result)]
    if result.training is not None:
        tables += [heads_table(result), training_counters_table(result)]
    if result.released_form is not None:
        tables.append(released_table(result))
    return tables


def parts_table(name: str, result: ProfileResult) -> Table:
    """The parts of a network: output, weights, MACs, feature maps, receptive field."""
    unit, scale = macs_unit(result.macs)
    rows: list[Row] = []
    watched = result.stage_latencies
    milliseconds = {} if watched is None else {stage.name: stage.median_ms for stage in watched.stages}

    def add(part: StageCost, level: int) -> None:
        height, width = part.output_size
        cells = (
            "  " * level + part.name,
            f"{part.output_channels}×{height}×{width}",
            f"{part.num_params / 1e6:,.3f}",
            f"{part.macs / scale:,.3f}",
            f"{part.macs / result.macs:.1%}",
            _millions(part.activations),
            _mebibytes(part.peak_activations),
            _field(part),
            *timing(part.name if level == 0 else ""),
        )
        rows.append(Row(cells, "dim" if level else ""))
        for inner in part.parts:
            add(inner, level + 1)

    def timing(name: str) -> tuple[str, ...]:
        return () if watched is None else (f"{milliseconds[name]:.1f}" if name in milliseconds else "",)

    for part in result.stages:
        add(part, 0)
    for name in (name for name in milliseconds if name not in {part.name for part in result.stages}):
        rows.append(Row((name, *[""] * 7, *timing(name))))
    whole = (f"{result.num_params / 1e6:,.3f}", f"{result.macs / scale:,.3f}", "100.0%")
    memory = (_millions(result.activations), _mebibytes(result.peak_activations))
    together = () if watched is None else (f"{watched.sum_ms:.1f}",)
    rows.append(Row(("whole", "", *whole, *memory, "", *together), "bold"))
    weights, maps = result.num_params / MIB, (result.activations or 0) / MIB
    note = (
        f"float32: weights {weights:,.1f} MiB; feature maps {maps:,.1f} MiB in all (M act.), "
        f"{_mebibytes(result.peak_activations)} MiB at once (peak; {result.peak_at})."
    )
    if result.activations is None:
        note = f"float32: weights {weights:,.1f} MiB; feature maps were not counted."
    columns = ("part", "output", "M params", unit, "share", "M act.", "peak MiB", "field")
    notes = [note, *filter(None, [parts_sum(result)]), PARTS_NOTE]
    return Table(f"{name}: parts", (*columns, *(["ms"] if watched else [])), tuple(rows), words=2, notes=tuple(notes))


def counters_table(result: ProfileResult) -> Table:
    """What every counter's answer is made of, to the last operation."""
    if result.arch is None:
        return comparison_of_counters([result.network or ""], [result])
    notes = [EACH_NOTE]
    missed = result.not_counted.get("fvcore")
    if missed:
        notes[0] += " fvcore has no rule for: " + _listed(missed) + "."
    missed = result.not_counted.get("thop")
    if missed:
        notes.append("thop sees modules only, not: " + _listed({k.split(" (")[0]: n for k, n in missed.items()}) + ".")
    notes.append("None of them counts ReLU. No layer has a bias; no module is registered twice.")
    if result.task == "seg":
        notes.append(CONVENTION_NOTE)
    return _accounts("counters", result.accounts, notes)


def heads_table(result: ProfileResult) -> Table:
    """What training heads add to the deployed network."""
    training = result.training
    assert training is not None
    unit, scale = macs_unit(result.macs)

    def row(name: str, output: str, params: int, macs: int, activations: int | None, share: str) -> tuple[str, ...]:
        return (name, output, f"{params / 1e6:,.3f}", f"{macs / scale:,.3f}", share, _millions(activations))

    rows = [Row(row("deployed", "", result.num_params, result.macs, result.activations, ""))]
    for part in training.head_costs:
        output = f"{part.output_channels}×{part.output_size[0]}×{part.output_size[1]}"
        share = f"+{part.macs / result.macs:.1%}"
        rows.append(Row(row(part.name, output, part.num_params, part.macs, part.activations, share)))
    share = f"+{training.macs / result.macs - 1:.1%}"
    whole = row("with training heads", "", training.num_params, training.macs, training.activations, share)
    note = f"Run with all of them, feature maps take at most {_mebibytes(training.peak_activations)} MiB at once."
    columns = ("part", "output", "M params", unit, "of deployed", "M act.")
    return Table("training heads", columns, (*rows, Row(whole, "bold")), words=2, notes=(note,))


def training_counters_table(result: ProfileResult) -> Table:
    """The counters on the training form."""
    assert result.training is not None
    note = (
        "All heads run, and the main logits are returned: fvcore traces the graph, so it drops what they do not depend "
        "on."
    )
    return _accounts("counters, with training heads", result.training.accounts, [EACH_NOTE, note])


def released_table(result: ProfileResult) -> Table:
    """Counts that others get or published, of the classifier as the released code arranges it."""
    accounts = {"thop, stages twice": result.released_form}
    notes = [EACH_NOTE + " The released code registers its stages twice; thop hooks and adds up both."]
    if result.published is not None:
        millions = result.published.total // 10**6
        accounts[f'published "{millions}M"'] = result.published
        measured = result.published.total - result.published.unaccounted
        notes.append(
            f"{millions}M follows the rules of ptflops 0.6, which said {measured:,} of this form when it was measured: "
            f"rounded to millions, that is the name. No version of thop that was tried (0.0.23 to 0.1.1) gives it."
        )
    known = {title: account for title, account in accounts.items() if account is not None}
    return _accounts("as the released code has it", tuple(known.values()), notes, titles=tuple(known))


def comparison_table(names: Sequence[str], results: Sequence[ProfileResult]) -> Table:
    """A row a network."""
    unit, scale = macs_unit(max(result.macs for result in results))
    timed = any(result.latency for result in results)
    trained = any(result.training for result in results)
    columns = ["network", "arch_id", "M params", unit, "M act.", "peak MiB", unit.replace("MACs", "FLOPs") + "†"]
    columns += [f"{unit}+heads"] if trained else []
    reference = next((r.latency.reference for r in results if r.latency and r.latency.reference), None)
    rows = []
    for name, result in zip(names, results, strict=True):
        cells = [name, result.arch_id or "–", f"{result.num_params / 1e6:,.2f}"]
        cells.append(f"{result.macs / scale:,.2f}{MEASURED if result.arch is None else ''}")
        cells += [_millions(result.activations), _mebibytes(result.peak_activations), f"{2 * result.macs / scale:,.2f}"]
        if trained:
            cells.append("–" if result.training is None else f"{result.training.macs / scale:,.2f}")
        latency = result.latency
        if timed and latency is None:
            cells += ["not run", "", *([""] if reference else []), ""]
        elif latency is not None:
            noisy = "!" if latency.noisy else ""
            cells += [f"{latency.median_ms:.1f}", f"{latency.precision or 0:.1%}{noisy}"]
            cells += [f"{latency.times_as_fast:.2f}" if latency.times_as_fast else ""] if reference else []
            cells += [f"{1000 / latency.median_ms:.1f}"]
        rows.append(Row(tuple(cells)))
    columns += ["ms", "±", *(["×"] if reference else []), "fps†"] if timed else []
    note = "† derived: FLOPs = 2 × MACs" + (
        ", fps = 1000 / ms. ±: the median's 95 % interval, to its farther side." if timed else "."
    )
    if any(result.arch is None for result in results):
        note += f" {MEASURED}: MACs measured, not theory (--details)."
    ratio = f" {RATIO_NOTE} ({reference})." if reference else ""
    return Table("networks", tuple(columns), tuple(rows), words=2, notes=(note + ratio,))


def comparison_of_parts(names: Sequence[str], results: Sequence[ProfileResult]) -> list[Table]:
    """MACs and parameters of the parts, a row a network."""
    unit, scale = macs_unit(max(result.macs for result in results))
    longest = max((result.stages for result in results), key=len)
    parts = dict.fromkeys(part.name for stages in (longest, *(r.stages for r in results)) for part in stages)
    titles = (part.removeprefix("stage ") for part in parts)
    columns = ("network", *titles, "whole")
    tables = []
    for what, title, divisor in (("macs", unit, scale), ("num_params", "M params", 1e6)):
        rows = []
        for name, result in zip(names, results, strict=True):
            values = {part.name: f"{getattr(part, what) / divisor:,.3f}" for part in result.stages}
            rows.append(
                Row((name, *(values.get(part, "–") for part in parts), f"{getattr(result, what) / divisor:,.3f}"))
            )
        tables.append(Table(f"{title} of stages 1 to 5 and what follows", columns, tuple(rows)))
    return tables


def comparison_of_counters(names: Sequence[str], results: Sequence[ProfileResult]) -> Table:
    """What each counter reports of each network, and what of it is not accounted for."""
    rows = []
    for name, result in zip(names, results, strict=True):
        said = result.counters
        totals = (None if said.torch is None else 2 * said.torch, said.fvcore, said.thop)
        cells = (f"{result.macs:,}", *("–" if total is None else f"{total:,}" for total in totals))
        left = ", ".join(f"{account.unaccounted:,}" for account in result.accounts)
        rows.append(Row((name, *cells, left or "not ours")))
    notes = [
        "unaccounted, by counter: what no rule known here explains. --details says what each adds to theory.",
    ]
    if any(result.arch is None for result in results):
        notes.append(NOT_OURS_NOTE)
    if any("aten::_convolution_mode" in result.not_counted.get("fvcore", {}) for result in results):
        notes.append("fvcore has no rule for convolutions whose padding is a word, and leaves them out.")
    counters = ("torch, FLOPs", "fvcore", "thop")
    return Table("counters", ("network", "MACs", *counters, "unaccounted"), tuple(rows), notes=tuple(notes))


def csv_rows(names: Sequence[str], results: Sequence[ProfileResult]) -> list[list[str | int | float | None]]:
    """A header, a row a network and one a runtime of it, all numbers unrounded; nothing where nothing was measured."""
    header = (
        "network arch_id task num_classes height width num_params macs activations peak_activations torch_flops fvcore "
        "thop unaccounted gflops_derived runtime dtype batch latency_ms latency_low_ms latency_high_ms latency_p95_ms "
        "noisy times_as_fast reference peak_memory_bytes max_rel_error argmax_share fps_derived reason"
    )
    rows: list[list[str | int | float | None]] = [list(header.split())]
    for name, result in zip(names, results, strict=True):
        says = result.counters
        left = sum(abs(account.unaccounted) for account in result.accounts) if result.accounts else None
        row: list[str | int | float | None] = [name, result.arch_id, result.task, result.num_classes, *result.size]
        row += [result.num_params, result.macs, result.activations, result.peak_activations]
        row += [None if says.torch is None else 2 * says.torch, says.fvcore, says.thop, left, 2 * result.macs / 1e9]
        rows.append([*row, *_timing(result.latency, 1), None, None, *_fps(result.latency, 1), None])
        for one in result.runtimes:
            agreement = one.agreement
            found = (None, None) if agreement is None else (agreement.max_rel_error, agreement.argmax_share)
            timing = _timing(one.latency, one.batch)
            timing[:3] = [one.runtime, one.dtype, one.batch]
            rows.append([*row, *timing, *found, *_fps(one.latency, one.batch), one.reason])
    return rows


def _timing(latency: LatencyResult | None, batch: int) -> list[str | int | float | None]:
    if latency is None:
        return [None] * 11
    return [
        *(latency.runtime, latency.dtype, batch, latency.median_ms, *latency.ci95_ms, latency.p95_ms),
        *(latency.noisy, latency.times_as_fast, latency.reference, latency.peak_memory_bytes),
    ]


def _fps(latency: LatencyResult | None, batch: int) -> list[float | None]:
    return [None if latency is None else 1000 * batch / latency.median_ms]


def macs_unit(macs: int) -> tuple[str, float]:
    """The unit in which so many multiply-accumulates are easy to read."""
    return ("GMACs", 1e9) if macs >= 1e9 else ("MMACs", 1e6)


def _accounts(
    title: str, accounts: Sequence[CounterAccount], notes: Iterable[str], titles: Sequence[str] | None = None
) -> Table:
    """A column a counter: what it counts by name, the sum, what it reports, and the difference."""
    columns = ["counted"]
    for heading, account in zip(titles or [account.counter for account in accounts], accounts, strict=True):
        columns.append(_heading(heading, account))
        columns += ["each"] if _has_rules(account) else []
    names = dict.fromkeys(row.name for account in sorted(accounts, key=_length) for row in account.rows)
    rows = []
    for name in sorted(names, key=_kind):
        cells = [name]
        for account in accounts:
            row = next((row for row in account.rows if row.name == name), None)
            cells.append("–" if row is None else f"{row.count:,}")
            cells += [_each(row)] if _has_rules(account) else []
        rows.append(Row(tuple(cells)))
    for name, look in (("together", ""), ("it says", "bold"), ("difference", "green")):
        cells = [name]
        for account in accounts:
            together = account.total - account.unaccounted
            value = {"together": together, "it says": account.total}.get(name, account.unaccounted)
            cells += [f"{value:,}", ""] if _has_rules(account) else [f"{value:,}"]
        if name == "difference" and not all(account.closes for account in accounts):
            look = "red"
        rows.append(Row(tuple(cells), look))  # type: ignore[arg-type]
    return Table(title, tuple(columns), tuple(rows), notes=tuple(notes))


def _heading(name: str, account: CounterAccount) -> str:
    return f"{name}, FLOPs" if account.unit == "FLOPs" else name


def _length(account: CounterAccount) -> int:
    return -len(account.rows)


def _kind(name: str) -> int:
    """Layers first, what comes of the form that was counted last."""
    order = ("convolutions", "their additions", "dropped")
    return next((index for index, start in enumerate(order) if name.startswith(start)), len(order))


def _has_rules(account: CounterAccount) -> bool:
    return any(row.times is not None for row in account.rows)


def _each(row: AccountRow | None) -> str:
    return "" if row is None or row.times is None else f"×{row.times}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.removeprefix('aten::')} ×{count}" for name, count in counts.items())


def _millions(value: int | None) -> str:
    return "–" if value is None else f"{value / 1e6:,.2f}"


def _mebibytes(elements: int | None) -> str:
    return "–" if elements is None else f"{elements / MIB:,.1f}"


def _field(part: StageCost) -> str:
    if part.receptive_field is None:
        return "whole image" if part.whole_image else "–"
    return ("* " if part.whole_image else "") + f"{part.receptive_field:,}"
