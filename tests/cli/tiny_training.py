"""Trainings of a second or so for `stdc-lab train`: their YAML, and what they leave."""

import csv
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stdc_lab.arch import DecoderSpec, StdcSpec

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), num_blocks=2, decoder=DecoderSpec(16, 16, 16))


DATA = {"name": "scenes", "size": "48x64", "train_images": 4, "val_images": 2}


TRAIN = {"iterations": 6, "batch_size": 2, "learning_rate": 0.05, "warmup_iterations": 1, "evaluations": 2}


def write(path: Path, *, arch: Any = None, data: Any = None, every: int = 2, **train: Any) -> Path:
    """A training's YAML, of a second or so."""
    content = {
        "name": "tiny",
        "arch": (arch or SPEC).to_dict(),
        "data": data or DATA,
        "train": {**TRAIN, **train},
        "checkpoint_every": every,
    }
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    return path


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".training.lock"}


def assert_refused(done: Any, *parts: str) -> None:
    """One message, status 2."""
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, done.stderr
    assert all(part in said for part in parts), said
    assert "Traceback" not in done.stderr
