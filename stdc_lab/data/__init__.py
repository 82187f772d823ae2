"""Files, or nothing at all, to batches. Free of torch."""

from stdc_lab.data.augment import IMAGE_MEAN, IMAGE_STD, augment, batch_at, crop_size
from stdc_lab.data.cache import CACHE_VARIABLE, cache_folder
from stdc_lab.data.catalog import Dataset, Progress, Split, load_dataset
from stdc_lab.data.classes import CLASS_COLOURS, CLASS_NAMES, IGNORE_LABEL, Pixels
from stdc_lab.data.loading import Batches
from stdc_lab.scenery.scene import render_scene

__all__ = [
    "CACHE_VARIABLE",
    "CLASS_COLOURS",
    "CLASS_NAMES",
    "IGNORE_LABEL",
    "IMAGE_MEAN",
    "IMAGE_STD",
    "Batches",
    "Dataset",
    "Pixels",
    "Progress",
    "Split",
    "augment",
    "batch_at",
    "cache_folder",
    "crop_size",
    "load_dataset",
    "render_scene",
]
