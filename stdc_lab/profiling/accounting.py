"""Why counters differ: what each adds to the multiply-accumulates of theory, and leaves out, by name.

All rows follow from the spec and the counter's rules, never from the counter's answer: so what remains between their
sum and that answer (`CounterAccount.unaccounted`) is zero, or the rules below are not those of the installed version.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from stdc_lab.arch.graph import Kind, Operation, elements_of, within
from stdc_lab.records import AccountRow, CounterAccount, CounterName


class Rule(NamedTuple):
    """A counter takes `times` for each element that an operation reads as its first input, or writes."""

    times: int
    side: Literal["read", "written"] = "written"


RULES: Mapping[CounterName, Mapping[Kind, Rule]] = MappingProxyType(
    {
        # torch.utils.flop_counter (2.13): convolutions and matrix products only.
        "torch": {},
        # fvcore 0.1.5, nn/flop_count.py: a norm in evaluation scales and shifts, nearest upsampling copies, bilinear
        # upsampling takes four; adaptive pooling counts what it reads. It knows no rule for plain average pooling,
        # means, sigmoids, squares, sums and products, and takes ReLU and concatenation for nothing.
        "fvcore": {
            "batch norm": Rule(2),
            "global pooling": Rule(1, "read"),
            "adaptive pooling": Rule(1, "read"),
            "nearest upsampling": Rule(1),
            "bilinear upsampling": Rule(4),
        },
        # thop 0.1.1, vision/basic_hooks.py: two for a norm, doubled where it is affine; one for an average pooling,
        # however large its window. It hooks modules: a function is not seen at all.
        "thop": {"batch norm": Rule(4), "average pooling": Rule(1)},
        # ptflops 0.6.2 and 0.6.9, on the released forward pass: see `published`.
        "ptflops": {
            "batch norm": Rule(2),
            "ReLU": Rule(1),
            "average pooling": Rule(1, "read"),
            "global mean": Rule(1, "read"),
        },
    }
)

MODULES: frozenset[Kind] = frozenset(("convolution", "linear", "batch norm", "ReLU", "average pooling"))
FUNCTIONS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind not in MODULES)
"""Operations that our networks call as functions: a counter that hooks modules does not see them."""

LAYERS = "convolutions, linear layers"
ADDITIONS = "their additions, counted apart"
DROPPED = "dropped: "


def account(
    counter: CounterName,
    done: Sequence[Operation],
    total: int,
    *,
    dropped: Collection[str] = (),
    more: Collection[AccountRow] = (),
) -> CounterAccount:
    """What a counter's `total` over these operations is made of.

    `dropped`: parts whose output the counted graph does not return, where the counter traces the graph and so sees
    nothing that the returned output does not depend on. `more`: what the form that was counted has besides.
    """
    rows = [AccountRow(name=LAYERS, count=_macs(done))]
    if counter == "torch":
        rows.append(AccountRow(name=ADDITIONS, count=rows[0].count))
    rows += [AccountRow(name=f"{DROPPED}{part}", count=-_macs(done, part)) for part in dropped]
    seen = [operation for operation in done if not any(within(operation.part, part) for part in dropped)]
    rows += [*small_operations(counter, seen), *more]
    return CounterAccount(
        counter=counter,
        unit="FLOPs" if counter == "torch" else "MACs and some operations",
        total=total,
        rows=tuple(rows),
        unaccounted=total - sum(row.count for row in rows),
    )


def small_operations(counter: CounterName, done: Sequence[Operation]) -> list[AccountRow]:
    """What a counter takes for operations other than convolutions and linear layers, where it takes anything."""
    rows = []
    for kind, rule in RULES[counter].items():
        elements = elements_of(done, kind, rule.side)
        if elements:
            rows.append(AccountRow(name=kind, count=rule.times * elements, times=rule.times, elements=elements))
    return rows


def unseen_functions(done: Sequence[Operation]) -> dict[str, int]:
    """Operations that a counter of modules does not see, and how often they run."""
    counts = {kind: sum(operation.kind == kind for operation in done) for kind in FUNCTIONS}
    return {f"{kind} (function)": count for kind, count in counts.items() if count}


def _macs(done: Sequence[Operation], part: str | None = None) -> int:
    return sum(operation.macs for operation in done if within(operation.part, part))
