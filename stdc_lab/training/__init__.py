"""From a network and batches to weights and mIoU."""

from stdc_lab.training.trainer import DivergedError, Progress, Trained, train

__all__ = ["DivergedError", "Progress", "Trained", "train"]
