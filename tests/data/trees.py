"""Tiny folders in the layouts of Cityscapes, of CamVid as released, and of a data set of one's own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH = 48, 68
CITIES = {"train": ("aachen", "zurich"), "val": ("frankfurt",)}
DRIVES = ("0001TP_006690", "0001TP_006720", "0006R0_f00930", "0016E5_00390", "Seq05VD_f00000")
CLASSES = """\
classes:
  - {name: ground, colour: [128, 64, 128]}
  - {name: car, colour: "#00008E"}
  - {name: sky, colour: [70, 130, 180]}
"""
COLOURS = np.array([(128, 64, 128), (0, 0, 142), (70, 130, 180)], np.uint8)


def write_rgb(path: Path, pixels: np.ndarray) -> None:
    """H×W×3 in RGB, or H×W, in whatever format the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    assert cv2.imwrite(str(path), pixels)


def stripes(values: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """H×W: `values` vertical stripes, numbered from the left, each at least a column."""
    return (np.arange(width) * values // width).astype(np.uint8)[None].repeat(height, 0)


def photo(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def cityscapes_files(folder: Path, part: str, city: str, number: int) -> tuple[Path, Path]:
    name = f"{city}_{number:06d}_000019"
    return (
        folder / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png",
        folder / "gtFine" / part / city / f"{name}_gtFine_labelIds.png",
    )


def write_cityscapes(folder: Path) -> Path:
    """Two images a city; every label file holds all 34 ids in stripes. The other files of gtFine are there too."""
    for part, cities in CITIES.items():
        for city in cities:
            for number in range(2):
                image, labels = cityscapes_files(folder, part, city, number)
                write_rgb(image, photo(number))
                write_rgb(labels, stripes(34))
                for other in ("color", "instanceIds"):
                    write_rgb(labels.with_name(labels.name.replace("labelIds", other)), photo(number))
                polygons = labels.with_name(labels.name.replace("labelIds.png", "polygons.json"))
                polygons.write_text("{}")
    return folder


def write_release(folder: Path, colours: list[tuple[int, int, int]], names: tuple[str, ...] = DRIVES) -> Path:
    """A frame for each name, labelled in stripes of the colours; no lists, no label_colors.txt."""
    palette = np.array(colours, np.uint8)
    for number, name in enumerate(names):
        write_rgb(folder / "701_StillsRaw_full" / f"{name}.png", photo(number))
        write_rgb(folder / "LabeledApproved_full" / f"{name}_L.png", palette[stripes(len(colours))])
    return folder


def write_own(folder: Path, *, coloured: bool = False, lists: bool = False, suffix: str = ".png") -> Path:
    """Three training and two validation images, masks of three classes in stripes."""
    names = {"train": ("a", "b", "deep/c"), "val": ("d", "e")}
    for part, members in names.items():
        for number, name in enumerate(members):
            place = name if lists else f"{part}/{name}"
            write_rgb(folder / "images" / f"{place}{suffix}", photo(number))
            mask = stripes(3)
            write_rgb(folder / "masks" / f"{place}.png", COLOURS[mask] if coloured else mask)
        if lists:
            (folder / f"{part}.txt").write_text("\n".join(members) + "\n")
    (folder / "classes.yaml").write_text(CLASSES)
    return folder


def truncate(path: Path) -> None:
    """Leave half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
