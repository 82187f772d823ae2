"""Cityscapes in its official tree: `leftImg8bit/{train,val}/CITY` and `gtFine/{train,val}/CITY`, 1024×2048.

Cordts et al.: The Cityscapes dataset for semantic urban scene understanding, 2016. Of the 34 ids in the label files, 19
are trained and evaluated; the others (and the border that the rectification left) are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stdc_lab.config.data import PlainConfig
from stdc_lab.data.classes import IGNORE_LABEL, Pixels
from stdc_lab.data.files import Problem, shown
from stdc_lab.data.kinds import Kind, in_folder
from stdc_lab.data.labels import Colour, LabelCode
from stdc_lab.data.source import FileSource, Pair
from stdc_lab.errors import DataError

IMAGES, LABELS = "leftImg8bit", "gtFine"
IMAGE_ENDING, LABEL_ENDING = "_leftImg8bit.png", "_gtFine_labelIds.png"
NUM_IDS = 34
"""Ids 0 to 33 occur in files; the licence plate's −1 is never drawn."""


class _TrainedClass(NamedTuple):
    id: int
    """In the label files."""
    name: str
    colour: Colour


_TRAINED = (
    _TrainedClass(7, "road", (128, 64, 128)),
    _TrainedClass(8, "sidewalk", (244, 35, 232)),
    _TrainedClass(11, "building", (70, 70, 70)),
    _TrainedClass(12, "wall", (102, 102, 156)),
    _TrainedClass(13, "fence", (190, 153, 153)),
    _TrainedClass(17, "pole", (153, 153, 153)),
    _TrainedClass(19, "traffic light", (250, 170, 30)),
    _TrainedClass(20, "traffic sign", (220, 220, 0)),
    _TrainedClass(21, "vegetation", (107, 142, 35)),
    _TrainedClass(22, "terrain", (152, 251, 152)),
    _TrainedClass(23, "sky", (70, 130, 180)),
    _TrainedClass(24, "person", (220, 20, 60)),
    _TrainedClass(25, "rider", (255, 0, 0)),
    _TrainedClass(26, "car", (0, 0, 142)),
    _TrainedClass(27, "truck", (0, 0, 70)),
    _TrainedClass(28, "bus", (0, 60, 100)),
    _TrainedClass(31, "train", (0, 80, 100)),
    _TrainedClass(32, "motorcycle", (0, 0, 230)),
    _TrainedClass(33, "bicycle", (119, 11, 32)),
)
"""In the order of the train ids, 0 to 18."""


def _colours() -> Pixels:
    colours = np.array([trained.colour for trained in _TRAINED], np.uint8)
    colours.flags.writeable = False
    return colours


CITYSCAPES_NAMES = tuple(trained.name for trained in _TRAINED)
CITYSCAPES_COLOURS = _colours()
"""19×3, RGB."""
_CODE = LabelCode(
    form="one channel of 8-bit label ids (…_gtFine_labelIds.png)",
    allowed=f"0 to {NUM_IDS - 1}, the ids of Cityscapes",
    ids={
        **dict.fromkeys(range(NUM_IDS), IGNORE_LABEL),
        **{trained.id: train_id for train_id, trained in enumerate(_TRAINED)},
    },
)


def cityscapes_source(folder: Path, config: PlainConfig) -> FileSource:
    """Cityscapes, training and validation as published. Raises DataError if the folder is none of it."""
    missing = [name for name in (IMAGES, LABELS) if not (folder / name).is_dir()]
    if missing:
        raise DataError(
            f"{shown(folder)}: got no folder {' and no folder '.join(missing)}; allowed: the root of Cityscapes, with "
            f"{IMAGES}/{{train,val}}/CITY/*{IMAGE_ENDING} and {LABELS}/{{train,val}}/CITY/*{LABEL_ENDING}"
        )
    problems: list[Problem] = []
    parts = {part: _pairs(folder, part, problems) for part in ("train", "val")}
    layout = f"{IMAGES} and {LABELS}, {NUM_IDS} label ids, {len(_TRAINED)} of them classes"
    recipe = {"code": _CODE.recipe()}
    return FileSource(
        "cityscapes", folder, layout, CITYSCAPES_NAMES, CITYSCAPES_COLOURS, _CODE, parts, tuple(problems), recipe
    )


KIND = Kind(
    in_folder(cityscapes_source),
    lambda config: "Cityscapes, the published training and validation split",
    CITYSCAPES_NAMES,
    CITYSCAPES_COLOURS,
)


def _pairs(folder: Path, part: str, problems: list[Problem]) -> list[Pair]:
    """The pairs of a part, by city and name; an image or labels without the other is a problem."""
    images = _names(folder / IMAGES / part, IMAGE_ENDING)
    labels = _names(folder / LABELS / part, LABEL_ENDING)
    if not images:
        what = f"got no image CITY/*{IMAGE_ENDING}; allowed: at least one"
        problems.append(Problem("split", shown(folder / IMAGES / part), what))
    pairs = []
    for name in sorted(images | labels):
        pair = Pair(
            name.rpartition("/")[2], f"{IMAGES}/{part}/{name}{IMAGE_ENDING}", f"{LABELS}/{part}/{name}{LABEL_ENDING}"
        )
        if name not in labels:
            what = f"got no labels; allowed: an image with its labels {shown(pair.labels)}"
            problems.append(Problem("pair", shown(folder / pair.image), what))
        elif name not in images:
            what = f"got no image; allowed: labels with their image {shown(pair.image)}"
            problems.append(Problem("pair", shown(folder / pair.labels), what))
        else:
            pairs.append(pair)
    return pairs


def _names(folder: Path, ending: str) -> set[str]:
    """`CITY/NAME` of the files `CITY/NAME + ending` in a folder; none if there is no such folder."""
    if not folder.is_dir():
        return set()
    return {
        f"{city.name}/{file.name.removesuffix(ending)}"
        for city in folder.iterdir()
        if city.is_dir()
        for file in city.iterdir()
        if file.name.endswith(ending)
    }
