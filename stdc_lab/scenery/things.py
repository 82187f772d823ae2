"""What all that stands in the street has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stdc_lab.scenery.canvas import Canvas, Floats


class Thing(Protocol):
    """Anything that stands in the street."""

    @property
    def depth(self) -> float:
        """Metres ahead by which things are ordered, far to near."""

    def shadow(self) -> Floats:
        """K×3 places (side, up, ahead) whose shadows enclose its own."""

    def paint(self, canvas: Canvas) -> None:
        """Draws it, colours and labels."""


@dataclass(frozen=True)
class Standing:
    """Something at one place; it has no shadow unless it says otherwise, being too small or too far for one."""

    side: float
    """Metres right of the road's middle."""
    ahead: float

    @property
    def depth(self) -> float:
        return self.ahead

    def shadow(self) -> Floats:
        return np.empty((0, 3))

    def shadow_of(self, height: float, half: float) -> Floats:
        """Of an upright plate, `half` wide to either side."""
        return np.array([(self.side + x, up, self.ahead) for up in (0.0, height) for x in (-half, half)])


@dataclass(frozen=True)
class Lining:
    """Something along the road, from near to far."""

    side: float
    """Metres from the road's middle, negative on the left."""
    near: float
    far: float
    height: float

    @property
    def depth(self) -> float:
        return self.far

    def shadow(self) -> Floats:
        return np.array([(self.side, up, z) for up in (0.0, self.height) for z in (self.near, self.far)])
