"""A tiny folder in CamVid's layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

TRAIN = ("0001TP_000001", "0001TP_000002", "0016E5_00001", "0006R0_f00001")
VAL = ("0016E5_07959", "0006R0_f00002")


def write_camvid(folder: Path, height: int = 48, width: int = 64) -> Path:
    """Each frame is split in two halves, left red and right blue, labelled 1 and 3, with a stripe of 11 at the top."""
    for part, names in (("train", TRAIN), ("val", VAL)):
        (folder / part).mkdir(parents=True)
        (folder / f"{part}annot").mkdir()
        for name in names:
            image = np.zeros((height, width, 3), np.uint8)
            image[:, : width // 2] = (0, 0, 200)  # OpenCV writes blue first
            image[:, width // 2 :] = (200, 0, 0)
            labels = np.full((height, width), 1, np.uint8)
            labels[:, width // 2 :] = 3
            labels[: height // 4] = 11
            write_png(folder / part / f"{name}.png", image)
            write_png(folder / f"{part}annot" / f"{name}.png", labels)
        lines = [f"{part}/{name}.png {part}annot/{name}.png\n" for name in names]
        (folder / f"{part}.txt").write_text("".join(lines))
    return folder


def write_png(path: Path, pixels: np.ndarray) -> None:
    assert cv2.imwrite(str(path), pixels)
