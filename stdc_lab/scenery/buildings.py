"""What stands still and is large: buildings, trees, fences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stdc_lab.scenery.canvas import NEAREST, Canvas, Colour, Floats
from stdc_lab.scenery.classes import BUILDING, FENCE, TREE
from stdc_lab.scenery.things import Lining, Standing


@dataclass(frozen=True)
class Building(Lining):
    """A house along the street: a wall beside it, a gable towards the camera, perhaps a roof."""

    roof: float
    """Metres from the eaves to the ridge; 0 is a flat roof."""
    colour: Colour
    roof_colour: Colour
    storey: float
    window: tuple[float, float, float]
    """Width, height and spacing in metres."""
    glass: Colour
    frame: Colour
    shop: bool
    adjoins: bool
    """Whether another house stands against its gable, which then has no windows."""
    seed: int

    def paint(self, canvas: Canvas) -> None:
        near, far = max(self.near, NEAREST), self.far
        if far <= near + 0.1:
            return
        project = canvas.camera.project
        outwards = np.sign(self.side)
        middle = 0.5 * (near + far)
        front = canvas.ink(self.colour, BUILDING, near, canvas.light.facing(0, 0, -1))
        back = self.side + 9 * outwards
        gable = [(self.side, 0), (self.side, self.height), (back, self.height), (back, 0)]
        if self.roof:
            ridge = self.side + 4.5 * outwards
            tiles = canvas.ink(self.roof_colour, BUILDING, middle, canvas.light.facing(-0.5 * outwards, 0.85, 0))
            slope = project(
                [self.side, self.side, ridge, ridge],
                [self.height, self.height, self.height + self.roof, self.height + self.roof],
                [near, far, far, near],
            )
            canvas.polygon(slope, tiles)
            gable.insert(2, (ridge, self.height + self.roof))
        if self.near > NEAREST:
            corners = np.array(gable)
            canvas.polygon(project(corners[:, 0], corners[:, 1], near), front)
            if canvas.camera.scale(near) > 6 and not self.adjoins:
                self._windows(canvas, near, far, gable_end=True)
        # A bent street bends its walls: drawn in pieces, far to near.
        cuts = np.linspace(far, near, 4 if canvas.camera.bend else 2)
        wall_light = canvas.light.facing(-outwards, 0, 0)
        for start, stop in zip(cuts[1:], cuts[:-1], strict=True):
            wall = canvas.ink(self.colour, BUILDING, 0.5 * (start + stop), wall_light)
            canvas.polygon(project(self.side, [-0.3, self.height, self.height, -0.3], [start, start, stop, stop]), wall)
        self._windows(canvas, near, far, gable_end=False)

    def _windows(self, canvas: Canvas, near: float, far: float, gable_end: bool) -> None:
        """A grid of windows, each darker or brighter by chance; too far away they would only be noise."""
        camera = canvas.camera
        width, height, spacing = self.window
        outwards = np.sign(self.side)
        if camera.scale(near) * height < 2.0:
            return
        length = 8.6 if gable_end else self.far - self.near
        columns = np.arange(0.5 * (spacing - width) + 0.3, length - width, spacing)
        rows = np.arange(0.9 + (self.storey if self.shop else 0.0), self.height - height - 0.2, self.storey)
        starts, sills = (grid.ravel() for grid in np.meshgrid(columns, rows))
        across = np.stack((starts, starts, starts + width, starts + width), -1)
        up = np.stack((sills, sills + height, sills + height, sills), -1)
        if gable_end:
            light = canvas.light.facing(0, 0, -1)
            corners = camera.project(self.side + outwards * (0.2 + across), up, near)
            keep = np.ones(len(starts), bool)
        else:
            light = canvas.light.facing(-outwards, 0, 0)
            corners = camera.project(self.side, up, self.near + across)
            keep = (self.near + starts > NEAREST) & (corners[:, :, 0].max(1) > 0)
            keep &= corners[:, :, 0].min(1) < canvas.pixels.shape[1]
        shades = canvas.grain.ravel()[(np.arange(len(starts)) * 7919 + self.seed) % canvas.grain.size]
        depth = near if gable_end else 0.5 * (near + far)
        if camera.scale(near) * 0.12 > 1.0:
            middle = corners.mean(1, keepdims=True)
            canvas.polygons((middle + (corners - middle) * 1.2)[keep], canvas.ink(self.frame, BUILDING, depth, light))
        glass = canvas.ink(self.glass, BUILDING, depth, 0.6 + 0.4 * light)
        canvas.polygons(corners[keep & (shades <= 0.55)], glass)
        canvas.polygons(corners[keep & (shades > 0.55)], glass.times(1.35))
        if self.shop and not gable_end:
            self._shop(canvas, max(near, NEAREST), far, light)

    def _shop(self, canvas: Canvas, near: float, far: float, light: float) -> None:
        """A shop's window and the board above it."""
        depth = 0.5 * (near + far)
        project = canvas.camera.project
        grown = canvas.ink(self.glass, BUILDING, depth, 0.5 + 0.5 * light)
        canvas.polygon(project(self.side, [0.5, 2.3, 2.3, 0.5], [near + 0.4, near + 0.4, far - 0.4, far - 0.4]), grown)
        board = canvas.ink(self.roof_colour, BUILDING, depth, light * 1.2)
        canvas.polygon(project(self.side, [2.5, 3.1, 3.1, 2.5], [near + 0.2, near + 0.2, far - 0.2, far - 0.2]), board)


@dataclass(frozen=True)
class Block(Standing):
    """A far house that faces the camera: a plain wall in the skyline, which begins at `side`."""

    width: float
    height: float
    colour: Colour

    def paint(self, canvas: Canvas) -> None:
        if not canvas.sees(self.side + 0.5 * self.width, self.ahead, 0.5 * self.width):
            return
        corners = canvas.camera.project(
            self.side + self.width * np.array([0, 0, 1, 1]), self.height * np.array([0, 1, 1, 0]), self.ahead
        )
        canvas.polygon(corners, canvas.ink(self.colour, BUILDING, self.ahead, canvas.light.facing(0, 0, -1)))


@dataclass(frozen=True)
class Tree(Standing):
    """A trunk and foliage, both labelled tree; `crown` 0 is a bush."""

    trunk: float
    """Metres of bare trunk."""
    radius: float
    stretch: float
    """Height of the crown over its width."""
    holes: float
    """Share, roughly, of the crown that shows what is behind: small in summer."""
    colour: Colour
    bark: Colour
    seed: int

    def shadow(self) -> Floats:
        middle, half = self.trunk + self.radius * self.stretch, self.radius * self.stretch * 0.8
        turn = np.array([(-1, 0), (-0.5, 0.9), (0.5, 0.9), (1, 0), (0.5, -0.9), (-0.5, -0.9)])
        return np.array([(self.side + 0.8 * self.radius * x, middle + half * y, self.ahead) for x, y in turn])

    def paint(self, canvas: Canvas) -> None:
        camera = canvas.camera
        scale = camera.scale(self.ahead)
        if not canvas.sees(self.side, self.ahead, 1.3 * self.radius):
            return
        x, y = camera.point(self.side, 0.0, self.ahead)
        middle = self.trunk + self.radius * self.stretch
        if self.trunk > 0.3:
            bark = canvas.ink(self.bark, TREE, self.ahead, canvas.light.facing(0, 0, -0.8))
            thick = max(1.0, scale * (0.06 + 0.05 * self.radius))
            high, lean = y - scale * middle, x + scale * 0.04 * (self.seed % 7 - 3)
            thin = 0.6 * thick
            canvas.polygon(np.array([(x - thick, y), (lean - thin, high), (lean + thin, high), (x + thick, y)]), bark)
            if self.holes > 0.45:  # bare enough for its branches to be seen
                reach = scale * self.radius * np.array([(-0.7, -0.5), (0.6, -0.7), (-0.3, -1.0), (0.8, -0.2)])
                start = np.broadcast_to((x, y - scale * 0.8 * middle), reach.shape)
                canvas.lines(np.stack((start, start + reach), 1), scale * 0.06, bark)
        leaves = canvas.ink(self.colour, TREE, self.ahead, canvas.light.facing(0, 0.5, -0.6))
        centre = (x, y - scale * middle)
        radii = (scale * self.radius * 1.15, scale * self.radius * self.stretch * 1.15)
        canvas.blob(centre, radii, self.holes, self.seed, leaves)
        if radii[0] < 8:
            return
        shift = (self.seed % 5 - 2) * 0.18
        side_blob = (centre[0] + radii[0] * shift, centre[1] - radii[1] * 0.25)
        canvas.blob(side_blob, (radii[0] * 0.8, radii[1] * 0.7), self.holes, self.seed + 31, leaves.times(1.08))


@dataclass(frozen=True)
class Fence(Lining):
    """A piece of fence along the street.

    Railings are seen through, but the whole outline is labelled fence, gaps and all: so CamVid's annotators drew them.
    """

    kind: Literal["railings", "planks", "rail"]
    colour: Colour

    def shadow(self) -> Floats:
        return np.empty((0, 3)) if self.kind == "railings" else super().shadow()  # railings are too thin

    def paint(self, canvas: Canvas) -> None:
        near, far = max(self.near, NEAREST), self.far
        if far <= near + 0.1:
            return
        project = canvas.camera.project
        light = canvas.light.facing(-float(np.sign(self.side)), 0, 0)
        ink = canvas.ink(self.colour, FENCE, 0.5 * (near + far), light)
        low = 0.35 if self.kind == "rail" else 0.0
        outline = project(self.side, [low, self.height, self.height, low], [near, near, far, far])
        scale = canvas.camera.scale(near)
        if self.kind == "planks":
            canvas.polygon(outline, ink)
            if scale * 0.2 > 1.5:
                posts = np.arange(near, far, 0.35)
                canvas.lines(_uprights(canvas, self.side, 0.0, self.height, posts), 1, ink.times(0.8))
            return
        if self.kind == "rail":  # a crash barrier: a band on posts
            canvas.lines(_uprights(canvas, self.side, 0.0, self.height, np.array([near])), scale * 0.1, ink.times(0.7))
            canvas.polygon(outline, ink)
            groove = project(self.side, [0.5, 0.56, 0.56, 0.5], [near, near, far, far])
            canvas.polygon(groove, ink.times(0.75))
            return
        spacing = 0.16 if scale * 0.16 > 5 else 0.5
        canvas.lines(_uprights(canvas, self.side, 0.0, self.height, np.arange(near, far, spacing)), scale * 0.025, ink)
        rails = project(self.side, np.array([[0.12, 0.12], [self.height, self.height]]), np.array([near, far]))
        canvas.lines(rails, scale * 0.05, ink)
        canvas.label_only(outline, FENCE)


def _uprights(canvas: Canvas, side: float, low: float, high: float, ahead: Floats) -> Floats:
    """N×2×2: the foot and the top of each upright, in pixels."""
    return np.stack((canvas.camera.project(side, low, ahead), canvas.camera.project(side, high, ahead)), 1)
