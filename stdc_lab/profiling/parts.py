"""Theory's parts of a network as records: weights, multiply-accumulates, feature maps and receptive field of each."""

from __future__ import annotations

from collections.abc import Sequence

from stdc_lab.arch.costs import Part, peak
from stdc_lab.arch.graph import Operation
from stdc_lab.records import StageCost


def stage_cost(part: Part, done: Sequence[Operation], depth: int, path: str = "") -> StageCost:
    """A part and, to a `depth` (1: itself alone), what it is made of. `done`: the operations of the whole network."""
    path = f"{path}/{part.name}" if path else part.name
    inner = part.parts if depth > 1 else ()
    costs = tuple(stage_cost(inside, done, depth - 1, path) for inside in inner)
    return StageCost.of(part).replace(peak_activations=peak(done, path).elements, parts=costs)
