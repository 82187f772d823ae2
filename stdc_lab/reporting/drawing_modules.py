"""What a drawing of modules shows: one of stride 2 and one of stride 1, step by step, from their operations.

Steps stand in a row. Where a concatenation joins steps of unlike depth, as in an STDC module, it is a bar under them
and the rest stands below it; other branches run beneath the row.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from stdc_lab.arch.costs import NetworkCost, Part
from stdc_lab.arch.graph import within
from stdc_lab.reporting.drawing_data import MARGIN, WIDTH, Diagram, Kind, Node, Note, percent, shape_text, short_count
from stdc_lab.reporting.drawing_network import SUM_SIDE, repeated_name
from stdc_lab.reporting.drawing_routes import routed
from stdc_lab.reporting.drawing_steps import Step, lines_of, size_text, steps_of

GAP, PANEL_GAP = 0.3, 0.5
ROW_GAP, NOTES = 0.36, 0.62
FULL = WIDTH - 2 * MARGIN
SIGNS = {"sum": "+", "product": "×"}


class Module(NamedTuple):
    """A module of a stage, its steps, and the names of those that are alike but for widths and dilations."""

    stage: str
    part: Part
    steps: tuple[Step, ...]
    alike: tuple[str, ...]
    dilations: tuple[int, ...]

    @property
    def form(self) -> tuple[object, ...]:
        """What it is, but for widths, sizes and dilations."""
        numbers = {number: index for index, step in enumerate(self.steps) for number in _written(step)}
        return tuple(
            (step.kind, step.layer.kernel, step.layer.stride, *(numbers.get(number) for number in step.inputs))
            for step in self.steps
        )

    @property
    def stride(self) -> int:
        """By how much it makes its input smaller."""
        return max(step.layer.stride for step in self.steps)


def shown_modules(cost: NetworkCost) -> list[Module]:
    """The modules that are drawn: one without stride, one with, of the first stage with the most forms of them.

    Between stages with as many, the steps in a module decide. Of the forms the most frequent one is drawn.
    """
    steps = steps_of(cost.operations)
    stages = []
    for stage in cost.parts:
        if repeated_name(stage):
            stages.append([Module(stage.name, part, _inside(steps, stage, part), (), ()) for part in stage.parts])
    if not stages:
        return []
    chosen = max(stages, key=lambda some: (len({one.form for one in some}), max(len(one.steps) for one in some)))
    counts = Counter(module.form for module in chosen)
    shown = []
    for strided in (False, True):
        some = [module for module in chosen if (module.stride > 1) == strided]
        if some:
            best = max(some, key=lambda module: (counts[module.form], len(module.steps)))
            alike = [module for module in some if module.form == best.form]
            dilations = {max(step.layer.dilation for step in module.steps) for module in alike}
            names = tuple(module.part.name for module in alike)
            shown.append(best._replace(alike=names, dilations=tuple(sorted(dilations))))
    return shown


def modules_diagram(cost: NetworkCost) -> Diagram:
    """The shown modules side by side where there is room, else one below the other. Without any, it is empty."""
    whole = Diagram(FULL, 0, (), ())
    for index, module in enumerate(shown_modules(cost)):
        one = module_diagram(module, cost)
        right = min((FULL + PANEL_GAP) / 2, FULL - one.width) if index else 0.0
        if index and right < whole.width + PANEL_GAP:
            down = whole.height + 0.25
            one, right = dataclasses.replace(one.moved(0, down), height=one.height + down), 0.0
        whole = one if not index else whole.beside(one.moved(right, 0))
    return dataclasses.replace(whole, width=FULL)


def module_diagram(module: Module, cost: NetworkCost) -> Diagram:
    """A module. Keys of boxes are numbers of its steps, or `input` and `output`, behind the stride."""
    nodes, arrows = _graph(module)
    cells, below = _cells(nodes, arrows)
    width, top = 0.0, NOTES
    for column in sorted({column for column, _ in cells.values()}):
        mine = [key for key in cells if cells[key][0] == column]
        widest = max(nodes[key].width for key in mine)
        nodes |= {key: nodes[key].at(width + widest / 2, 0) for key in mine}
        width += widest + GAP
    if below:
        bar = below[0]
        fed = [nodes[tail] for tail, head in arrows if head == bar]
        left, right = min(node.left for node in fed), max(node.right for node in fed)
        nodes[bar] = dataclasses.replace(nodes[bar], width=max(nodes[bar].width, right - left))
        nodes |= {key: nodes[key].at((left + right) / 2, 0) for key in below}
    lowest = max((cells[tail][1] for tail, head in arrows if head in below[:1]), default=0)
    rows = {key: row for key, (_, row) in cells.items()}
    rows |= {key: row for row, key in enumerate(below, start=lowest + 1)}
    for row in sorted(set(rows.values())):
        mine = [key for key in rows if rows[key] == row]
        height = max(nodes[key].height for key in mine)
        nodes |= {key: nodes[key].at(nodes[key].x, top + height / 2) for key in mine}
        top += height + ROW_GAP
    for key in cells:
        if nodes[key].kind == "concatenation":  # beside steps that lie one below the other
            fed = [nodes[tail] for tail, head in arrows if head == key]
            upper, lower = min(one.top for one in fed), max(one.bottom for one in fed)
            nodes[key] = dataclasses.replace(nodes[key], y=(upper + lower) / 2, height=lower - upper)
    prefix = f"stride {module.stride}: "
    named = {prefix + key: dataclasses.replace(node, key=prefix + key) for key, node in nodes.items()}
    edges = routed(named, [(prefix + tail, prefix + head) for tail, head in arrows])
    return Diagram(width - GAP, top - ROW_GAP + 0.1, tuple(named.values()), edges, tuple(_notes(module, cost)))


def _graph(module: Module) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    home = {number: str(index) for index, step in enumerate(module.steps) for number in _written(step)}
    given, output = module.steps[0].layer.inputs[0], module.steps[-1].output
    shape = f"{given.channels} ch", size_text(given.size)
    nodes = {"input": Node("input", "data", ("Input",), shape).fitted()}
    nodes |= {str(index): _node(str(index), step) for index, step in enumerate(module.steps)}
    nodes["output"] = Node("output", "data", ("Output",), (shape_text(output.channels, output.size),)).fitted()
    arrows = [
        (home.get(number, "input"), str(index)) for index, step in enumerate(module.steps) for number in step.inputs
    ]
    return nodes, [*dict.fromkeys(arrows), (str(len(module.steps) - 1), "output")]


def _cells(nodes: dict[str, Node], arrows: list[tuple[str, str]]) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Column and row of each box, but for those below: the concatenation that is a bar, if any, and what follows."""
    tails = {key: [tail for tail, head in arrows if head == key] for key in nodes}
    paths: dict[str, list[str]] = {}
    for key in nodes:  # each behind those that it reads from
        paths[key] = [*max((paths[tail] for tail in tails[key]), key=len, default=[]), key]
    joins = [key for key, node in nodes.items() if node.kind == "concatenation"]
    bars = [key for key in joins if len({len(paths[tail]) for tail in tails[key]}) > 1][:1]
    cells = {key: (column, 0) for column, key in enumerate(paths[bars[0]][:-1] if bars else paths["output"])}
    below = bars
    for key in nodes:
        if any(tail in below for tail in tails[key]):
            below = [*below, key]
        elif key not in (*cells, *below):
            column, row = cells[tails[key][0]]
            column, row = (column, row + 1) if bars else (column + 1, max(1, row))
            while (column, row) in cells.values():
                row += 1
            cells[key] = column, row
    return cells, below


def _node(key: str, step: Step) -> Node:
    finish = tuple(one.kind for one in step.operations[1:]) if step.kind != "attention" else ()
    if step.kind in SIGNS:
        sign = Node(key, "sum", (SIGNS[step.kind],), width=SUM_SIDE, height=SUM_SIDE)
        return dataclasses.replace(sign, kind="resampling", lines=finish).fitted() if finish else sign
    if step.kind == "concatenation":
        widths = " + ".join(str(tensor.channels) for tensor in step.layer.inputs)
        text = (f"{widths} = {step.output.channels} ch", *((", ".join(finish),) if finish else ()))
        return Node(key, "concatenation", ("Concatenation",), text).fitted()
    lines = lines_of(step)
    kind: Kind = "backbone" if step.kind == "convolution" and step.rectified else "resampling"
    name = step.part.rsplit("/", 1)[-1] if step.kind == "convolution" else ""
    title = (name[:1].upper() + name[1:]).rsplit(" ", 1) if len(name) > 12 else [name[:1].upper() + name[1:]]
    return Node(key, kind, tuple(filter(None, title)), lines).fitted()


def _inside(steps: Iterable[Step], stage: Part, part: Part) -> tuple[Step, ...]:
    return tuple(step for step in steps if within(step.part, f"{stage.name}/{part.name}"))


def _written(step: Step) -> Iterable[int]:
    return {operation.output.number for operation in step.operations}


def _notes(module: Module, cost: NetworkCost) -> Iterable[Note]:
    numbers = [int(re.sub(r"\D", "", name) or 0) for name in module.alike]
    which = f"{module.part.name} of {module.stage}"
    if len(numbers) > 1 and all(b == a + 1 for a, b in pairwise(numbers)):
        which = f"{re.sub(r' [0-9]+$', 's', module.alike[0])} {numbers[0]} to {numbers[-1]} of {module.stage}"
    elif len(numbers) > 1:
        which = f"{which}, and {len(numbers) - 1} more"
    yield Note(0, 0.1, f"Stride {module.stride}: {which}", 9, True)
    share = percent(module.part.cost.macs / cost.cost.macs)
    each = f"{module.part.name}: " if len(numbers) > 1 else ""
    text = f"{each}{share} of MACs, {short_count(module.part.cost.num_params)} parameters"
    if len(module.dilations) > 1:
        text += f"; dilations here: {', '.join(map(str, module.dilations))}"
    yield Note(0, 0.32, text)
