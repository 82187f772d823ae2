"""Modules that a user could have in the current folder, some of them wrong."""

from pathlib import Path

SOURCE = """
import torch
from torch import nn

from stdc_lab.nn import SegOutput

NUMBER = 7


def build(num_classes):
    norm = nn.BatchNorm2d(8)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), norm, nn.ReLU(), nn.Conv2d(8, num_classes, 3, 2, 1))


def at_full_size(num_classes):
    return nn.Conv2d(3, num_classes, 3, padding=1)


class WithOutput(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.network = build(num_classes)

    def forward(self, images):
        logits = self.network(images)
        return SegOutput(logits, (logits,))


class Changed(nn.Module):
    def __init__(self, network, change):
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images):
        return self.change(self.network(images))


def with_output(num_classes):
    return WithOutput(num_classes)


def fails(num_classes):
    raise ValueError("five is too many")


def no_module(num_classes):
    return num_classes


def one_more(num_classes):
    return build(num_classes + 1)


def classes_only(num_classes):
    return Changed(build(num_classes), lambda logits: logits.argmax(1))


def class_map(num_classes):
    return Changed(build(num_classes), lambda logits: logits.long())


def dictionary(num_classes):
    return Changed(build(num_classes), lambda logits: {"out": logits})


def no_answer(num_classes):
    return nn.Conv2d(4, num_classes, 1)
"""


def write_own_networks(folder: Path) -> None:
    (folder / "own_models.py").write_text(SOURCE)
    (folder / "own_broken.py").write_text("1 / 0\n")
    (folder / "own_lacking.py").write_text("import not_there\n")
