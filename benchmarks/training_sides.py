"""The two sides of benchmarks/training.py: the plain recipe that a user would otherwise write, and stdc_lab."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from multiprocessing import active_children, get_all_start_methods
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from stdc_lab import DataConfig, TrainConfig, build_model, load_dataset, presets
from stdc_lab.data import CLASS_NAMES, IMAGE_MEAN, IMAGE_STD, Batches, batch_at
from stdc_lab.data.catalog import find_source
from stdc_lab.hardware.devices import choose_dtype, place
from stdc_lab.hardware.memory import keep_freed_memory
from stdc_lab.nn import SegOutput
from stdc_lab.training.evaluate import evaluate, to_input
from stdc_lab.training.schedule import rate_at
from stdc_lab.training.trainer import Trainer

CPU = torch.device("cpu")
CLASSES = len(CLASS_NAMES)
WARM_STEPS = 4
"""Not timed: workers start, queues fill, memory is asked for the first time."""
PADDING = tuple(round(255 * mean) for mean in IMAGE_MEAN)


@dataclass(frozen=True)
class Setup:
    """What both sides work on."""

    data: DataConfig
    folder: Path
    cache: Path
    train: TrainConfig
    seconds: float
    """Length of a turn of an input pipeline."""


class Training(NamedTuple):
    """One turn of training."""

    images_s: float
    waited: float
    """Share of the time that the step waited for its batch."""
    main_mib: float
    workers_mib: float


# The plain recipe.


class PlainImages(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images and labels from their files to tensors, resized and, for training, changed at random by PIL."""

    def __init__(self, setup: Setup, part: str) -> None:
        source = find_source(setup.data, setup.folder)
        assert source.code.ids is not None, "labels as class ids are expected"
        self.files = [(source.folder / pair.image, source.folder / pair.labels) for pair in source.parts[part]]
        self.class_of = np.full(256, 255)
        self.class_of[list(source.code.ids)] = list(source.code.ids.values())
        self.size = setup.data.size
        self.changes = setup.train.augmentation if part == "train" else None
        self.mean = torch.tensor(IMAGE_MEAN).view(3, 1, 1)
        self.std = torch.tensor(IMAGE_STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image: Image.Image = Image.open(self.files[index][0]).convert("RGB")
        labels: Image.Image = Image.open(self.files[index][1])
        height, width = self.size
        # The resize to the data's size and the random one are one.
        scale = random.uniform(*self.changes.scale) if self.changes else 1.0
        resized = round(width * scale), round(height * scale)
        if image.size != resized:
            image = image.resize(resized, Image.Resampling.BILINEAR)
            labels = labels.resize(resized, Image.Resampling.NEAREST)
        if self.changes:
            image, labels = self._change(image, labels)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
        return (pixels - self.mean) / self.std, torch.from_numpy(self.class_of[np.array(labels)])

    def _change(self, image: Image.Image, labels: Image.Image) -> tuple[Image.Image, Image.Image]:
        assert self.changes is not None
        height, width = self.size
        if image.width < width or image.height < height:
            right, below = max(0, width - image.width), max(0, height - image.height)
            left, above = random.randint(0, right), random.randint(0, below)
            border = left, above, right - left, below - above
            image, labels = ImageOps.expand(image, border, PADDING), ImageOps.expand(labels, border, 255)
        left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
        box = left, top, left + width, top + height
        image, labels = image.crop(box), labels.crop(box)
        if self.changes.flip and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            labels = labels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(random.uniform(1 - self.changes.colour, 1 + self.changes.colour))
        return image, labels


def plain_batches(setup: Setup, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch, the workers kept."""
    loader = DataLoader(
        PlainImages(setup, "train"),
        batch_size=setup.train.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        # What a script that a user starts has: a spawned process would spawn its workers too, and those are larger.
        multiprocessing_context=get_all_start_methods()[0] if workers else None,
    )
    return chain.from_iterable(repeat(loader))


def plain_loss(output: SegOutput, labels: Tensor) -> Tensor:
    """The recipe's losses as one would write them down: hard pixels for all logits, and the detail loss."""
    loss = torch.zeros(())
    for logits in (output.logits, *output.auxiliary):
        losses = functional.cross_entropy(logits, labels, ignore_index=255, reduction="none").flatten()
        hard = losses[losses > -np.log(0.7)]
        kept = labels.numel() // 16
        loss = loss + (hard if hard.numel() > kept else losses.topk(kept).values).mean()
    with torch.no_grad():
        laplacian = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]).view(1, 1, 3, 3)
        ids = labels.unsqueeze(1).float()
        fused = torch.zeros_like(ids)
        for stride, weight in ((1, 0.6), (2, 0.3), (4, 0.1)):
            edges = (functional.conv2d(ids, laplacian, stride=stride, padding=1) > 0.1).float()
            fused += weight * functional.interpolate(edges, ids.shape[2:], mode="nearest")
        wanted = (fused > torch.tensor(0.1)).float()
    for logits in output.details:
        logits = functional.interpolate(logits, wanted.shape[2:], mode="bilinear", align_corners=True)
        found, truth = logits.sigmoid().flatten(1), wanted.flatten(1)
        dice = 1 - (2 * (found * truth).sum(1) + 1) / (found.sum(1) + truth.sum(1) + 1)
        loss = loss + functional.binary_cross_entropy_with_logits(logits, wanted) + dice.mean()
    return loss


def plain_training(setup: Setup, workers: int) -> Training:
    """A turn of the plain loop."""
    config = setup.train
    torch.manual_seed(0)
    network = build_model(presets["stdc1"], CLASSES, config.heads).train()
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim == 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        momentum=config.momentum,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda iteration: rate_at(iteration, config))
    batches = plain_batches(setup, workers)
    started = waited = 0.0
    for step in range(config.iterations):
        if step == WARM_STEPS:
            started, waited = time.perf_counter(), 0.0
        asked = time.perf_counter()
        images, labels = next(batches)
        waited += time.perf_counter() - asked
        optimiser.zero_grad()
        loss = plain_loss(network(images), labels)
        loss.backward()
        optimiser.step()
        schedule.step()
        if not np.isfinite(loss.item()):
            raise ArithmeticError(f"the plain recipe's loss became {loss.item()}")
    return _turn(setup, started, waited)


def plain_evaluation(setup: Setup, workers: int) -> float:
    """Seconds that a plain loop takes for one pass."""
    network = build_model(presets["stdc1"], CLASSES, setup.train.heads).eval()
    started = time.perf_counter()
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    with torch.no_grad():
        for images, labels in DataLoader(PlainImages(setup, "val"), batch_size=1, num_workers=workers):
            truth, found = labels.numpy(), network(images).logits.argmax(1).numpy()
            known = truth != 255
            pairs = CLASSES * truth[known] + found[known]
            counts += np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    return time.perf_counter() - started


# stdc_lab.


def our_batches(setup: Setup, threads: int) -> Iterator[tuple[Tensor, Tensor]]:
    """What `Trainer` does to get a step's input."""
    keep_freed_memory()
    split, config = load_dataset(setup.data, setup.folder, setup.cache).train, setup.train

    def make(iteration: int) -> tuple[np.ndarray, np.ndarray]:
        return batch_at(split, config.augmentation, setup.data.size, config.batch_size, 0, iteration)

    for images, labels in Batches(make, 0, sys.maxsize, threads):
        yield to_input(images, CPU), torch.from_numpy(labels).long()


def our_training(setup: Setup, threads: int) -> Training:
    """A turn of `Trainer`."""
    torch.manual_seed(0)
    config = setup.train.model_copy(update={"data_workers": threads})
    dataset = load_dataset(setup.data, setup.folder, setup.cache)
    trainer = Trainer(build_model(presets["stdc1"], CLASSES, config.heads), dataset, config, 0, CPU)
    started = waited = 0.0
    for _ in trainer.steps():
        if trainer.iteration == WARM_STEPS:
            started, waited = time.perf_counter(), trainer.waited_s
    return _turn(setup, started, trainer.waited_s - waited)


def our_evaluation(setup: Setup, _: int) -> float:
    """Seconds that `evaluate` takes for one pass."""
    dataset = load_dataset(setup.data, setup.folder, setup.cache)
    network = place(build_model(presets["stdc1"], CLASSES, setup.train.heads), CPU)
    started = time.perf_counter()
    evaluate(network, dataset.val, CLASSES, CPU, choose_dtype("auto", CPU))
    return time.perf_counter() - started


def _turn(setup: Setup, started: float, waited: float) -> Training:
    taken = time.perf_counter() - started
    images = (setup.train.iterations - WARM_STEPS) * setup.train.batch_size
    workers = sum(_kib(f"/proc/{child.pid}/smaps_rollup", "Private_") for child in active_children())
    return Training(images / taken, waited / taken, _kib("/proc/self/status", "VmHWM") / 1024, workers / 1024)


def _kib(file: str, field: str) -> int:
    """The sum of the lines that begin with `field`."""
    return sum(int(line.split()[1]) for line in Path(file).read_text().splitlines() if line.startswith(field))
