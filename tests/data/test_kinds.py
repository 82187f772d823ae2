"""Kinds of data sets: none has another's settings, and a new one costs what docs/extending.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stdc_lab.config.data import DATA_NAMES, CamvidConfig, DataConfig, PlainConfig, ScenesConfig
from stdc_lab.config.reading import read_recipe
from stdc_lab.data.kinds import describe, kind_of, num_classes
from stdc_lab.errors import ConfigError
from tests.data.trees import write_rgb

REPOSITORY = Path(__file__).parents[2]
OF_ALL_KINDS = {
    "split": "usual",
    "held_out": "0006R0",
    "skip_unreadable": False,
    "train_images": 400,
    "val_images": 100,
    "seed": 0,
}
"""What earlier versions wrote of a data set of any kind."""


@pytest.mark.parametrize("name", DATA_NAMES)
def test_every_kind_is_described_in_its_module(name):
    config, kind = DataConfig(name=name), kind_of(name)
    assert type(config) is not DataConfig and config.name == name
    assert describe(config)
    if kind.class_names is None:
        assert kind.class_colours is None and num_classes(config) is None
    else:
        assert kind.class_colours.shape == (num_classes(config), 3)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("scenes", ScenesConfig, "synthetic street scenes (400 to train, 100 to validate)"),
        ("camvid", CamvidConfig, "CamVid, the usual training and validation split"),
        ("cityscapes", PlainConfig, "Cityscapes, the published training and validation split"),
        ("folder", PlainConfig, "a data set of one's own (folder)"),
    ],
)
def test_files_of_earlier_versions_are_read(name, kind, words):
    old = DataConfig.model_validate_json(json.dumps({"name": name, "size": "64x96", **OF_ALL_KINDS}), strict=True)
    assert type(old) is kind and old == DataConfig(name=name, size=(64, 96)) and describe(old) == words
    assert DataConfig.model_validate(old.model_dump(mode="json")) == old


def test_a_drive_that_is_held_out_is_said():
    drive = DataConfig(name="camvid", split="drive", held_out="0016E5")
    assert describe(drive) == "CamVid, validated on the held-out drive 0016E5"
    assert drive.variant == {"split": "0016E5 held out"} and DataConfig().variant == {"seed": "0"}


def test_a_key_that_a_kind_lacks_is_told_with_its_line_and_those_it_has(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("name: x\narch: stdc1\ndata:\n  name: camvid\n  sead: 3\n")
    with pytest.raises(ConfigError) as told:
        read_recipe(file)
    allowed = "name, size, skip_unreadable, split, held_out"
    assert str(told.value) == f"{file}:5: data.sead: no such key; allowed: {allowed}"
    file.write_text("name: x\narch: stdc1\ndata:\n  name: camvid\n  seed: 3\n")
    with pytest.raises(ConfigError) as told:
        read_recipe(file)
    assert str(told.value) == f"{file}:3: data: seed (3) says nothing of camvid; allowed: {allowed}"


@pytest.mark.parametrize("wrong", [{"name": "kitti"}, {"name": ["camvid"]}, {"name": None}])
def test_an_unknown_kind_is_answered_with_those_there_are(wrong):
    for make in (lambda: DataConfig(**wrong), lambda: DataConfig.model_validate(wrong)):
        with pytest.raises(ValidationError, match="'scenes', 'camvid', 'cityscapes' or 'folder'"):
            make()


USE = """
import json, sys
from pathlib import Path
from stdc_lab import load_dataset
from stdc_lab.config.reading import read_recipe
from stdc_lab.data.check import check_dataset
from stdc_lab.data.kinds import describe, num_classes
from stdc_lab.deploy.palette import classes_of

config = read_recipe(Path("recipe.yaml")).data
data = load_dataset(config, Path("depot"), Path("cache"))
found = check_dataset(config, Path("depot"))
print(json.dumps({
    "config": config.model_dump(mode="json"),
    "words": describe(config),
    "classes": num_classes(config),
    "palette": classes_of("depot", 2).names,
    "legend": data.legend,
    "labels": sorted({int(label) for label in data.train.labels.flat}),
    "clean": found.clean,
    "torch": "torch" in sys.modules,
}))
"""


def test_a_new_data_set_costs_one_file_and_a_line(tmp_path):
    package = tmp_path / "stdc_lab"
    shutil.copytree(REPOSITORY / "stdc_lab", package, ignore=shutil.ignore_patterns("__pycache__"))
    (module,) = re.findall(r"```python\n(.*?)```", section("A data set"), re.DOTALL)
    (package / "data" / "depot.py").write_text(module)
    configs = package / "config" / "data.py"
    text = configs.read_text()
    assert text.count('        "folder",\n') == 1
    configs.write_text(text.replace('        "folder",\n', '        "folder",\n        "depot",\n'))

    for part in ("train", "val"):
        write_rgb(tmp_path / "depot" / "images" / part / "a.png", np.full((32, 40, 3), 90, np.uint8))
        labels = np.tile(np.repeat(np.array([0, 1, 9, 0], np.uint8), 10), (32, 1))
        write_rgb(tmp_path / "depot" / "labels" / part / "a.png", labels)
    (tmp_path / "recipe.yaml").write_text("name: x\narch: stdc1\ndata: {name: depot, size: 32x40}\n")
    used = run(tmp_path, "-c", USE)
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout) == {
        "config": {"name": "depot", "size": "32x40", "skip_unreadable": False},
        "words": "the depot, by day",
        "classes": 2,
        "palette": ["floor", "crate"],
        "legend": {"floor": "#5a5a5a", "crate": "#c87828"},
        "labels": [0, 1, 255],
        "clean": True,
        "torch": False,
    }
    checked = run(tmp_path, "-m", "stdc_lab.cli.main", "data", "check", "depot", "--data", "depot=depot")
    assert checked.returncode == 0 and "crate" in checked.stdout and "clean" in checked.stdout, checked.stderr


def section(title: str) -> str:
    text = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
