"""A street drawn by lot: how wide it is, and what stands where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stdc_lab.scenery.buildings import Block, Building, Fence, Tree
from stdc_lab.scenery.crowd import draw_cyclists, draw_driving, draw_parked, draw_people, is_free
from stdc_lab.scenery.furniture import Clutter, Pole, Sign, SignKind
from stdc_lab.scenery.lot import Lot
from stdc_lab.scenery.palette import COATS, LEAVES, METALS, ROOFS, WALLS, pick_tone, tone
from stdc_lab.scenery.things import Thing

END = 150.0
"""Metres to the end of the street; beyond it there is only a skyline."""


@dataclass(frozen=True)
class Street:
    """The ground, and the things on it."""

    road: float
    """Half the road's width in metres."""
    pavement: tuple[float, float]
    """Width of the pavement on the left and on the right."""
    beyond: Literal["grass", "paving"]
    """What lies between pavement and houses: grass is labelled tree, as all vegetation in CamVid, paving pavement."""
    side_road: tuple[float, float] | None
    """Where a road crosses: metres ahead to its near and its far kerb."""
    zebra: float | None
    """Metres ahead to a zebra crossing."""
    lanes: int
    dash: tuple[float, float]
    """Length and period of the dashes between lanes, in metres."""
    edge_line: float
    """Metres from the kerb to a line along it; 0 without one."""
    things: tuple[Thing, ...]


def draw_street(rng: np.random.Generator) -> Street:
    """A street by lot. Everything drawn here is in metres: the same street at every image size."""
    lot = Lot(rng)
    lanes = lot.pick((2, 2, 2, 3, 4))
    parking = tuple(float(lot.chance(0.55)) * 2.1 for _ in range(2))
    road = 0.5 * lanes * lot.uniform(2.8, 3.7) + 0.5 * sum(parking)
    pavement = (lot.uniform(1.3, 5.0), lot.uniform(1.3, 5.0))
    side_road = None
    if lot.chance(0.35):
        start = lot.uniform(8, 45)
        side_road = (start, start + lot.uniform(6, 10))
    busy, green = lot.uniform(0.1, 1.0), lot.uniform(0.0, 1.0)
    things: list[Thing] = []
    for sign, width, parked in ((-1, pavement[0], parking[0]), (1, pavement[1], parking[1])):
        setback = lot.pick((0.0, 0.0, lot.uniform(1, 6)))
        kerb, front = sign * road, sign * (road + width + setback)
        houses = _houses(lot, front, side_road, lot.uniform(0.25, 1.0))
        things += houses
        things += _greenery(lot, kerb, front, width, setback, green, side_road, houses)
        things += _fences(lot, kerb, sign * (road + width), setback, side_road)
        things += _furniture(lot, kerb, sign, width, side_road)
        things += draw_people(lot, kerb, sign, width, busy)
        if parked:
            things += draw_parked(lot, sign * (road - 1.05), sign, busy, side_road)
    things += draw_driving(lot, road, parking, lanes, busy, side_road)
    things += draw_cyclists(lot, road, parking, busy)
    things += _terminus(lot, road)
    return Street(
        road=road,
        pavement=pavement,
        beyond="grass" if lot.chance(0.2 + 0.6 * green) else "paving",
        side_road=side_road,
        zebra=float(lot.uniform(6, 30)) if lot.chance(0.2) else None,
        lanes=lanes,
        dash=(lot.uniform(1.5, 4), lot.uniform(5, 9)) if lot.chance(0.85) else (0.0, 1.0),
        edge_line=lot.pick((0.0, 0.25, 0.35)),
        things=tuple(things),
    )


def _houses(lot: Lot, front: float, side_road: tuple[float, float] | None, density: float) -> list[Building]:
    things: list[Building] = []
    near = lot.uniform(-8, 4)
    terrace = lot.chance(0.6)
    height = lot.uniform(5, 9) if lot.chance(0.55) else lot.uniform(9, 22)
    while near < END:
        far = min(near + lot.uniform(6, 22), END)
        if side_road and near < side_road[1] + 1.5 and far > side_road[0] - 1.5:
            if side_road[0] - 1.5 - near > 4:
                far = side_road[0] - 1.5
            else:
                near = side_road[1] + 1.5
                continue
        if lot.random() < density:
            pitched = height < 11 and lot.chance(0.7)
            width = lot.uniform(0.8, 1.8)
            things.append(
                Building(
                    side=front + np.sign(front) * lot.pick((0.0, lot.uniform(0, 1.5))),
                    near=near,
                    far=far,
                    height=max(3.0, height + lot.normal(0, 1.2)),
                    roof=lot.uniform(1.5, 3.2) if pitched else 0.0,
                    colour=pick_tone(lot, WALLS),
                    roof_colour=pick_tone(lot, ROOFS),
                    storey=lot.uniform(2.7, 3.5),
                    window=(width, lot.uniform(1.1, 1.9), width + lot.uniform(0.6, 2.2)),
                    glass=tone(lot, (66, 74, 84), 22),
                    frame=pick_tone(lot, ((215, 212, 205), (96, 90, 84), (160, 150, 140))),
                    shop=lot.chance(0.25),
                    adjoins=bool(things) and things[-1].far == near,
                    seed=lot.below(1 << 16),
                )
            )
        near = far + (0.0 if terrace else lot.uniform(0.5, 7))
        if lot.chance(0.25):
            height = lot.uniform(4, 16)
    return things


def _tree(lot: Lot, side: float, ahead: float, bare: bool) -> Tree:
    bush = lot.chance(0.15)
    return Tree(
        side=side,
        ahead=ahead,
        trunk=0.0 if bush else lot.uniform(1.6, 3.2),
        radius=lot.uniform(0.6, 1.1) if bush else lot.uniform(1.2, 3.4),
        stretch=lot.uniform(0.7, 1.7),
        holes=lot.uniform(0.5, 0.6) if bare else lot.uniform(0.05, 0.4),
        colour=pick_tone(lot, LEAVES, 14),
        bark=tone(lot, (72, 62, 54), 14),
        seed=lot.below(1 << 12),
    )


def _greenery(
    lot: Lot,
    kerb: float,
    front: float,
    width: float,
    setback: float,
    green: float,
    side_road: tuple[float, float] | None,
    houses: list[Building],
) -> list[Thing]:
    """An avenue along the kerb, gardens before the houses, and trees where houses are missing."""
    sign = float(np.sign(kerb))
    bare = lot.chance(0.15)
    places: list[tuple[float, float]] = []
    if width > 1.8 and lot.chance(0.15 + 0.5 * green):
        spacing = lot.uniform(8, 22)
        places += [(kerb + 0.7 * sign, ahead) for ahead in np.arange(lot.uniform(5, 20), 110, spacing)]
    if setback > 1.5 and lot.chance(0.7):
        places += [
            (front - sign * lot.uniform(0.5, setback - 0.5), lot.uniform(5, 90)) for _ in range(2 + lot.below(8))
        ]
    for ahead in np.arange(lot.uniform(6, 16), 100, 16 - 8 * green):
        if not any(house.near - 2 < ahead < house.far + 1 for house in houses):
            places.append((front + sign * lot.uniform(2, 12), ahead))
    return [_tree(lot, side, float(ahead), bare) for side, ahead in places if is_free(ahead, side_road, 3)]


def _fences(lot: Lot, kerb: float, edge: float, setback: float, side_road: tuple[float, float] | None) -> list[Thing]:
    """Along the kerb or where the gardens begin, in short pieces, so that each is ordered by depth on its own."""
    if lot.random() > 0.62:
        return []
    sign = float(np.sign(kerb))
    at_kerb = setback < 1 or lot.chance(0.35)
    kinds: list[Literal["railings", "planks", "rail"]] = ["railings", "rail"] if at_kerb else ["railings", "planks"]
    kind = kinds[lot.below(2)]
    side = kerb + 0.25 * sign if at_kerb else edge
    height = lot.uniform(0.7, 0.9) if kind == "rail" else lot.uniform(0.9, 1.5 if at_kerb else 1.9)
    greens_too = (*METALS, (58, 78, 48), (118, 96, 70), (150, 130, 104), (210, 210, 205))
    colour = pick_tone(lot, greens_too if kind != "rail" else METALS, 12)
    start = lot.uniform(1, 30)
    stop = start + lot.uniform(12, 60)
    pieces: list[Thing] = []
    while start < stop:
        length = max(2.5, 0.16 * start)
        if is_free(start, side_road, length):
            pieces.append(Fence(side, start, start + length, height, kind, colour))
        start += length
    return pieces


def _furniture(lot: Lot, kerb: float, sign: int, width: float, side_road: tuple[float, float] | None) -> list[Thing]:
    """Lamp posts, traffic signs and lights, and what has no class."""
    things: list[Thing] = []
    metal = pick_tone(lot, METALS, 10)
    if lot.chance(0.8):
        spacing, height, arm = lot.uniform(12, 32), lot.uniform(4, 9), -sign * lot.pick((0.0, 1.2, 2.0))
        thickness = lot.uniform(0.11, 0.2)
        side = kerb + sign * lot.pick((0.45, max(0.6, width - 0.3)))
        for ahead in np.arange(lot.uniform(3, 16), 120, spacing):
            if is_free(ahead, side_road):
                things.append(Pole(side, float(ahead), height, thickness, arm, metal))
    kinds: tuple[SignKind, ...] = ("limit", "order", "warning", "board", "back", "lights", "lights")
    for _ in range(1 + lot.below(4)):
        ahead, kind = 4 + 45 * lot.random() ** 1.3, kinds[lot.below(len(kinds))]
        if side_road and kind == "lights":
            ahead = side_road[0] - 1
        if not is_free(ahead, side_road, 0.5):
            continue
        side, up = kerb + sign * lot.uniform(0.35, 0.9), lot.uniform(2.1, 3.0)
        radius = lot.uniform(0.28, 0.48)
        colour = pick_tone(lot, ((30, 80, 60), (30, 70, 150), (200, 180, 60), (120, 84, 50)), 14)
        things.append(Pole(side, ahead, up, 0.09, 0.0, metal))
        things.append(Sign(side, ahead, up, radius, kind, colour))
    for _ in range(lot.below(4)):
        ahead = lot.uniform(5, 50)
        if is_free(ahead, side_road):
            place = kerb + sign * lot.uniform(0.6, max(0.7, width - 0.5))
            things.append(
                Clutter(place, ahead, lot.uniform(0.4, 1.4), lot.uniform(0.6, 1.3), pick_tone(lot, METALS + COATS, 15))
            )
    return things


def _terminus(lot: Lot, road: float) -> list[Thing]:
    """What closes the view at the street's end: a row of houses and trees, some of it nothing in particular."""
    things: list[Thing] = []
    side = -100.0
    leafy = lot.random()
    while side < 100:
        kind, width = lot.random(), lot.uniform(6, 22)
        if kind < leafy:
            for place in np.arange(side, side + width, 8.0):
                tree = _tree(lot, float(place), END - 2, False)
                things.append(tree)
        elif kind < 0.93:
            things.append(Block(side, END, width, lot.uniform(4, 18), pick_tone(lot, WALLS)))
        else:
            things.append(Clutter(side + 0.5 * width, END, width, lot.uniform(2, 5), pick_tone(lot, METALS)))
        side += width * lot.uniform(0.6, 1.1)
    return things
