"""How fast is a training here, beside the plain recipe that a user would otherwise write?

    .venv/bin/python benchmarks/training.py --data camvid=PATH

Side by side on the same files, network, size, batch, augmentation and losses:

- plain: PIL and a DataLoader, float32, default layout, default allocator, losses by torch's own functions;
- stdc_lab: `Trainer` with its defaults: decoded images in the cache, batches made by a thread, bfloat16 where the
  processor has it, channels-last, freed memory kept. It also averages the weights, which the plain recipe does not.

Of either side's input pipeline the best number of workers counts. Each turn is a process of its own, the sides take
turns, and a ratio is that of two neighbouring turns: median (lowest to highest). Decoding and resizing are not in our
pipeline's time: the cache did them once, and what that took is printed. Our pipeline's time holds normalisation, since
the plain one's does. Memory is the highest resident set of a process, to which each worker of the plain recipe adds the
pages that it alone holds; a map of the cache counts as ours. Without --data: synthetic scenes, written as PNGs of twice
the size into a temporary folder.

With --rounds 3 --steps 15 --seconds 3 about five minutes on two cores, on which nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, repeat
from multiprocessing import active_children, get_all_start_methods, get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from stdc_lab import DataConfig, TrainConfig, build_model, load_dataset, presets
from stdc_lab.cli.search import read_data_option
from stdc_lab.config.training import LossConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, IMAGE_MEAN, IMAGE_STD, Batches, batch_at, render_scene
from stdc_lab.data.catalog import find_source
from stdc_lab.machine import choose_dtype, environment, keep_freed_memory, machine_lock, place, usable_cores
from stdc_lab.nn import SegOutput
from stdc_lab.training.evaluate import evaluate, to_input
from stdc_lab.training.losses import training_loss
from stdc_lab.training.schedule import rate_at
from stdc_lab.training.trainer import Trainer

CPU = torch.device("cpu")
CLASSES = len(CLASS_NAMES)
WARM_BATCHES, WARM_STEPS = 8, 4
"""Not timed: workers start, queues fill, memory is asked for the first time."""
PLAIN_WORKERS = tuple(count for count in (0, 1, 2) if count <= usable_cores())
OUR_THREADS = tuple(range(1, usable_cores() + 1))
PADDING = tuple(round(255 * mean) for mean in IMAGE_MEAN)
TRAIN_SCENES, VAL_SCENES = 367, 101
"""As many as CamVid has images."""


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


# What is measured, each in a process of its own.


def images_a_second(setup: Setup, make: Callable[[Setup, int], Iterator[tuple[Tensor, Tensor]]], workers: int) -> float:
    """Of an input pipeline that has nothing to wait for."""
    batches = make(setup, workers)
    for _ in islice(batches, WARM_BATCHES):
        pass
    images, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < setup.seconds:
        images += len(next(batches)[0])
    return images / taken


def loss_difference(setup: Setup) -> float:
    """How far the two sides' losses are apart, relatively, on one batch and one network."""
    torch.manual_seed(0)
    images, labels = next(our_batches(setup, 1))
    with torch.no_grad():
        output = build_model(presets["stdc1"], CLASSES, setup.train.heads).train()(images)
        plain, ours = plain_loss(output, labels), training_loss(output, labels, setup.train.loss)
    return float((plain - ours).abs() / ours)


def cache_built(setup: Setup) -> tuple[float, int]:
    """Seconds that building the cache took, and how many images there are."""
    started = time.perf_counter()
    dataset = load_dataset(setup.data, setup.folder, setup.cache)
    return time.perf_counter() - started, len(dataset.train) + len(dataset.val)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process of its own, whose allocator and highest memory nothing else has touched."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _turn(setup: Setup, started: float, waited: float) -> Training:
    taken = time.perf_counter() - started
    images = (setup.train.iterations - WARM_STEPS) * setup.train.batch_size
    workers = sum(_kib(f"/proc/{child.pid}/smaps_rollup", "Private_") for child in active_children())
    return Training(images / taken, waited / taken, _kib("/proc/self/status", "VmHWM") / 1024, workers / 1024)


def _kib(file: str, field: str) -> int:
    """The sum of the lines that begin with `field`."""
    return sum(int(line.split()[1]) for line in Path(file).read_text().splitlines() if line.startswith(field))


# All of it, in turns.


def main(
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="camvid=path/to/camvid; default: synthetic scenes.")
    ] = None,
    size: Annotated[str, typer.Option(help="Height x width of the training.")] = "180x240",
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="How often the sides take turns.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of each turn of training.")] = 20,
    seconds: Annotated[float, typer.Option(help="Length of each turn of an input pipeline.")] = 5.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every turn's figures here.")] = None,
) -> None:
    folder = read_data_option(data or [], "camvid", "the data set of this benchmark")
    config = DataConfig.model_validate({"name": "camvid" if folder else "folder", "size": size})
    train = TrainConfig(
        iterations=WARM_STEPS + steps,
        warmup_iterations=WARM_STEPS,
        batch_size=batch_size,
        evaluations=1,
        loss=LossConfig(cross_entropy="ohem"),
    )
    with tempfile.TemporaryDirectory() as temporary, machine_lock(alone=True):
        if folder is None:
            folder = Path(temporary) / "scenes"
            write_scenes(folder, config.size)
        setup = Setup(config, folder, Path(temporary) / "cache", train, seconds)
        built_s, images = apart(cache_built, setup)
        difference = apart(loss_difference, setup)
        if difference > 1e-4:
            raise AssertionError(f"the two sides' losses differ by {difference:.2%}")
        turns = take_turns(setup, rounds)
    where = environment(CPU, torch.get_num_threads())
    dtype = str(choose_dtype("auto", CPU)).removeprefix("torch.")
    print(
        f"{where.processor}, {usable_cores()} cores, {where.threads} threads, torch {where.torch}; plain float32, "
        f"stdc_lab {dtype}\nSTDC1 with training heads, {'CamVid' if data else 'scenes'} {size}, batch {batch_size}; "
        f"medians of {rounds} rounds: {seconds:g} s of input, {steps} steps of training, one pass of evaluation\n"
        f"cache: {images} images decoded and resized once, in {built_s:.1f} s\n"
    )
    print(table(turns))
    if json_file is not None:
        settings = {"data": config.model_dump(mode="json"), "train": train.model_dump(mode="json"), "rounds": rounds}
        report = {
            "environment": where.model_dump(mode="json"),
            "settings": {**settings, "seconds": seconds, "steps": steps, "precision": dtype},
            "cache": {"images": images, "seconds": built_s},
            "loss_difference": difference,
            "turns": turns,
        }
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def take_turns(setup: Setup, rounds: int) -> dict[str, Any]:
    """Every figure of every turn, in the order of the rounds: `NAME, plain` and `NAME, stdc_lab`."""
    typer.echo("plain training: which number of workers is its best?", err=True)
    trials = {workers: apart(plain_training, setup, workers).images_s for workers in PLAIN_WORKERS}
    best = max(trials, key=lambda workers: trials[workers])
    turns: dict[str, Any] = {"plain training by workers": trials, "plain workers": best}

    def note(name: str, value: float) -> None:
        turns.setdefault(name, []).append(value)

    for number in range(1, rounds + 1):
        typer.echo(f"round {number} of {rounds}", err=True)
        rates = {workers: apart(images_a_second, setup, plain_batches, workers) for workers in PLAIN_WORKERS}
        for workers, rate in rates.items():
            note(f"input with {workers} workers, plain", rate)
        note("input, plain", max(rates.values()))
        rates = {threads: apart(images_a_second, setup, our_batches, threads) for threads in OUR_THREADS}
        for threads, rate in rates.items():
            note(f"input with {threads} threads, stdc_lab", rate)
        note("input, stdc_lab", max(rates.values()))
        for side, function, workers in (
            ("plain", plain_training, best),
            ("stdc_lab", our_training, setup.train.data_workers),
        ):
            turn = apart(function, setup, workers)
            note(f"training, {side}", turn.images_s)
            note(f"waiting, {side}", turn.waited)
            note(f"memory without workers, {side}", turn.main_mib)
            note(f"memory, {side}", turn.main_mib + turn.workers_mib)
        note("evaluation, plain", apart(plain_evaluation, setup, best))
        note("evaluation, stdc_lab", apart(our_evaluation, setup, 0))
    return turns


def table(turns: dict[str, Any]) -> str:
    """The medians as a table; ratios are those of stdc_lab's figure to the plain one of the same round."""
    workers = turns["plain workers"]
    rows = [
        ("input alone, images/s", "input", "{:.0f}", "at least 8"),
        (f"training, images/s (plain: {workers} workers)", "training", "{:.2f}", "at least 1.8, aim 2.5"),
        ("share of the training spent waiting for data", "waiting", "{:.1%}", "below 5 %"),
        ("highest memory, MiB, without workers", "memory without workers", "{:.0f}", ""),
        ("highest memory, MiB", "memory", "{:.0f}", "at most 1"),
        ("evaluation, one pass, s", "evaluation", "{:.2f}", "below 6 s"),
    ]
    lines = ["| measure | plain recipe | stdc_lab | ratio | wanted |", "| --- | --- | --- | --- | --- |"]
    for title, name, shape, wanted in rows:
        plain, ours = turns[f"{name}, plain"], turns[f"{name}, stdc_lab"]
        ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True) if theirs]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if name != "waiting" else ""
        cells = title, shape.format(median(plain)), shape.format(median(ours)), ratio, wanted
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_scenes(folder: Path, size: tuple[int, int]) -> None:
    """Synthetic scenes as PNGs, twice as high and wide as they are trained at, with their `classes.yaml`."""
    typer.echo(f"writing {TRAIN_SCENES + VAL_SCENES} scenes", err=True)
    named = zip(CLASS_NAMES, CLASS_COLOURS.tolist(), strict=True)
    classes = [{"name": name, "colour": colour} for name, colour in named]
    for part, first, count in (("train", 0, TRAIN_SCENES), ("val", TRAIN_SCENES, VAL_SCENES)):
        for kind in ("images", "masks"):
            (folder / kind / part).mkdir(parents=True)
        for index in range(first, first + count):
            image, labels = render_scene(0, index, 2 * size[0], 2 * size[1])
            Image.fromarray(image).save(folder / "images" / part / f"{index:04d}.png")
            Image.fromarray(labels).save(folder / "masks" / part / f"{index:04d}.png")
    (folder / "classes.yaml").write_text(json.dumps({"classes": classes, "ignore_id": 255}), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
