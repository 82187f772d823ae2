"""CamVid in the layout that SegNet made usual: `train.txt` and `val.txt` with pairs of paths, images and labels as PNG.

Brostow, Fauqueur, Cipolla: Semantic object classes in video, 2009. Labels are class ids 0 to 10, and 11 for unlabelled.
The original release is in `camvid_release.py`; which of the two it is, is told by what the folder holds.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from stdc_lab.config.data import CamvidConfig
from stdc_lab.data.camvid_release import IMAGES, LABELS, is_release, release_source
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, IGNORE_LABEL
from stdc_lab.data.files import Problem, leaves_folder, read_lines, shown
from stdc_lab.data.kinds import Kind, in_folder
from stdc_lab.data.labels import LabelCode
from stdc_lab.data.source import FileSource, Pair, each_once
from stdc_lab.errors import DataError

UNLABELLED = 11
"""What CamVid's files say where nothing was labelled; becomes IGNORE_LABEL."""
LISTS = {"train": "train.txt", "val": "val.txt"}
_CODE = LabelCode(
    form="one channel of 8-bit class ids",
    allowed=f"0 to {len(CLASS_NAMES) - 1}, and {UNLABELLED} for unlabelled",
    ids={**{label: label for label in range(len(CLASS_NAMES))}, UNLABELLED: IGNORE_LABEL},
)


def camvid_source(folder: Path, config: CamvidConfig) -> FileSource:
    """CamVid in either layout, split as `config` says. Raises DataError if the folder is neither."""
    if is_release(folder) and not _lists_pairs(folder):
        return release_source(folder, config)
    problems: list[Problem] = []
    if not any((folder / file).exists() for file in LISTS.values()):
        raise DataError(
            f"{shown(folder)}: got no train.txt and no {IMAGES}; allowed: CamVid as class ids (train.txt and val.txt "
            f"with an image and its labels on each line) or as released ({IMAGES} and {LABELS})"
        )
    parts = {part: _read_list(folder / file, problems) for part, file in LISTS.items()}
    problems += each_once(parts, folder, "train.txt and val.txt")
    if config.split == "drive" and not problems:
        parts = _by_drive(parts, folder, config, problems)
    return FileSource(
        "camvid",
        folder,
        "lists of pairs, labels as class ids",
        CLASS_NAMES,
        CLASS_COLOURS,
        _CODE,
        parts,
        tuple(problems),
    )


def _describe(config: CamvidConfig) -> str:
    if config.split == "drive":
        return f"CamVid, validated on the held-out drive {config.held_out}"
    return "CamVid, the usual training and validation split"


KIND = Kind(in_folder(camvid_source), _describe, CLASS_NAMES, CLASS_COLOURS)


def _lists_pairs(folder: Path) -> bool:
    """Whether train.txt names an image and its labels that are there: then the folder means class ids."""
    try:
        fields = next((line.split() for _, line in read_lines(folder / LISTS["train"], "pairs")), [])
    except DataError:
        return False
    return (
        len(fields) == 2 and not any(map(leaves_folder, fields)) and all((folder / path).is_file() for path in fields)
    )


def _by_drive(
    parts: dict[str, list[Pair]], folder: Path, config: CamvidConfig, problems: list[Problem]
) -> dict[str, list[Pair]]:
    everything = [pair for pairs in parts.values() for pair in pairs]
    held_out = [pair for pair in everything if pair.name.startswith(config.held_out)]
    others = [pair for pair in everything if not pair.name.startswith(config.held_out)]
    for pairs, kind in ((held_out, "no image"), (others, "only images")):
        if not pairs:
            what = (
                f"got {kind} of drive {config.held_out} in train.txt and val.txt; allowed: file names that "
                "start with their drive, of at least two drives (0001TP, 0006R0, 0016E5), or the usual split"
            )
            problems.append(Problem("split", shown(folder), what))
    return {"train": others, "val": held_out}


def _read_list(path: Path, problems: list[Problem]) -> list[Pair]:
    pairs: list[Pair] = []
    before = len(problems)
    try:
        for number, line in read_lines(path, "an image and its labels on each line"):
            fields, where = line.split(), f"{shown(path)}, line {number}"
            outside = [field for field in fields if leaves_folder(field)]
            if len(fields) != 2:
                what = f"got {line[:200]!r}; allowed: two paths, an image and its labels"
                problems.append(Problem("split", where, what))
            elif outside:
                what = f"got {outside[0]!r}; allowed: a path inside {shown(path.parent)}"
                problems.append(Problem("split", where, what))
            else:
                pairs.append(Pair(PurePosixPath(fields[0]).stem, *fields))
    except DataError as error:
        problems.append(Problem("split", shown(path), str(error).removeprefix(f"{shown(path)}: ")))
    if not pairs and len(problems) == before:
        what = "got no line; allowed: at least one image with its labels"
        problems.append(Problem("split", shown(path), what))
    return pairs
