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
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from torch import Tensor
from training_sides import (
    CLASSES,
    CPU,
    WARM_STEPS,
    Setup,
    our_batches,
    our_evaluation,
    our_training,
    plain_batches,
    plain_evaluation,
    plain_loss,
    plain_training,
)

from stdc_lab import DataConfig, TrainConfig, build_model, load_dataset, presets
from stdc_lab.cli.search import read_data_option
from stdc_lab.config.training import LossConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, render_scene
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.machine import machine_lock
from stdc_lab.training.losses import training_loss

WARM_BATCHES = 8
"""Not timed, as the warm steps of a training: workers start, queues fill."""
PLAIN_WORKERS = tuple(count for count in (0, 1, 2) if count <= usable_cores())
OUR_THREADS = tuple(range(1, usable_cores() + 1))
TRAIN_SCENES, VAL_SCENES = 367, 101
"""As many as CamVid has images."""


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
