"""Cars, vans and buses: boxes in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stdc_lab.scenery.canvas import COARSE_TURN, Canvas, Colour, Floats, Ink
from stdc_lab.scenery.classes import CAR


@dataclass(frozen=True)
class Car:
    """A car, van or bus: a body and a cabin, each a prism along or across the street."""

    side: float
    """Metres right of the road's middle, at the car's middle."""
    ahead: float
    """Metres to its near end."""
    size: tuple[float, float, float]
    """Length, width, height in metres."""
    cabin: tuple[float, float, float, float]
    """Where the cabin starts and ends at its foot and at its roof, as shares of the length, from its back."""
    waist: float
    """Metres from the ground to where the windows start."""
    colour: Colour
    oncoming: bool
    across: bool
    lamps: bool

    @property
    def depth(self) -> float:
        return self.ahead + 0.5 * (self.size[1] if self.across else self.size[0])

    def shadow(self) -> Floats:
        """Places (side, up, ahead) whose shadows enclose its own."""
        length, width, height = self.size
        wide, deep = (0.5 * length, width) if self.across else (0.5 * width, length)
        return np.array(
            [
                (self.side + x, up, z)
                for up, k in ((0.0, 1.08), (height, 0.8))
                for x in (-k * wide, k * wide)
                for z in (self.ahead - 0.2, self.ahead + deep * k)
            ]
        )

    def paint(self, canvas: Canvas) -> None:
        length, width, height = self.size
        scale = canvas.camera.scale(self.ahead)
        if not canvas.sees(self.side, self.ahead + 0.5 * length, 0.5 * length + width):
            return
        back_low, front_low, back_top, front_top = self.cabin
        low, waist, roof = 0.28, self.waist, height
        body = [(0.0, low), (0.0, waist - 0.06), (0.03, waist), (0.97, waist - 0.12), (1.0, waist - 0.3), (1.0, low)]
        glass_house = [(back_low, waist - 0.02), (back_top, roof), (front_top, roof), (front_low, waist - 0.06)]
        tyre: Colour = (26, 26, 28)
        radius = 0.32 if height < 2.2 else 0.45
        # The tyres' treads under the body first, then the body, then the wheels of the side that is seen.
        for edge in (-0.49, 0.37) if scale > 5 and not self.across else ():
            along = (0.95 if self.oncoming else 0.05) * length
            tread = self._rectangle(canvas, along, edge * width, (edge + 0.12) * width, 0.0, 0.5)
            canvas.polygon(tread, canvas.ink(tyre, CAR, self.ahead))
        seen = self._prism(canvas, body, 0.5 * width, self.colour)
        cabin_colour = self.colour if scale > 14 else tuple(0.7 * tone for tone in self.colour)
        self._prism(canvas, glass_house, 0.46 * width, (cabin_colour[0], cabin_colour[1], cabin_colour[2]))
        if scale > 5:
            self._glass(canvas, glass_house, 0.46 * width)
        if seen and scale > 5:
            for place in (0.17, 0.81):
                self._wheel(canvas, place, 0.5 * width * seen, radius, tyre)
                if scale > 14:
                    self._wheel(canvas, place, 0.505 * width * seen, 0.55 * radius, (150, 150, 152))
        if scale > 4:
            self._ends(canvas, width, waist)

    def _place(self, canvas: Canvas, along: Floats, across: Floats, up: Floats) -> Floats:
        """Pixels of points in the car's own metres: along from its back, across from its middle, up."""
        if self.across:
            forwards = -1 if self.oncoming else 1
            middle = self.ahead + 0.5 * self.size[1]
            return canvas.camera.project(
                self.side + forwards * (along - 0.5 * self.size[0]), up, middle - forwards * across
            )
        if self.oncoming:
            return canvas.camera.project(self.side - across, up, self.ahead + self.size[0] - along)
        return canvas.camera.project(self.side + across, up, self.ahead + along)

    def _ink(self, canvas: Canvas, colour: Colour, along: float, across: float, up: float) -> Ink:
        """Of a face whose normal points there, in the car's own directions."""
        turn = -1.0 if self.oncoming else 1.0
        normal = (turn * along, up, -turn * across) if self.across else (turn * across, up, turn * along)
        return canvas.ink(colour, CAR, self.ahead, canvas.light.facing(*normal))

    def _outline(self, canvas: Canvas, profile: list[tuple[float, float]], across: float) -> Floats:
        shape = np.array(profile)
        return self._place(canvas, shape[:, 0] * self.size[0], np.full(len(shape), across), shape[:, 1])

    def _prism(self, canvas: Canvas, profile: list[tuple[float, float]], half: float, colour: Colour) -> int:
        """A convex profile drawn out to both sides; faces that look away are left out.

        Returns +1 if the right side is seen, -1 if the left one is, 0 for neither.
        """
        count = len(profile)
        shape = np.array(profile * 2)
        across = np.repeat((-half, half), count)
        outlines = self._place(canvas, shape[:, 0] * self.size[0], across, shape[:, 1])
        left, right = outlines[:count], outlines[count:]
        seen = 0
        for sign, outline in ((1, right), (-1, left)):
            if _area(outline) * sign > 0:
                canvas.polygon(outline, self._ink(canvas, colour, 0, sign, 0.15))
                seen = sign
        for this, (along, up) in enumerate(profile[:-1]):  # never from below
            face = outlines[[this, this + 1, this + 1 + count, this + count]]
            if _area(face) > 0:
                rise, run = profile[this + 1][1] - up, (profile[this + 1][0] - along) * self.size[0]
                norm = max(1e-6, math.hypot(rise, run))
                canvas.polygon(face, self._ink(canvas, colour, -rise / norm, 0, run / norm))
        return seen

    def _glass(self, canvas: Canvas, profile: list[tuple[float, float]], half: float) -> None:
        """The windows of the cabin's side, back and front, those that are seen."""
        (back_low, foot), (back_top, roof), (front_top, _), (front_low, _) = profile
        pane: Colour = (38, 46, 54)
        low, high = foot + 0.12 * (roof - foot), foot + 0.82 * (roof - foot)

        def at(share: float, start: float, stop: float) -> float:
            return start + share * (stop - start)

        sides = [(at(0.12, back_low, back_top) + 0.03, low), (at(0.82, back_low, back_top) + 0.03, high)]
        sides += [(at(0.82, front_low, front_top) - 0.03, high), (at(0.12, front_low, front_top) - 0.03, low)]
        for sign in (1, -1):
            outline = self._outline(canvas, sides, sign * half)
            if _area(outline) * sign > 0:
                canvas.polygon(outline, self._ink(canvas, pane, 0, sign, 0.2))
                middle = 0.5 * (sides[0][0] + sides[-1][0])
                pillar = [(middle - 0.01, low), (middle - 0.01, high), (middle + 0.02, high), (middle + 0.02, low)]
                canvas.polygon(self._outline(canvas, pillar, sign * half), self._ink(canvas, self.colour, 0, sign, 0.1))
        for direction, start, stop in ((-1, back_low, back_top), (1, front_low, front_top)):
            along = np.array([at(0.12, start, stop), at(0.88, start, stop)])[[0, 1, 1, 0]] * self.size[0]
            up = np.array([low, high + 0.04, high + 0.04, low])
            across = 0.86 * half * np.array([-1, -1, 1, 1])
            face = self._place(canvas, along, across, up)
            if _area(face) * direction < 0:
                canvas.polygon(face, self._ink(canvas, pane, direction, 0, 0.3).times(1.15))

    def _ends(self, canvas: Canvas, width: float, waist: float) -> None:
        """Lamps and number plates on whichever end is seen."""
        for along, direction in ((-0.01, -1), (self.size[0] + 0.01, 1)):
            plate = self._rectangle(canvas, along, -0.26, 0.26, 0.4 * waist, 0.53 * waist)
            if _area(plate) * direction >= 0:
                continue
            canvas.polygon(plate, canvas.ink((215, 205, 130) if direction < 0 else (225, 225, 222), CAR, self.ahead))
            low, high = (0.62 * waist, 0.85 * waist) if direction < 0 else (0.5 * waist, 0.66 * waist)
            tone: Colour = (165, 22, 22) if direction < 0 else (225, 225, 215)
            lamp = canvas.ink(tone, CAR, self.ahead, 1.5 if self.lamps else 0.9)
            for start, stop in ((-0.47, -0.3), (0.3, 0.47)):
                canvas.polygon(self._rectangle(canvas, along, start * width, stop * width, low, high), lamp)

    def _rectangle(self, canvas: Canvas, along: float, left: float, right: float, low: float, high: float) -> Floats:
        return self._place(
            canvas, np.full(4, along), np.array([left, left, right, right]), np.array([low, high, high, low])
        )

    def _wheel(self, canvas: Canvas, place: float, across: float, radius: float, colour: Colour) -> None:
        turn = COARSE_TURN * radius
        along = place * self.size[0] + turn[:, 0]
        outline = self._place(canvas, along, np.full(len(turn), across), 0.32 + turn[:, 1])
        canvas.polygon(outline, canvas.ink(colour, CAR, self.ahead))


def _area(outline: Floats) -> float:
    """Signed area, positive if the corners go round clockwise as seen on the screen."""
    corners: list[list[float]] = outline.tolist()  # a handful: faster than through numpy
    area, (x, y) = 0.0, corners[-1]
    for next_x, next_y in corners:
        area += x * next_y - next_x * y
        x, y = next_x, next_y
    return area
