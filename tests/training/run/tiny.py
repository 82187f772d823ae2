"""Trainings of six steps, what they tell, and what two folders of them have in common."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, Dataset, Split
from stdc_lab.training import Progress
from stdc_lab.training.run import TrainingCallbacks, run_training

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), num_blocks=2, decoder=DecoderSpec(16, 16, 16))


CPU = torch.device("cpu")


def recipe_of(*, arch: ArchSpec = SPEC, seed: int = 0, faithful: bool = False, every: int = 2, **train: Any):
    """Six steps, evaluated after each third, the state written every second."""
    values: dict[str, Any] = {
        "iterations": 6,
        "batch_size": 4,
        "warmup_iterations": 2,
        "learning_rate": 0.05,
        "decoder_rate_factor": 2.0,
        "ema_decay": 0.5,
        "evaluations": 2,
        "precision": "float32",
        **train,
    }
    config = TrainConfig.model_validate(values)
    return RecipeConfig(name="tiny", arch=arch, train=config, seed=seed, faithful=faithful, checkpoint_every=every)


RECIPE = recipe_of()


def halves(images: int = 8, height: int = 32) -> Dataset:
    """Pictures of two halves in different colours, a different part of each unlabelled."""
    rng = np.random.default_rng(0)
    labels = np.zeros((images, height, 64), np.uint8)
    labels[:, :, 32:] = 3
    pixels = (labels[..., None] * 60 + rng.integers(0, 40, (images, height, 64, 3))).astype(np.uint8)
    for number in range(images):
        labels[number, : 2 * number % 16] = 255
    train = Split(pixels, labels, tuple(str(i) for i in range(images)))
    val = Split(pixels[:3], labels[:3], ("v0", "v1", "v2"))
    return Dataset("halves", train, val, CLASS_NAMES, CLASS_COLOURS)


class Notes:
    """Remembers what it heard; does something after a step."""

    def __init__(self, after: dict[int, Callable[[], Any]] | None = None) -> None:
        self.after = after or {}
        self.steps: list[int] = []
        self.texts: list[str] = []
        self.stopped: list[str] = []
        self.callbacks = TrainingCallbacks(self.texts.append, self._progress, self.stopped.append)

    def _progress(self, progress: Progress) -> None:
        self.steps.append(progress.iteration)
        self.after.get(progress.iteration, int)()


def stop() -> None:
    raise KeyboardInterrupt


def stopped_at(step: int, recipe: RecipeConfig, folder: Path, dataset: Dataset) -> Notes:
    notes = Notes({step: stop})
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, folder, dataset, CPU, callbacks=notes.callbacks)
    return notes


def same(one: Any, other: Any) -> bool:
    """Whether two nests of values and tensors are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def assert_same_training(folder: Path, other: Path) -> None:
    """Curve, state, both checkpoints and the result: all but the seconds."""
    assert (folder / "curve.csv").read_bytes() == (other / "curve.csv").read_bytes()
    for name in ("state.pt", "last.pt", "best.pt"):
        mine, theirs = load(folder / name), load(other / name)
        mine.pop("seconds", None), theirs.pop("seconds", None)
        assert same(mine, theirs), name
    results = [json.loads((place / "result.json").read_text()) for place in (folder, other)]
    for result in results:
        del result["last"]["seconds"], result["folder"]
    assert results[0] == results[1]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def unchanged(before: dict[str, tuple[bytes, int]], folder: Path) -> bool:
    """Whether files are as they were; the lock is empty, and taken by whoever looks."""
    now = contents(folder)
    return {name: value for name, value in now.items() if name != ".training.lock"} == {
        name: value for name, value in before.items() if name != ".training.lock"
    }
