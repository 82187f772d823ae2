"""Colours by lot. Those of different classes overlap on purpose."""

from __future__ import annotations

from stdc_lab.scenery.canvas import Colour
from stdc_lab.scenery.lot import Lot

WALLS: tuple[Colour, ...] = (
    (150, 92, 72), (120, 75, 62), (176, 160, 136), (132, 130, 128), (196, 190, 180), (108, 106, 108), (172, 148, 110),
    (146, 138, 122), (205, 205, 205), (122, 128, 118),
)  # fmt: skip
ROOFS: tuple[Colour, ...] = ((92, 60, 52), (72, 74, 80), (110, 98, 88), (120, 62, 48))
LEAVES: tuple[Colour, ...] = ((62, 84, 40), (84, 104, 52), (48, 66, 40), (104, 108, 56), (122, 98, 52), (72, 92, 70))
COATS: tuple[Colour, ...] = (
    (38, 40, 52), (92, 40, 40), (60, 70, 96), (140, 134, 124), (176, 150, 60), (210, 206, 200), (50, 78, 56),
    (30, 30, 30),
)  # fmt: skip
CARS: tuple[Colour, ...] = (
    (120, 122, 124), (150, 152, 156), (190, 192, 194), (36, 38, 42), (92, 94, 98), (140, 30, 30), (40, 60, 120),
    (222, 222, 220), (60, 84, 70), (132, 120, 96),
)  # fmt: skip
METALS: tuple[Colour, ...] = ((92, 96, 98), (130, 132, 132), (62, 66, 64), (48, 62, 52), (158, 158, 154))


def tone(lot: Lot, base: Colour, spread: float = 20.0) -> Colour:
    """A colour near `base`: brighter or darker as a whole, and a little off in each channel."""
    whole, part = lot.normal(0, spread), spread / 3
    red, green, blue = base
    return (
        min(250.0, max(8.0, red + whole + lot.normal(0, part))),
        min(250.0, max(8.0, green + whole + lot.normal(0, part))),
        min(250.0, max(8.0, blue + whole + lot.normal(0, part))),
    )


def pick_tone(lot: Lot, bases: tuple[Colour, ...], spread: float = 20.0) -> Colour:
    return tone(lot, lot.pick(bases), spread)
