"""What classes are called and how they are coloured, also where nobody has said so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stdc_lab.data import Pixels
from stdc_lab.data.kinds import named_classes

MAX_CLASSES = 255
"""Class maps are 8-bit, and 255 is kept for what is not labelled."""
_FIRST = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""Okabe and Ito's palette without black, which is kept for what is not labelled."""
_STEPS = (20, 60, 95, 125, 155, 180, 205, 230, 250)
"""Levels of red, green and blue of which further colours are made: 729 of them."""
# Linear RGB as eyes without one kind of cone see it: protanopia, deuteranopia, tritanopia, and all three kinds.
# Machado, Oliveira, Fernandes: A physiologically-based model for simulation of color vision deficiency, 2009.
_SIGHTS = np.array(
    [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        np.eye(3),
    ]
)
# Linear RGB → OKLab, in which distances are about as large as they look (Ottosson, 2020).
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Classes:
    """Names, and colours as classes×3 RGB, of the classes of a network."""

    names: tuple[str, ...]
    colours: Pixels


def classes_of(dataset: str | None, num_classes: int) -> Classes:
    """Those of a data set by name; `class 0` … and colours made here if it is not known, or has another number."""
    names, colours = named_classes().get(dataset or "", ((), None))
    if colours is not None and len(names) == num_classes:
        return Classes(names, colours)
    return Classes(tuple(f"class {index}" for index in range(num_classes)), generated_colours(num_classes))


@lru_cache(maxsize=8)
def generated_colours(number: int) -> Pixels:
    """Number×3, RGB: Okabe and Ito's seven, and then each as far from all before as can be, whoever looks.

    The distance of two colours is the smallest over normal sight and the three kinds of colour blindness. With many
    classes no palette is safe; the first are as safe as can be. Always the same for the same number.
    """
    grid = np.array(np.meshgrid(_STEPS, _STEPS, _STEPS, indexing="ij")).reshape(3, -1).T
    first = np.array(_FIRST)
    candidates = np.vstack([first, grid])
    seen = appearance(candidates)
    black, white = appearance(np.array([[0, 0, 0], [255, 255, 255]]))
    nearest = np.minimum(_distance(seen, black), _distance(seen, white))  # from both too: frames, and what is left out
    chosen: list[int] = []
    while len(chosen) < number:
        index = len(chosen) if len(chosen) < len(first) else int(np.argmax(nearest))
        chosen.append(index)
        nearest = np.minimum(nearest, _distance(seen, seen[index]))
    colours = candidates[chosen].astype(np.uint8)
    colours.flags.writeable = False
    return colours


def appearance(colours: np.ndarray) -> np.ndarray:
    """N×3 RGB as N×4×3: OKLab, for each of four kinds of sight."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    as_seen = np.clip(np.einsum("kij,nj->nki", _SIGHTS, linear), 0, 1)
    lab: np.ndarray = np.cbrt(as_seen @ _TO_CONES.T) @ _TO_LAB.T
    return lab


def _distance(seen: np.ndarray, one: np.ndarray) -> np.ndarray:
    """N of N×4×3 from 4×3: the smallest over the kinds of sight."""
    distance: np.ndarray = np.linalg.norm(seen - one, axis=2).min(axis=1)
    return distance
