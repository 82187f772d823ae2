"""People on foot and on bicycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stdc_lab.scenery.canvas import Canvas, Colour, Floats, Ink
from stdc_lab.scenery.classes import CYCLIST, PEDESTRIAN
from stdc_lab.scenery.things import Standing


@dataclass(frozen=True)
class Person(Standing):
    """Someone on foot, or on a bicycle, which is then part of the cyclist."""

    height: float
    coat: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    stride: float
    """How far the legs are apart, -1 to 1."""
    turn: float
    """What is seen of the bicycle's length, -1 to 1: 0 from behind, 1 going right, -1 going left."""
    cycling: bool

    def shadow(self) -> Floats:
        return self.shadow_of(self.height, 0.22 + (0.5 * abs(self.turn) if self.cycling else 0.0))

    def paint(self, canvas: Canvas) -> None:
        if not canvas.sees(self.side, self.ahead, 1.2):
            return
        scale = canvas.camera.scale(self.ahead)
        foot = canvas.camera.point(self.side, 0.0, self.ahead)
        light = canvas.light.facing(0, 0, -0.7)
        label = CYCLIST if self.cycling else PEDESTRIAN

        def ink(colour: Colour) -> Ink:
            return canvas.ink(colour, label, self.ahead, light)

        def at(*points: tuple[float, float]) -> Floats:
            """Metres right of and above the foot, in pixels."""
            return np.asarray(foot + scale * np.array(points) * (1, -1), np.float64)

        tall = self.height / 1.75
        if self.cycling:
            self._bicycle(canvas, at, ink((40, 40, 44)), scale)
        hip, lift = (0.92 * tall, 0.0) if not self.cycling else (0.98, 0.32 * tall)
        lean = 0.25 * self.turn if self.cycling else 0.03 * self.stride
        shoulder = hip + 0.55 * tall
        knee, step = 0.09 + 0.04 * self.stride, 0.08 + 0.16 * self.stride * (1 + abs(self.turn))
        legs = [
            [(sign * 0.07, hip), (sign * knee, 0.5 * hip + 0.2 * lift), (sign * step, lift * (1 + 0.4 * sign) + 0.02)]
            for sign in (-1, 1)
        ]
        canvas.lines(np.stack([at(*leg) for leg in legs]), 0.15 * scale * tall, ink(self.trousers))
        wide = 0.23 * tall
        torso = at(
            (-0.7 * wide, hip - 0.1), (lean - wide, shoulder), (lean - 0.5 * wide, shoulder + 0.08),
            (lean + 0.5 * wide, shoulder + 0.08), (lean + wide, shoulder), (0.7 * wide, hip - 0.1),
        )  # fmt: skip
        canvas.polygon(torso, ink(self.coat))
        reach = 0.45 * self.turn if self.cycling else 0.12 * self.stride
        hand = hip + (0.12 if self.cycling else 0.0)
        arms = [[(lean + sign * wide, shoulder), (lean + sign * wide * 1.15 + reach, hand)] for sign in (-1, 1)]
        canvas.lines(np.stack([at(*arm) for arm in arms]), 0.09 * scale * tall, ink(self.coat).times(0.85))
        head = at((1.2 * lean, shoulder + 0.23 * tall))[0]
        radii = (0.1 * scale * tall, 0.13 * scale * tall)
        canvas.ellipse((float(head[0]), float(head[1])), radii, ink(self.skin))
        canvas.ellipse((float(head[0]), float(head[1]) - 0.5 * radii[1]), (radii[0], 0.65 * radii[1]), ink(self.hair))

    def _bicycle(self, canvas: Canvas, at: Callable[..., Floats], ink: Ink, scale: float) -> None:
        """Wheels as rings, labelled as full discs for the same reason as a fence's gaps."""
        width = max(abs(self.turn), 0.08)
        angles = np.linspace(0, 2 * np.pi, 17)
        wheels = [
            at(*zip(self.turn * place + 0.33 * width * np.cos(angles), 0.34 + 0.34 * np.sin(angles), strict=True))
            for place in (-0.52, 0.52)
        ]
        for wheel in wheels:
            canvas.label_only(wheel, CYCLIST)
        canvas.lines(np.stack(wheels), 0.05 * scale, ink)
        frame = [(-0.52, 0.34), (-0.15, 0.8), (0.42, 0.85), (0.52, 0.34), (0.0, 0.3), (-0.15, 0.8)]
        canvas.lines(at(*((self.turn * x, y) for x, y in frame))[None], 0.05 * scale, ink)
        canvas.lines(at((0.4 * self.turn - 0.25, 1.05), (0.4 * self.turn + 0.25, 1.05))[None], 0.04 * scale, ink)
