"""A data set of one's own: `images/`, `masks/` and a `classes.yaml`.

    classes:                       # class ids count from 0, in this order
      - {name: road, colour: [128, 64, 128]}
      - {name: car, colour: "#00008e"}
    ignore_id: 255                 # optional: where nothing counts, in masks of class ids
    ignore_colour: [0, 0, 0]       # optional: the same in coloured masks

A mask has its image's name and is either one channel of class ids or RGB in the colours of the classes (a palette means
its colours). What is for training is said by `train.txt` and `val.txt`, with a name without ending on each line, or
else by folders: `images/train`, `images/val`, `masks/train`, `masks/val`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from stdc_lab.config.classes import ClassesFile
from stdc_lab.config.data import PlainConfig
from stdc_lab.config.reading import read_value
from stdc_lab.data.classes import IGNORE_LABEL
from stdc_lab.data.files import Problem, leaves_folder, read_names, shown
from stdc_lab.data.kinds import Kind, in_folder
from stdc_lab.data.labels import LabelCode
from stdc_lab.data.source import FileSource, Pair, each_once
from stdc_lab.errors import DataError

CLASSES_FILE, IMAGES, MASKS = "classes.yaml", "images", "masks"
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MASK_ENDINGS = (".png", ".bmp", ".tif", ".tiff")
"""Lossless ones: JPEG would invent colours."""
_PARTS = ("train", "val")


def folder_source(folder: Path, config: PlainConfig) -> FileSource:
    """A data set of one's own. Raises ConfigError for a wrong `classes.yaml`, DataError if there is nothing like it."""
    missing = [name for name in (CLASSES_FILE, IMAGES, MASKS) if not (folder / name).exists()]
    if missing:
        raise DataError(
            f"{shown(folder)}: got no {' and no '.join(missing)}; allowed: a folder with {IMAGES}/, {MASKS}/ and "
            f"{CLASSES_FILE}, which names the classes and their colours"
        )
    file = read_value(folder / CLASSES_FILE, ClassesFile)
    problems: list[Problem] = []
    images = _files(folder, IMAGES, IMAGE_ENDINGS, problems)
    masks = _files(folder, MASKS, MASK_ENDINGS, problems)
    if any((folder / f"{part}.txt").exists() for part in _PARTS):
        split = "train.txt and val.txt"
        names = {part: _read_names(folder / f"{part}.txt", problems) for part in _PARTS}
    else:
        split = f"folders {IMAGES}/train and {IMAGES}/val"
        names = {part: _names_under(folder, part, images, masks, problems) for part in _PARTS}
    parts = {part: _pairs(folder, members, images, masks, problems) for part, members in names.items()}
    problems += each_once(parts, folder, split)
    code = label_code(file)
    return FileSource(
        "folder",
        folder,
        f"images and masks, split by {split}",
        tuple(entry.name for entry in file.classes),
        np.array([entry.colour for entry in file.classes], np.uint8),
        code,
        parts,
        tuple(problems),
        {"code": code.recipe()},
    )


KIND = Kind(in_folder(folder_source), lambda config: "a data set of one's own (folder)")


def label_code(file: ClassesFile) -> LabelCode:
    """What masks may hold by `classes.yaml`."""
    ids = {label: label for label in range(len(file.classes))}
    colours = {entry.colour: label for label, entry in enumerate(file.classes)}
    unlabelled = []
    if file.ignore_id is not None:
        ids[file.ignore_id] = IGNORE_LABEL
        unlabelled.append(f"ignore_id {file.ignore_id}")
    if file.ignore_colour is not None:
        colours[file.ignore_colour] = IGNORE_LABEL
        unlabelled.append(f"ignore_colour {file.ignore_colour}")
    ignored = " and ".join(unlabelled) or "ignore_id or ignore_colour, if it gave one"
    return LabelCode(
        form="one channel of 8-bit class ids, or three channels of 8 bit, a colour for each class",
        allowed=f"ids 0 to {len(file.classes) - 1} or the colours of {CLASSES_FILE}, and its {ignored}",
        ids=ids,
        colours=colours,
    )


def _files(folder: Path, kind: str, endings: tuple[str, ...], problems: list[Problem]) -> dict[str, str]:
    """The image files under a folder: path without ending, from there, to path from the data's folder."""
    found: dict[str, str] = {}
    for here, folders, files in os.walk(folder / kind):
        folders.sort()
        for file in sorted(files):
            path = Path(here, file)
            if path.suffix.lower() not in endings:
                continue
            name = path.relative_to(folder / kind).with_suffix("").as_posix()
            relative = path.relative_to(folder).as_posix()
            if name in found:
                what = f"got a second file of the name of {shown(found[name])}; allowed: one file for each name"
                problems.append(Problem("pair", shown(path), what))
            else:
                found[name] = relative
    return found


def _names_under(
    folder: Path, part: str, images: dict[str, str], masks: dict[str, str], problems: list[Problem]
) -> list[str]:
    names = sorted(name for name in images.keys() | masks.keys() if name.startswith(f"{part}/"))
    if not any(name in images for name in names):
        what = f"got no image; allowed: at least one, or {part}.txt with a name on each line"
        problems.append(Problem("split", shown(folder / IMAGES / part), what))
    return names


def _read_names(path: Path, problems: list[Problem]) -> list[str]:
    def name_of(line: str) -> str | None:
        return None if leaves_folder(line) else line

    return read_names(path, "a name without ending", name_of, f"a name inside {IMAGES}, without ending", problems)


def _pairs(
    folder: Path, names: list[str], images: dict[str, str], masks: dict[str, str], problems: list[Problem]
) -> list[Pair]:
    """Pairs of the names that have both; what lacks one or both is a problem."""
    pairs = []
    for name in names:
        image, mask = images.get(name), masks.get(name)
        if image is not None and mask is not None:
            pairs.append(Pair(name, image, mask))
        elif image is not None:
            what = (
                f"got no mask; allowed: an image with its mask {shown(f'{MASKS}/{name}')}{{{','.join(MASK_ENDINGS)}}}"
            )
            problems.append(Problem("pair", shown(folder / image), what))
        elif mask is not None:
            endings = ",".join(IMAGE_ENDINGS)
            what = f"got no image; allowed: a mask with its image {shown(f'{IMAGES}/{name}')}{{{endings}}}"
            problems.append(Problem("pair", shown(folder / mask), what))
        else:
            what = f"got neither an image nor a mask of the name {shown(name)!r}; allowed: names without ending"
            problems.append(Problem("pair", shown(folder / IMAGES), what))
    return pairs
