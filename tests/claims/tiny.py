"""A claim whose trainings take a fraction of a second."""

from pathlib import Path

from stdc_lab.config.claim import TrainedClaim
from stdc_lab.config.data import ScenesConfig
from stdc_lab.config.reading import read_claim
from stdc_lab.data import Dataset, load_dataset

TEXT = """
id: tiny_details
kind: trained
title: Details, tiny
statement: Guided is better.
source: section 3.3
replication: {recipe: none}
arms:
  neither: {heads.detail_strides: []}
  guided: {heads.detail_strides: [8]}
control: neither
treatment: guided
margin: 0.01
assumed_sd: 0.008
max_seeds: 4
protocols:
  scenes:
    data: {name: scenes, size: 32x32, train_images: 4, val_images: 2}
    train: {iterations: 2, batch_size: 2, warmup_iterations: 1, evaluations: 1, precision: float32}
"""
SMALL = ", base_width: 8, decoder.context_width: 8, decoder.fusion_width: 8, decoder.head_width: 8}"


def write_claim(folder: Path, old: str = "", new: str = "") -> Path:
    """The claim's file, its networks narrow, with one text put in place of another."""
    text = TEXT.replace("strides: []}", "strides: []" + SMALL).replace("strides: [8]}", "strides: [8]" + SMALL)
    assert old in text
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiny_details.yaml"
    path.write_text(text.replace(old, new) if old else text)
    return path


def tiny_claim(folder: Path, old: str = "", new: str = "") -> TrainedClaim:
    claim = read_claim(write_claim(folder, old, new))
    assert isinstance(claim, TrainedClaim)
    return claim


def tiny_data() -> Dataset:
    return load_dataset(ScenesConfig(size=(32, 32), train_images=4, val_images=2))
