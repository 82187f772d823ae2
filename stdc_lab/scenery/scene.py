"""Synthetic street scenes: what a network can learn from where no real data may be had.

Made so that what matters on real roads matters here: colours of the classes overlap, so that context decides; things
shrink with their distance down to single pixels, so that resolution decides; light, weather, width and traffic differ
from scene to scene, so that nothing can be learnt by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stdc_lab.scenery.canvas import Camera, Canvas, Colour, Floats, Light, Pixels
from stdc_lab.scenery.classes import BUILDING, FENCE, PAVEMENT, ROAD, SKY, TREE, UNLABELLED
from stdc_lab.scenery.street import END, Street, draw_street

GENERATOR_VERSION = 1
"""Part of the cache's key: raised whenever the same arguments give other pixels."""
_FINER = 2
"""Canvas pixels for each image pixel, along each side."""
_SHADOWS_TO = 70.0
"""Metres; farther shadows are too flat to be seen."""
_GRAIN = 256
"""Side of the tile of noise that textures are taken from."""


@dataclass(frozen=True)
class _Mood:
    """Weather and film: what lies over the whole image."""

    zenith: Colour
    clouds: float
    gain: float
    cast: Colour
    contrast: float
    blur: float
    noise: float
    vignette: float
    bonnet: float
    """How far the own car's bonnet reaches into the image, as a share of the height; 0 if it is not seen."""


def render_scene(seed: int, index: int, height: int, width: int) -> tuple[Pixels, Pixels]:
    """Scene `index` of town `seed`: the image, height×width×3 in RGB, and its labels, height×width.

    Depends on the arguments alone. Sizes of one shape show the same scene, coarser or finer.
    """
    rng = np.random.default_rng([seed, index])
    street = draw_street(rng)
    camera = _draw_camera(rng, street, height * _FINER, width * _FINER)
    light = _draw_light(rng)
    mood = _draw_mood(rng, light)
    canvas = Canvas(height * _FINER, width * _FINER, camera, light, _draw_grain(rng))
    _paint_sky(canvas, mood, rng)
    _paint_ground(canvas, street, rng)
    for thing in sorted(street.things, key=lambda thing: -thing.depth):
        thing.paint(canvas)
    if mood.bonnet:
        _paint_bonnet(canvas, mood)
    # Labels are the canvas's at (almost) the pixel's centre; no mixture of two classes is a class.
    labels = np.ascontiguousarray(canvas.pixels[::_FINER, ::_FINER, 3])
    image = cv2.resize(canvas.pixels[..., :3], (width, height), interpolation=cv2.INTER_AREA)
    return _develop(np.asarray(image, np.uint8), labels, canvas.grain, mood, rng), labels


def _draw_camera(rng: np.random.Generator, street: Street, height: int, width: int) -> Camera:
    lane = rng.uniform(0.15, 0.6) * street.road * (1 if rng.random() < 0.5 else -1)
    heading = float(np.clip(rng.normal(0, 0.05), -0.12, 0.12))
    return Camera(
        height=rng.uniform(1.15, 2.3),
        side=lane,
        focal=height * rng.uniform(0.95, 1.7),
        horizon=height * rng.uniform(0.34, 0.56),
        centre=width * 0.5 + height * rng.uniform(-0.08, 0.08),
        heading=heading,
        bend=float(np.clip(rng.normal(0, 0.003), -0.01, 0.01)) if rng.random() < 0.75 else 0.0,
        rise=rng.uniform(0.0, 0.0007) if rng.random() < 0.4 else 0.0,
    )


def _draw_light(rng: np.random.Generator) -> Light:
    overcast = rng.random() < 0.4
    elevation, azimuth = rng.uniform(0.25, 1.1), rng.uniform(0, 2 * np.pi)
    grey = rng.uniform(150, 225)
    return Light(
        sun_side=float(np.cos(elevation) * np.cos(azimuth)),
        sun_ahead=float(np.cos(elevation) * np.sin(azimuth)),
        sun_height=float(np.sin(elevation)),
        ambient=rng.uniform(0.85, 1.0) if overcast else rng.uniform(0.35, 0.7),
        haze=(grey, grey + rng.uniform(-5, 6), grey + rng.uniform(-8, 20)),
        visibility=rng.uniform(45, 110) if rng.random() < 0.25 else rng.uniform(110, 500),
    )


def _draw_mood(rng: np.random.Generator, light: Light) -> _Mood:
    overcast = light.ambient > 0.8
    blue = rng.uniform(0, 1)
    zenith: Colour = (120 - 50 * blue, 150 - 25 * blue, 190 + 20 * blue)
    if overcast:
        level = rng.uniform(130, 235)
        zenith = (level, level + 2, level + rng.uniform(0, 12))
    warm = rng.normal(0, 0.06)
    return _Mood(
        zenith=zenith,
        clouds=rng.uniform(0, 0.9),
        gain=float(np.exp(rng.normal(0.12, 0.25))),
        cast=(1 + warm, 1 + rng.normal(0, 0.02), 1 - warm),
        contrast=rng.uniform(0.75, 1.15),
        blur=rng.uniform(0, 0.75),
        noise=rng.uniform(1, 8),
        vignette=rng.uniform(0, 0.35),
        bonnet=rng.uniform(0.03, 0.1) if rng.random() < 0.15 else 0.0,
    )


def _draw_grain(rng: np.random.Generator) -> Floats:
    """A tile of noise from 0 to 1, even in distribution, smooth over a few pixels, that wraps around."""
    raw = rng.random((_GRAIN, _GRAIN), np.float32)
    noise = _wrapped_blur(raw, 3) + 3 * _wrapped_blur(raw, 9)
    noise = (noise - noise.mean()) * np.float32(1 / noise.std())
    return np.asarray(1 / (1 + np.exp(-1.7 * noise)), np.float32)


def _wrapped_blur(raw: Floats, size: int) -> Floats:
    """Twice a box: close to a Gaussian, and cheaper."""
    wrapped = np.pad(raw, size, mode="wrap")
    return np.asarray(cv2.blur(cv2.blur(wrapped, (size, size)), (size, size)), np.float32)[size:-size, size:-size]


def _paint_sky(canvas: Canvas, mood: _Mood, rng: np.random.Generator) -> None:
    """A gradient from the zenith to the haze, clouds that flatten towards the horizon, and a glow around the sun."""
    camera, light = canvas.camera, canvas.light
    height, width = canvas.pixels.shape[:2]
    end = int(np.clip(camera.project(0, 0, END)[1] + 3, 1, height))
    up = np.clip((camera.horizon - np.arange(end)) / camera.focal, 0.0, None)
    mix = np.exp(-up / 0.22)[:, None]
    rows = (1 - mix) * np.array(mood.zenith) + mix * np.array(light.haze)
    offset = rng.integers(_GRAIN, size=2)
    far = 26.0 / (up + 0.12)
    columns = (np.arange(width) - camera.centre) / camera.focal
    down_tile = (far * 1.2 + offset[0]).astype(int) % _GRAIN
    across_tile = (columns[None, :] * far[:, None] * 0.55 + offset[1]).astype(int) % _GRAIN
    cover = np.clip((canvas.grain[down_tile[:, None], across_tile] - 1 + mood.clouds) * 2.2, 0, 1)[..., None]
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), height / 90))[..., None]
    sky = rows[:, None, :] * (1 - 0.85 * cover) + 0.85 * cover * (np.array(light.haze) * 0.5 + 118)
    if light.sun_ahead > 0 and light.ambient < 0.8:
        x = camera.centre + camera.focal * light.sun_side / max(light.sun_ahead, 0.2)
        y = camera.horizon - camera.focal * light.sun_height / max(light.sun_ahead, 0.2)
        distance = np.hypot(np.arange(width)[None, :] - x, np.arange(end)[:, None] - y) / camera.focal
        sky += 90 * np.exp(-3.5 * distance)[..., None]
    canvas.pixels[:end, :, :3] = np.clip(sky, 0, 255).astype(np.uint8)
    canvas.pixels[:end, :, 3] = SKY


def _paint_ground(canvas: Canvas, street: Street, rng: np.random.Generator) -> None:
    """Road, pavements and what lies beyond, looked up for each pixel by its place on the ground."""
    camera, light = canvas.camera, canvas.light
    height, width = canvas.pixels.shape[:2]
    ahead = camera.ground(np.arange(height, dtype=np.float64))
    first = int(np.argmax(ahead < END)) if (ahead < END).any() else height
    z = ahead[first:, None].astype(np.float32)
    right = (np.arange(width, dtype=np.float32) - camera.centre)[None, :] * z / camera.focal
    side = right + np.float32(camera.side) - z * (camera.heading + 0.5 * camera.bend * z).astype(np.float32)

    outside = np.where(side < 0, -side, side) - street.road
    kerbs = np.where(side < 0, np.float32(street.pavement[0]), np.float32(street.pavement[1]))
    labels = np.full(side.shape, ROAD, np.uint8)
    off_road = outside > 0
    if street.side_road:
        off_road &= (z < street.side_road[0]) | (z > street.side_road[1])
    labels[off_road] = PAVEMENT
    if street.beyond == "grass":
        labels[off_road & (outside > kerbs)] = TREE

    tones = np.zeros((256, 3), np.float32)
    grey = rng.uniform(70, 135)
    tones[ROAD] = (grey, grey, grey + rng.uniform(-4, 8))
    stone = np.clip(grey + rng.normal(18, 22), 60, 190)
    tones[PAVEMENT] = (stone + rng.uniform(-2, 14), stone, stone - rng.uniform(-6, 10))
    tones[TREE] = (rng.uniform(70, 120), rng.uniform(90, 120), rng.uniform(45, 70))

    offset = rng.integers(_GRAIN, size=4)
    tile = canvas.grain
    coarse = tile[(z * 4 + offset[0]).astype(int) % _GRAIN, (side * 9 + offset[1]).astype(int) % _GRAIN]
    fine = tile[(z * 23 + offset[2]).astype(int) % _GRAIN, (side * 41 + offset[3]).astype(int) % _GRAIN]
    near = np.exp(-z / 14)
    lum = 1 + rng.uniform(0.1, 0.35) * (coarse - 0.5) + (0.35 * near) * (fine - 0.5)
    slabs = ((side % 0.9 < 0.06) | (z % 0.9 < 0.08)) & (labels == PAVEMENT)
    lum -= 0.22 * near * slabs
    lum += 0.25 * ((outside > 0) & (outside < 0.16) & off_road)
    # Worn wheel tracks and a repair: marks that look like an edge and are none.
    lum -= 0.06 * (np.abs((side % 3.3) - 1.6) < 0.35)
    repair = rng.uniform(4, 30)
    lum -= 0.2 * ((np.abs(z - repair) < 3) & (np.abs(side - rng.uniform(-3, 3)) < 0.9))
    colours = tones[labels] * lum[..., None]
    paint = _markings(street, side, z, outside, camera.focal) * (labels == ROAD) * rng.uniform(0.35, 0.9)
    paint *= np.clip(0.4 + fine, 0, 1)
    white = np.array((205, 205, 198) if rng.random() < 0.8 else (210, 180, 80), np.float32)
    colours += paint[..., None] * (white - colours)

    facing = light.facing(0, 1, 0)
    shade = _shadows(canvas, street)[first:].astype(np.float32) / 255
    dark = light.ambient * (1 + 0.25 * (1 - light.ambient)) / facing if light.ambient < 0.8 else 0.75
    colours *= (facing * (1 - (1 - min(dark, 0.8)) * shade))[..., None]
    clear = np.exp(-z / light.visibility)[..., None]
    colours = colours * clear + np.array(light.haze, np.float32) * (1 - clear)
    canvas.pixels[first:, :, :3] = np.clip(colours, 0, 255).astype(np.uint8)
    canvas.pixels[first:, :, 3] = labels


def _markings(street: Street, side: Floats, z: Floats, outside: Floats, focal: float) -> Floats:
    """How much of each pixel of the ground is painted, 0 to 1. Far lines are fainter, never thinner than a pixel."""
    pixel = z / focal
    half = np.maximum(0.07, 0.6 * pixel)
    faint = np.minimum(1, 0.14 / (1.2 * pixel))
    paint = np.zeros(np.broadcast_shapes(side.shape, z.shape), bool)
    lane = 2 * street.road / street.lanes
    dashed = z % street.dash[1] < street.dash[0]
    for number in range(1, street.lanes):
        paint |= (np.abs(side - (number * lane - street.road)) < half) & dashed
    if street.edge_line:
        paint |= np.abs(outside + street.edge_line) < 0.7 * half
    if street.side_road:
        paint &= (z < street.side_road[0]) | (z > street.side_road[1])
        paint |= (np.abs(z - street.side_road[0] + 1.5) < 0.25) & (outside < 0)
    if street.zebra:
        paint |= (np.abs(z - street.zebra) < 1.6) & (side % 1.1 < 0.55) & (outside < -0.2)
    return np.asarray(paint * faint, np.float32)


def _shadows(canvas: Canvas, street: Street) -> Pixels:
    """H×W, 255 where the ground lies in shadow. Under a grey sky there is only a little under each thing."""
    light, camera = canvas.light, canvas.camera
    mask = np.zeros(canvas.pixels.shape[:2], np.uint8)
    casting = [thing.shadow() for thing in street.things if thing.depth < _SHADOWS_TO]
    if light.ambient > 0.8:
        casting = [places[places[:, 1] == 0] for places in casting]
    casting = [places for places in casting if len(places) > 1]
    if casting:
        ground = light.cast(np.concatenate(casting))
        corners = camera.project(ground[:, 0], 0.0, np.maximum(ground[:, 1], 1.0))
        pixels = np.rint(np.clip(corners, -4000, 4000)).astype(np.int32)
        stops = np.cumsum([len(places) for places in casting])[:-1]
        for outline in np.split(pixels, stops):
            cv2.fillConvexPoly(mask, cv2.convexHull(outline), 255)
    size = 2 * (len(mask) // 90) + 1
    return np.asarray(cv2.blur(mask, (size, size)), np.uint8)


def _paint_bonnet(canvas: Canvas, mood: _Mood) -> None:
    """The own car's bonnet, which counts as nothing."""
    height, width = canvas.pixels.shape[:2]
    ink = canvas.ink((mood.zenith[0] * 0.5, 60, 64), UNLABELLED, 0)
    canvas.ellipse((0.5 * width, 1.3 * height), (0.62 * width, (0.3 + mood.bonnet) * height), ink)


def _develop(image: Pixels, labels: Pixels, grain: Floats, mood: _Mood, rng: np.random.Generator) -> Pixels:
    """Surface texture, then everything that happens in a lens and behind it."""
    height, width = labels.shape
    rough = np.full(256, 0.12, np.float32)
    rough[[SKY, ROAD, PAVEMENT]] = 0.03
    rough[[BUILDING, FENCE]] = rng.uniform(0.08, 0.3)
    rough[TREE] = rng.uniform(0.1, 0.3)
    offset = rng.integers(_GRAIN, size=2)
    rows, columns = (np.arange(height) * 240 // height + offset[0]), (np.arange(width) * 240 // height + offset[1])
    tile = grain[np.ix_(rows % _GRAIN, columns % _GRAIN)] - np.float32(0.5)
    light = image * (1 + rough[labels] * tile)[..., None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    light *= (mood.gain * (1 - mood.vignette * 0.5 * (across + down)))[..., None]
    light *= np.array(mood.cast, np.float32)
    light = (light - 118) * mood.contrast + 118
    if mood.blur > 0.25:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), mood.blur * max(1.0, height / 180)), np.float32)
    light += mood.noise * rng.standard_normal(light.shape, np.float32)
    return np.asarray(np.clip(light, 0, 255), np.uint8)
