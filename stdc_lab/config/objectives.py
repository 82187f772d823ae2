"""What a study optimises: objectives over what a trial measured."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from stdc_lab.config.figures import FigureName, figure_of
from stdc_lab.config.values import Value

QUIET_SPREAD = 0.1
"""Interquartile range over median of a latency's calls above which the machine was not quiet."""
_SYNTAX = re.compile(r"(?:(?P<direction>maximize|minimize)\s+)?(?P<figure>\w+|iou\.\S.*)")


class Objective(Value):
    """A figure and whether more of it is better; written `miou`, or `maximize macs` against its usual direction."""

    figure: FigureName
    maximize: bool

    def __str__(self) -> str:
        if self.maximize == figure_of(self.figure).maximize:
            return self.figure
        return f"{'maximize' if self.maximize else 'minimize'} {self.figure}"


def parse_objective(value: Any) -> Any:
    """An objective from its text. Raises ValueError."""
    if isinstance(value, Objective):
        return value
    match = _SYNTAX.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"got {value!r}; allowed: a figure such as miou, or `minimize macs`")
    figure, direction = figure_of(match["figure"]), match["direction"]
    maximize = figure.maximize if direction is None else direction == "maximize"
    return Objective(figure=figure.name, maximize=maximize)


ObjectiveText = Annotated[Objective, BeforeValidator(parse_objective), PlainSerializer(str)]
DEFAULT_OBJECTIVES = (Objective(figure="miou", maximize=True), Objective(figure="latency_ms", maximize=False))
