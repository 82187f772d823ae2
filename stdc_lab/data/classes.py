"""The eleven classes of CamVid, which the synthetic scenes share, and how they are coloured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Images H×W×3 in RGB and labels H×W, both 8-bit."""

IGNORE_LABEL = 255

CLASS_NAMES: tuple[str, ...] = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "cyclist",
)


def _colours() -> Pixels:
    colours = np.array(
        [
            (128, 128, 128),
            (128, 0, 0),
            (192, 192, 128),
            (128, 64, 128),
            (60, 40, 222),
            (128, 128, 0),
            (192, 128, 128),
            (64, 64, 128),
            (64, 0, 128),
            (64, 64, 0),
            (0, 128, 192),
        ],
        np.uint8,
    )
    colours.flags.writeable = False
    return colours


CLASS_COLOURS: Pixels = _colours()
"""11×3, RGB: the palette that SegNet made usual for CamVid."""
