"""CamVid as it was released: 701 frames of 720×960, labels in the colours of 32 classes.

The 32 classes become the 11 that SegNet made usual; `Void` is not labelled. A few pixels of the released labels have a
colour of no class; they count as unlabelled.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from stdc_lab.config.data import CamvidConfig
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, IGNORE_LABEL
from stdc_lab.data.files import Problem, read_lines, read_names, shown
from stdc_lab.data.labels import Colour, LabelCode
from stdc_lab.data.source import FileSource, Pair, each_once
from stdc_lab.errors import DataError
from stdc_lab.scenery.classes import BUILDING, CAR, CYCLIST, FENCE, PAVEMENT, PEDESTRIAN, POLE, ROAD, SIGN, SKY, TREE

IMAGES, LABELS, COLOURS = "701_StillsRaw_full", "LabeledApproved_full", "label_colors.txt"
DRIVES = ("0001TP", "0006R0", "0016E5", "Seq05VD")
STRAY_SHARE = 0.01
"""Share of a label file's pixels that may have a colour of no class."""

GROUPS: dict[str, tuple[Colour, int]] = {
    "Animal": ((64, 128, 64), PEDESTRIAN),
    "Archway": ((192, 0, 128), BUILDING),
    "Bicyclist": ((0, 128, 192), CYCLIST),
    "Bridge": ((0, 128, 64), BUILDING),
    "Building": ((128, 0, 0), BUILDING),
    "Car": ((64, 0, 128), CAR),
    "CartLuggagePram": ((64, 0, 192), PEDESTRIAN),
    "Child": ((192, 128, 64), PEDESTRIAN),
    "Column_Pole": ((192, 192, 128), POLE),
    "Fence": ((64, 64, 128), FENCE),
    "LaneMkgsDriv": ((128, 0, 192), ROAD),
    "LaneMkgsNonDriv": ((192, 0, 64), ROAD),
    "Misc_Text": ((128, 128, 64), SIGN),
    "MotorcycleScooter": ((192, 0, 192), CYCLIST),
    "OtherMoving": ((128, 64, 64), CAR),
    "ParkingBlock": ((64, 192, 128), PAVEMENT),
    "Pedestrian": ((64, 64, 0), PEDESTRIAN),
    "Road": ((128, 64, 128), ROAD),
    "RoadShoulder": ((128, 128, 192), PAVEMENT),
    "SUVPickupTruck": ((64, 128, 192), CAR),
    "Sidewalk": ((0, 0, 192), PAVEMENT),
    "SignSymbol": ((192, 128, 128), SIGN),
    "Sky": ((128, 128, 128), SKY),
    "TrafficCone": ((0, 0, 64), POLE),
    "TrafficLight": ((0, 64, 64), SIGN),
    "Train": ((192, 64, 128), CAR),
    "Tree": ((128, 128, 0), TREE),
    "Truck_Bus": ((192, 128, 192), CAR),
    "Tunnel": ((64, 0, 64), BUILDING),
    "VegetationMisc": ((192, 192, 0), TREE),
    "Void": ((0, 0, 0), IGNORE_LABEL),
    "Wall": ((64, 192, 0), BUILDING),
}
"""The 32 classes: the colour of each, and the class of ours that it counts as."""


def is_release(folder: Path) -> bool:
    """Whether the folder holds CamVid as released, or half of it."""
    return (folder / IMAGES).is_dir() or (folder / LABELS).is_dir()


def release_source(folder: Path, config: CamvidConfig) -> FileSource:
    """The released CamVid, split as `config` says: by train.txt and val.txt with a name on each line, or by drive.

    `drive` takes every frame of the folder and needs no lists.
    """
    problems: list[Problem] = []
    images = _stems(folder / IMAGES, ".png", problems)
    labels = _stems(folder / LABELS, "_L.png", problems)
    lists = {part: folder / f"{part}.txt" for part in ("train", "val")}
    if config.split == "usual" and any(path.exists() for path in lists.values()):
        names = {part: _read_names(path, problems) for part, path in lists.items()}
    else:
        if config.split == "usual":
            what = (
                "got neither train.txt nor val.txt, which say what the usual split is; allowed: both, with the name of "
                "a frame on each line, or split: drive (--split drive), which needs none"
            )
            problems.append(Problem("split", shown(folder), what))
        names = _by_drive(sorted(images | labels), folder, config, problems)
    parts = {part: [_pair(name) for name in members] for part, members in names.items()}
    for pair in (pair for pairs in parts.values() for pair in pairs):
        problems += _missing(folder, pair, pair.name in images, pair.name in labels)
    problems += each_once(parts, folder, "train.txt and val.txt")
    # What is not there is said above; what is there can still be looked at.
    whole = images & labels
    parts = {part: [pair for pair in pairs if pair.name in whole] for part, pairs in parts.items()}
    code = _code(folder / COLOURS, problems)
    layout = "as released, labels in 32 colours, grouped to 11 classes"
    recipe = {"layout": "released", "code": code.recipe()}
    return FileSource("camvid", folder, layout, CLASS_NAMES, CLASS_COLOURS, code, parts, tuple(problems), recipe)


def _pair(name: str) -> Pair:
    return Pair(name, f"{IMAGES}/{name}.png", f"{LABELS}/{name}_L.png")


def _stems(folder: Path, ending: str, problems: list[Problem]) -> set[str]:
    if not folder.is_dir():
        what = f"got no such folder; allowed: CamVid as released, with {IMAGES} and {LABELS}"
        problems.append(Problem("pair", shown(folder), what))
        return set()
    return {path.name.removesuffix(ending) for path in folder.iterdir() if path.name.endswith(ending)}


def _missing(folder: Path, pair: Pair, has_image: bool, has_labels: bool) -> list[Problem]:
    image, labels = shown(folder / pair.image), shown(folder / pair.labels)
    if has_image and not has_labels:
        return [Problem("pair", image, f"got no labels; allowed: an image with its labels {shown(pair.labels)}")]
    if has_labels and not has_image:
        return [Problem("pair", labels, f"got no image; allowed: labels with their image {shown(pair.image)}")]
    if not has_image:
        return [
            Problem("pair", image, f"got neither this image nor {shown(pair.labels)}; allowed: names that are there")
        ]
    return []


def _read_names(path: Path, problems: list[Problem]) -> list[str]:
    """The names of a list, of which each line may also be a path or a pair of paths: only the first's name counts."""

    def name_of(line: str) -> str | None:
        name = PurePosixPath(line.split()[0].replace("\\", "/")).name.removesuffix(".png")
        return name if name.replace("_", "").replace("-", "").isalnum() else None

    return read_names(path, "the name of a frame", name_of, "the name of a frame, such as 0001TP_006690", problems)


def _by_drive(names: list[str], folder: Path, config: CamvidConfig, problems: list[Problem]) -> dict[str, list[str]]:
    held_out = [name for name in names if name.startswith(config.held_out)]
    others = [name for name in names if not name.startswith(config.held_out)]
    for members, kind in ((held_out, "no frame"), (others, "no frame but those")):
        if not members:
            what = (
                f"got {kind} of drive {config.held_out}; allowed: frames of at least two drives "
                f"({', '.join(DRIVES)}), whose names start with it"
            )
            problems.append(Problem("split", shown(folder), what))
    return {"train": others, "val": held_out}


def _code(path: Path, problems: list[Problem]) -> LabelCode:
    """The colours of label_colors.txt where it is there, else the released ones."""
    colours = dict(GROUPS.values())
    if path.exists():
        colours = _read_colours(path, problems) or colours
    return LabelCode(
        form="three channels of 8 bit, a colour for each class",
        allowed=f"the {len(colours)} colours of CamVid's classes",
        colours=colours,
        tolerance=STRAY_SHARE,
    )


def _read_colours(path: Path, problems: list[Problem]) -> dict[Colour, int]:
    """Lines such as `64 128 64  Animal`."""
    colours: dict[Colour, int] = {}
    try:
        for number, line in read_lines(path, "red, green, blue and a class on each line"):
            *channels, name = line.split()
            numbers = [int(channel) for channel in channels if channel.isdecimal() and int(channel) <= 255]
            where = f"{shown(path)}, line {number}"
            if len(channels) != 3 or len(numbers) != 3:
                what = f"got {line[:200]!r}; allowed: red, green, blue (0 to 255) and a class"
                problems.append(Problem("labels", where, what))
            elif name not in GROUPS:
                what = f"got class {name[:80]!r}; allowed: {', '.join(GROUPS)}"
                problems.append(Problem("labels", where, what))
            elif colours.setdefault((numbers[0], numbers[1], numbers[2]), GROUPS[name][1]) != GROUPS[name][1]:
                what = f"got {line[:200]!r}, the colour of another class; allowed: a colour of its own"
                problems.append(Problem("labels", where, what))
    except DataError as error:
        problems.append(Problem("labels", shown(path), str(error).removeprefix(f"{shown(path)}: ")))
    return colours
