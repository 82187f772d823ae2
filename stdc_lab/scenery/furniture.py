"""What stands beside a street and is small: poles, signs, and clutter without a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from stdc_lab.scenery.canvas import Canvas, Colour, Floats, Ink
from stdc_lab.scenery.classes import POLE, SIGN, UNLABELLED
from stdc_lab.scenery.things import Standing

SignKind = Literal["limit", "order", "warning", "board", "lights", "back"]
# Rim, face and mark of the round ones.
_DISCS: Mapping[SignKind, tuple[Colour, Colour, Colour]] = MappingProxyType(
    {
        "limit": ((200, 25, 30), (240, 240, 238), (30, 30, 30)),
        "order": ((235, 235, 235), (25, 70, 170), (240, 240, 240)),
        "back": ((120, 122, 125), (128, 130, 132), (128, 130, 132)),
    }
)


@dataclass(frozen=True)
class Pole(Standing):
    """A lamp post, a traffic light's or a sign's pole: at least one pixel wide, however far."""

    height: float
    thickness: float
    arm: float
    """Metres of arm at the top, negative to the left; 0 without one."""
    colour: Colour

    def shadow(self) -> Floats:
        return self.shadow_of(self.height, self.thickness)

    def paint(self, canvas: Canvas) -> None:
        scale = canvas.camera.scale(self.ahead)
        if not canvas.sees(self.side, self.ahead, abs(self.arm) + 1):
            return
        ink = canvas.ink(self.colour, POLE, self.ahead, canvas.light.facing(0, 0, -0.7))
        x, y = canvas.camera.point(self.side, 0.0, self.ahead)
        high = y - scale * self.height
        half = max(1.0, 0.5 * scale * self.thickness)
        thin = max(1.0, 0.7 * half)
        canvas.polygon(np.array([(x - half, y), (x - thin, high), (x + thin, high), (x + half, y)]), ink)
        if self.arm:
            end = (x + scale * self.arm, high - scale * 0.4)
            canvas.lines(np.array([[(x, high), end]]), 1.4 * half, ink)
            canvas.ellipse(end, (max(1.5, scale * 0.35), max(1.0, scale * 0.12)), ink)


@dataclass(frozen=True)
class Sign(Standing):
    """A sign's plate or a traffic light, on a pole that is a thing of its own."""

    up: float
    """Metres to the middle of the plate."""
    radius: float
    kind: SignKind
    colour: Colour

    @property
    def depth(self) -> float:
        return self.ahead - 0.15

    def paint(self, canvas: Canvas) -> None:
        if not canvas.sees(self.side, self.ahead, 2 * self.radius):
            return
        scale = canvas.camera.scale(self.ahead)
        light = canvas.light.facing(0, 0, -0.9)
        x, y = canvas.camera.point(self.side, self.up, self.ahead)
        r = max(1.6, scale * self.radius)

        def ink(colour: Colour) -> Ink:
            return canvas.ink(colour, SIGN, self.ahead, light)

        if self.kind in ("limit", "order", "back"):
            rim, face, mark = _DISCS[self.kind]
            canvas.ellipse((x, y), (r, r), ink(rim))
            canvas.ellipse((x, y), (0.7 * r, 0.7 * r), ink(face))
            if r > 5:
                canvas.ellipse((x, y), (0.12 * r, 0.4 * r), ink(mark))
        elif self.kind == "warning":
            corners = np.array([(0, -1.1), (1.05, 0.75), (-1.05, 0.75)])
            canvas.polygon((x, y) + r * corners, ink((200, 30, 35)))
            canvas.polygon((x, y + 0.08 * r) + 0.6 * r * corners, ink((242, 240, 232)))
        elif self.kind == "board":
            plate = np.array([(-1.6, -0.8), (1.6, -0.8), (1.6, 0.8), (-1.6, 0.8)])
            canvas.polygon((x, y) + r * plate, ink((235, 235, 235)))
            canvas.polygon((x, y) + 0.9 * r * plate, ink(self.colour))
            if r > 4:
                text = np.array([[(-1.2, dy), (0.9, dy)] for dy in (-0.35, 0.3)])
                canvas.lines((x, y) + r * text, 0.15 * r, ink((225, 225, 225)))
        else:
            box = np.array([(-0.5, -1.3), (0.5, -1.3), (0.5, 1.3), (-0.5, 1.3)])
            canvas.polygon((x, y) + r * box, ink((28, 30, 30)))
            lit = int(self.colour[0]) % 3
            lamps = ((255.0, 50.0, 40.0), (255.0, 190.0, 50.0), (60.0, 235.0, 130.0))
            for place, lamp in enumerate(lamps):
                tone = lamp if place == lit else tuple(0.25 * part for part in lamp)
                bright = canvas.ink((tone[0], tone[1], tone[2]), SIGN, self.ahead)
                canvas.ellipse((x, y + (place - 1) * 0.8 * r), (0.33 * r, 0.33 * r), bright)


@dataclass(frozen=True)
class Clutter(Standing):
    """A bin, a box, a bench: something that no class names, labelled UNLABELLED."""

    width: float
    height: float
    colour: Colour

    def shadow(self) -> Floats:
        return self.shadow_of(self.height, 0.5 * self.width)

    def paint(self, canvas: Canvas) -> None:
        half = 0.5 * self.width
        if not canvas.sees(self.side, self.ahead, half):
            return
        ink = canvas.ink(self.colour, UNLABELLED, self.ahead, canvas.light.facing(0, 0, -0.8))
        box = canvas.camera.project(
            self.side + np.array([-half, -half, half, half]), np.array([0, self.height, self.height, 0]), self.ahead
        )
        canvas.polygon(box, ink)
        lid = canvas.camera.project(
            self.side + np.array([-half, -half, half, half]), self.height, self.ahead + np.array([0.0, 0.6, 0.6, 0.0])
        )
        canvas.polygon(lid, ink.times(1.25))
