"""How a street is seen: camera, light, and the canvas that takes colour and label in one stroke."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]
"""Red, green and blue from 0 to 255."""

NEAREST = 0.9
"""Metres; nothing is drawn closer to the camera than this."""
_FRACTION_BITS = 3
_FARTHEST_PIXEL = 4000.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above a road that bends and may rise ahead.

    Places are given along the road: `side` metres right of its middle, `up` metres above it, `ahead` metres from the
    camera.
    """

    height: float
    """Metres above the road."""
    side: float
    """Metres right of the road's middle."""
    focal: float
    """Pixels of the canvas."""
    horizon: float
    """Row of the canvas where flat ground would end."""
    centre: float
    """Column of the canvas straight ahead."""
    heading: float
    """Metres that the road goes right for each metre ahead."""
    bend: float
    """Curvature of the road in 1/metre, positive to the right."""
    rise: float
    """Curvature of the road upwards in 1/metre, never negative: behind a crest things would have to be hidden."""

    def project(self, side: ArrayLike, up: ArrayLike, ahead: ArrayLike) -> Floats:
        """Columns and rows of the canvas, broadcast, in a last axis of 2."""
        depth = np.maximum(ahead, NEAREST)
        zoom = self.focal / depth
        columns = np.subtract(side, self.side) * zoom + (
            (self.centre + self.focal * self.heading) + (0.5 * self.focal * self.bend) * depth
        )
        rows = np.subtract(self.height, up) * zoom + (self.horizon - (0.5 * self.focal * self.rise) * depth)
        places = np.empty((*np.broadcast(columns, rows).shape, 2))
        places[..., 0] = columns
        places[..., 1] = rows
        return places

    def point(self, side: float, up: float, ahead: float) -> tuple[float, float]:
        """Column and row of one place: `project` without the arrays, for the many small things."""
        depth = max(ahead, NEAREST)
        right = side - self.side + depth * (self.heading + 0.5 * self.bend * depth)
        below = self.height - up - 0.5 * self.rise * depth * depth
        return self.centre + self.focal * right / depth, self.horizon + self.focal * below / depth

    def scale(self, ahead: float) -> float:
        """Pixels of the canvas for a metre at that depth."""
        return self.focal / max(ahead, NEAREST)

    def ground(self, rows: Floats) -> Floats:
        """Metres ahead of the ground seen in each row, infinite above it."""
        slope = (rows - self.horizon) / self.focal
        if self.rise > 0:
            return np.asarray((np.sqrt(slope * slope + 2 * self.rise * self.height) - slope) / self.rise, np.float64)
        return np.where(slope > 1e-6, self.height / np.maximum(slope, 1e-6), np.inf)


@dataclass(frozen=True)
class Light:
    """Sun and air."""

    sun_side: float
    """Part of the sun's direction that points right; with `sun_ahead` and the height a unit vector."""
    sun_ahead: float
    sun_height: float
    ambient: float
    """Share of the light that comes from everywhere: 1 under an overcast sky."""
    haze: Colour
    visibility: float
    """Metres at which two thirds of a thing's colour are lost in the haze."""

    def facing(self, side: float, up: float, ahead: float) -> float:
        """Brightness of a surface whose normal points there."""
        along = side * self.sun_side + up * self.sun_height + ahead * self.sun_ahead
        return self.ambient + (1 - self.ambient) * (0.25 + 1.1 * max(0.0, along))

    def cast(self, places: Floats) -> Floats:
        """Where the shadows of places (K×3: side, up, ahead) fall on the ground: K×2, side and ahead."""
        reach = np.minimum(places[:, 1] / max(self.sun_height, 0.15), 25.0)
        return np.asarray(places[:, [0, 2]] - reach[:, None] * (self.sun_side, self.sun_ahead))


class Ink(NamedTuple):
    """A colour as lit at its place, and the label that goes with it: what OpenCV takes for one pixel's value."""

    red: float
    green: float
    blue: float
    label: float

    def times(self, factor: float) -> Ink:
        """Brighter or darker."""
        red, green, blue, label = self
        return Ink(min(255.0, red * factor), min(255.0, green * factor), min(255.0, blue * factor), label)


class Canvas:
    """Pixels H×W×4: red, green, blue and the label. Drawn far to near, so that near things hide far ones."""

    def __init__(self, height: int, width: int, camera: Camera, light: Light, grain: Floats) -> None:
        """`grain` is a square tile of smooth noise from 0 to 1 that wraps around; its side is a power of two."""
        self.pixels: Pixels = np.zeros((height, width, 4), np.uint8)
        self.camera = camera
        self.light = light
        self.grain = grain

    def ink(self, colour: Colour, label: int, ahead: float, light: float = 1.0) -> Ink:
        """`colour` under `light`, seen through the air in between."""
        clear = math.exp(-ahead / self.light.visibility)
        lit, air = light * clear, 1 - clear
        haze = self.light.haze
        return Ink(
            min(255.0, colour[0] * lit + haze[0] * air),
            min(255.0, colour[1] * lit + haze[1] * air),
            min(255.0, colour[2] * lit + haze[2] * air),
            label,
        )

    def sees(self, side: float, ahead: float, half_width: float) -> bool:
        """Whether anything that wide at that place, however high, can be in the image."""
        column, reach = self.camera.point(side, 0.0, ahead)[0], self.camera.scale(ahead) * half_width + 2
        return bool(-reach < column < self.pixels.shape[1] + reach)

    def polygon(self, corners: Floats, ink: Ink) -> None:
        """A filled polygon; `corners` K×2 in pixels."""
        cv2.fillPoly(self.pixels, [_fixed(corners)], ink, cv2.LINE_8, _FRACTION_BITS)

    def polygons(self, corners: Floats, ink: Ink) -> None:
        """Many filled polygons of one colour that do not overlap; `corners` N×K×2 in pixels."""
        if len(corners):
            cv2.fillPoly(self.pixels, list(_fixed(corners)), ink, cv2.LINE_8, _FRACTION_BITS)

    def lines(self, corners: Floats, width: float, ink: Ink) -> None:
        """Strokes of `width` pixels, at least 2 (one pixel of the finished image); `corners` N×K×2 in pixels."""
        cv2.polylines(self.pixels, list(_fixed(corners)), False, ink, max(2, round(width)), cv2.LINE_8, _FRACTION_BITS)

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], ink: Ink) -> None:
        """A filled upright ellipse, all in pixels."""
        angles = _TURN if max(radii) > 6 else COARSE_TURN
        self.polygon(np.asarray(centre) + angles * np.maximum(radii, 0.8), ink)

    def label_only(self, corners: Floats, label: int) -> None:
        """Relabels a polygon and leaves its colours."""
        fixed = _fixed(corners)
        corner = np.clip(corners.min(0).astype(int) - 1, 0, None)
        stop = np.clip(corners.max(0).astype(int) + 2, 0, self.pixels.shape[1::-1])
        if (stop <= corner).any():
            return
        mask = np.zeros((stop[1] - corner[1], stop[0] - corner[0]), np.uint8)
        cv2.fillPoly(mask, [fixed - (corner * 2**_FRACTION_BITS).astype(np.int32)], 1, cv2.LINE_8, _FRACTION_BITS)
        self.pixels[corner[1] : stop[1], corner[0] : stop[0], 3][mask > 0] = label

    def blob(
        self, centre: tuple[float, float], radii: tuple[float, float], holes: float, offset: int, ink: Ink
    ) -> None:
        """A fuzzy clump, such as foliage: an ellipse whose rim and inside are eaten by noise, lit from above."""
        height, width = self.pixels.shape[:2]
        top, bottom = max(0, int(centre[1] - radii[1])), min(height, int(centre[1] + radii[1]) + 2)
        left, right = max(0, int(centre[0] - radii[0])), min(width, int(centre[0] + radii[0]) + 2)
        if top >= bottom or left >= right or min(radii) < 0.7:
            return
        down = (np.arange(top, bottom, dtype=np.float32) - centre[1]) / radii[1]
        across = (np.arange(left, right, dtype=np.float32) - centre[0]) / radii[0]
        tile = len(self.grain)
        clumps = self.grain[_wrap(down * 40 + offset, tile)[:, None], _wrap(across * 40 + 3 * offset, tile)]
        leaves = self.grain[_wrap(down * 150 + 5 * offset, tile)[:, None], _wrap(across * 150 + offset, tile)]
        distance = (down * down)[:, None] + across * across
        mask = (distance + 1.1 * clumps < 1.27) & (leaves > holes)
        sun = across * np.float32(0.35 * self.light.sun_side * (1 - self.light.ambient))
        shade = (0.35 - 0.3 * down)[:, None] + sun + 0.7 * clumps + 0.5 * leaves
        area = self.pixels[top:bottom, left:right]
        lit = np.maximum(shade[mask], 0)[:, None] * np.array(ink, np.float32)
        lit[:, 3] = ink.label
        area[mask] = np.minimum(lit, 255).astype(np.uint8)


def _turn(steps: int) -> Floats:
    angles = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    circle = np.stack((np.cos(angles), np.sin(angles)), -1)
    circle.flags.writeable = False
    return circle


_TURN = _turn(24)
COARSE_TURN = _turn(10)


def _fixed(corners: Floats) -> NDArray[np.int32]:
    """OpenCV's fixed-point pixels; far outside the canvas, where numbers could overflow, they are cut off."""
    near = np.minimum(np.maximum(corners, -_FARTHEST_PIXEL), _FARTHEST_PIXEL)  # np.clip takes twice as long
    return np.asarray(near * 2**_FRACTION_BITS, np.float64).astype(np.int32)


def _wrap(places: Floats, tile: int) -> NDArray[np.int64]:
    return places.astype(np.int64) & (tile - 1)
