"""Who and what is on the move, by lot: people, cyclists, cars parked and driving."""

from __future__ import annotations

from stdc_lab.scenery.lot import Lot
from stdc_lab.scenery.palette import CARS, COATS, pick_tone
from stdc_lab.scenery.people import Person
from stdc_lab.scenery.vehicles import Car


def is_free(ahead: float, side_road: tuple[float, float] | None, margin: float = 1.0) -> bool:
    """Whether that place is not on the side road."""
    return side_road is None or not side_road[0] - margin < ahead < side_road[1] + margin


def _person(lot: Lot, side: float, ahead: float, cycling: bool) -> Person:
    turn = lot.pick((-1, 1)) * (lot.uniform(0.15, 0.4) if lot.chance(0.6) else lot.uniform(0.4, 1.0))
    return Person(
        side=side,
        ahead=ahead,
        height=lot.uniform(1.1, 1.5) if lot.chance(0.1) and not cycling else lot.uniform(1.55, 1.92),
        coat=pick_tone(lot, COATS),
        trousers=pick_tone(lot, ((36, 42, 60), (40, 40, 42), (96, 86, 70), (60, 64, 84))),
        skin=pick_tone(lot, ((205, 160, 134), (150, 106, 80), (96, 66, 50)), 8),
        hair=pick_tone(lot, ((40, 32, 28), (90, 66, 44), (160, 140, 110), (60, 60, 62)), 10),
        stride=lot.uniform(-1, 1),
        turn=turn,
        cycling=cycling,
    )


def draw_people(lot: Lot, kerb: float, sign: int, width: float, busy: float) -> list[Car | Person]:
    count = int(lot.poisson(0.7 + 3.5 * busy))
    things: list[Car | Person] = []
    for _ in range(count):
        ahead = 4 + 40 * lot.random() ** 1.5
        side = kerb + sign * lot.uniform(0.3, max(0.5, width - 0.3))
        things.append(_person(lot, side, ahead, False))
        if lot.chance(0.25):
            things.append(_person(lot, side + sign * 0.6, ahead + 0.3, False))
    if lot.chance(0.12):  # someone crosses the road
        things.append(_person(lot, kerb * lot.uniform(-0.5, 0.7), lot.uniform(9, 30), False))
    return things


def draw_cyclists(lot: Lot, road: float, parking: tuple[float, ...], busy: float) -> list[Car | Person]:
    things: list[Car | Person] = []
    for _ in range(int(lot.poisson(0.8 + 1.6 * busy))):
        sign = -1 if lot.chance(0.5) else 1
        edge = road - parking[0 if sign < 0 else 1]
        things.append(_person(lot, sign * (edge - lot.uniform(0.3, 1.0)), 5 + 32 * lot.random() ** 1.4, True))
    return things


def _car(lot: Lot, side: float, ahead: float, oncoming: bool, across: bool = False, large: bool = True) -> Car:
    kind = lot.random()
    lamps = lot.chance(0.3)
    colour = pick_tone(lot, CARS)
    if kind < 0.5:  # hatchback
        size = (lot.uniform(3.6, 4.3), lot.uniform(1.65, 1.8), lot.uniform(1.42, 1.6))
        cabin = (0.02, 0.76, 0.12, 0.56)
    elif kind < 0.82 or not large:  # saloon
        size = (lot.uniform(4.3, 4.9), lot.uniform(1.72, 1.88), lot.uniform(1.38, 1.5))
        cabin = (0.1, 0.74, 0.25, 0.56)
    elif kind < 0.95:  # van
        size = (lot.uniform(4.6, 5.8), lot.uniform(1.85, 2.1), lot.uniform(1.9, 2.6))
        cabin = (0.0, 0.92, 0.01, 0.8)
    else:  # bus or lorry
        size = (lot.uniform(8, 11), 2.45, lot.uniform(2.8, 3.6))
        cabin = (0.0, 1.0, 0.005, 0.99)
    waist = min(1.25, 0.6 * size[2])
    return Car(side, ahead, size, cabin, waist, colour, oncoming, across, lamps)


def draw_parked(
    lot: Lot, side: float, sign: int, busy: float, side_road: tuple[float, float] | None
) -> list[Car | Person]:
    things: list[Car | Person] = []
    ahead, fullness = lot.uniform(2.5, 12), lot.uniform(0.2, 0.95) * (0.4 + 0.6 * busy)
    while ahead < 90:
        car = _car(lot, side + lot.normal(0, 0.08), ahead, oncoming=lot.chance(0.35), large=False)
        if lot.random() < fullness and is_free(ahead, side_road, 5):
            things.append(car)
        ahead += car.size[0] + lot.uniform(0.7, 2.0)
    return things


def draw_driving(
    lot: Lot,
    road: float,
    parking: tuple[float, ...],
    lanes: int,
    busy: float,
    side_road: tuple[float, float] | None,
) -> list[Car | Person]:
    """One stream of cars a lane: away from the camera on its own side, towards it on the other."""
    things: list[Car | Person] = []
    left, right = -road + parking[0], road - parking[1]
    width = (right - left) / lanes
    drives_left = lot.chance(0.5)
    for lane in range(lanes):
        side = left + (lane + 0.5) * width
        oncoming = (lane >= lanes / 2) if drives_left else (lane < lanes / 2)
        ahead = lot.uniform(5, 40)
        while ahead < 120:
            if lot.chance(0.15 + 0.7 * busy):
                things.append(_car(lot, side + lot.normal(0, 0.2), ahead, bool(oncoming)))
            ahead += lot.uniform(9, 35)
    if side_road and lot.chance(0.5):
        middle = 0.5 * (side_road[0] + side_road[1])
        things.append(_car(lot, lot.uniform(-9, 9), middle + lot.uniform(-2, 1), lot.chance(0.5), across=True))
    return things
