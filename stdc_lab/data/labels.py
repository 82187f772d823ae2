"""What the pixels of a label file mean: ids or colours, to class ids from 0 and IGNORE_LABEL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stdc_lab.data.classes import IGNORE_LABEL, Pixels

Colour = tuple[int, int, int]
"""Red, green, blue."""
_NAMED_STRANGERS = 8


@dataclass(frozen=True)
class LabelCode:
    """How a data set writes its labels."""

    form: str
    """In words: what a label file is."""
    allowed: str
    """In words: which ids or colours there are."""
    ids: Mapping[int, int] | None = None
    """Class of each id of a file with one channel; None if there are no such files."""
    colours: Mapping[Colour, int] | None = None
    """Class of each colour of a file with three channels; None if there are no such files."""
    tolerance: float = 0.0
    """Share of a file's pixels that may be something else, and are ignored then."""

    def recipe(self) -> dict[str, Any]:
        """The code as JSON can hold it, for the cache's key."""
        return {
            "ids": None if self.ids is None else sorted(self.ids.items()),
            "colours": None if self.colours is None else sorted(self.colours.items()),
            "tolerance": self.tolerance,
        }


class Reading(NamedTuple):
    """The labels of a file, and what in it is none."""

    labels: Pixels
    """H×W, class ids, IGNORE_LABEL where nothing counts or the file says something that is no class."""
    strange: str
    """Ids or colours that are no class, in words; empty if there are none."""
    strange_pixels: int


def read_labels(raw: Pixels, code: LabelCode) -> Reading:
    """The labels of a decoded file (H×W, or H×W×C with blue first). Raises ValueError if it is none of `code`'s."""
    if raw.dtype == np.uint8:
        if raw.ndim == 2 and code.ids is not None:
            return _from_ids(raw, code.ids)
        if raw.ndim == 3 and code.colours is not None and (raw.shape[2] == 3 or _opaque(raw)):
            return _from_colours(raw, code.colours)
    channels = raw.shape[2] if raw.ndim == 3 else 1
    raise ValueError(f"got {raw.dtype} with {channels} channel(s); allowed: {code.form}")


def _opaque(raw: Pixels) -> bool:
    return raw.shape[2] == 4 and bool((raw[..., 3] == 255).all())


def _from_ids(raw: Pixels, ids: Mapping[int, int]) -> Reading:
    table = np.full(256, IGNORE_LABEL, np.uint8)
    table[list(ids)] = list(ids.values())
    counts = np.bincount(raw.ravel(), minlength=256)
    strangers = {str(value): int(counts[value]) for value in np.flatnonzero(counts) if int(value) not in ids}
    return Reading(table[raw], *_in_words("label id", strangers))


def _from_colours(raw: Pixels, colours: Mapping[Colour, int]) -> Reading:
    packed = raw[..., 2].astype(np.uint32) << 16 | raw[..., 1].astype(np.uint32) << 8 | raw[..., 0]
    known = sorted((red << 16 | green << 8 | blue, label) for (red, green, blue), label in colours.items())
    codes, classes = np.array([code for code, _ in known], np.uint32), np.array([label for _, label in known], np.uint8)
    places = np.searchsorted(codes, packed).clip(max=len(codes) - 1)
    matches = codes[places] == packed
    labels = np.where(matches, classes[places], np.uint8(IGNORE_LABEL))
    values, counts = np.unique(packed[~matches], return_counts=True)
    strangers = {
        f"({int(value) >> 16}, {int(value) >> 8 & 255}, {int(value) & 255})": int(count)
        for value, count in zip(values, counts, strict=True)
    }
    return Reading(labels, *_in_words("colour", strangers))


def _in_words(noun: str, strangers: Mapping[str, int]) -> tuple[str, int]:
    """Ids or colours with most pixels first, and their pixels in all."""
    names = sorted(strangers, key=lambda name: -strangers[name])
    if not names:
        return "", 0
    more = f" and {len(names) - _NAMED_STRANGERS} more" if len(names) > _NAMED_STRANGERS else ""
    plural = "s" if len(names) > 1 else ""
    return f"{noun}{plural} {', '.join(names[:_NAMED_STRANGERS])}{more}", sum(strangers.values())
