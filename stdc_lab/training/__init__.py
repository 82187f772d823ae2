"""From a network and batches to weights and mIoU."""

from stdc_lab.training.stepper import DivergedError
from stdc_lab.training.trainer import Progress, Trained, train

__all__ = ["DivergedError", "Progress", "Trained", "train"]
