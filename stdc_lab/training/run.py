"""A whole training in a folder: it is said what will be done, everything is kept, and it goes on where it stopped."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
from ruamel.yaml import YAML

from stdc_lab.config.reading import differences, read_value
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.data import Dataset
from stdc_lab.errors import CheckpointError, DataError, StudyError
from stdc_lab.machine import choose_dtype, machine_lock
from stdc_lab.nn import build_model
from stdc_lab.nn.checkpoints import load_backbone, read_tensors, save_checkpoint, write_tensors
from stdc_lab.records import CurvePoint, TrainingOutcome
from stdc_lab.training.account import account
from stdc_lab.training.evaluate import evaluate
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.trainer import Curve, Progress, Trainer, is_evaluated, reproducible, result_of
from stdc_lab.training.workers import Workers

RECIPE_FILE, STATE_FILE, CURVE_FILE = "training.yaml", "state.pt", "curve.csv"
LAST_FILE, BEST_FILE, RESULT_FILE, ACCOUNT_FILE = "last.pt", "best.pt", "result.json", "account.txt"
CURVE_FIELDS = ("iteration", "loss", "learning_rate", "miou")
FLUSH_S = 2.0


@dataclass(frozen=True)
class Hears:
    """Who is told of a training: its account before it starts, and every step."""

    account: Callable[[str], None] = lambda text: None
    progress: Callable[[Progress], None] = lambda progress: None


def run_training(
    recipe: RecipeConfig,
    folder: Path,
    dataset: Dataset,
    device: torch.device,
    *,
    pretrained: Path | None = None,
    workers: Workers | None = None,
    hears: Hears | None = None,
) -> TrainingOutcome:
    """Train as the recipe says, in a folder; called again, go on exactly where the last state was written.

    The folder gets the recipe, the account, a curve (a row a step), the state, the last and the best checkpoint and
    the result. Raises `StudyError` if the folder was begun with another recipe, network or data set, `DataError` for
    an empty split, `DivergedError` when the loss is no number any more (the last good state is kept), and
    `CheckpointError` if a file cannot be written (what was written before is kept).
    """
    workers, hears = workers or Workers(), hears or Hears()
    for part, split in (("training", dataset.train), ("validation", dataset.val)):
        if not len(split):
            raise DataError(f"{dataset.name}: no {part} images; a training needs both")
    with _folder_lock(folder, workers):
        _check_same(recipe, folder)
        config = recipe.training
        started = time.monotonic()
        with machine_lock(alone=False), reproducible(recipe.seed, device):
            network = build_model(recipe.arch, len(dataset.class_names), config.heads)
            start = "random weights"
            if pretrained is not None:
                load_backbone(network, pretrained)
                start = f"backbone of {pretrained.name}"
            trainer = Trainer(network, dataset, config, recipe.seed, device, workers)
            files = _Files(folder, recipe, dataset, trainer, start)
            files.resume()
            if workers.first:
                text = account(recipe, dataset, workers, str(device), _precision(recipe, device), start)
                hears.account(text)
                files.begin(text)
            workers.wait()
            first = trainer.iteration
            try:
                for loss, rate in trainer.steps():
                    miou = None
                    if is_evaluated(trainer.iteration, config):
                        miou = files.evaluate() if workers.first else None
                        workers.wait()
                    if workers.first:
                        files.add(loss, rate, miou)
                        if miou is not None or trainer.iteration % recipe.checkpoint_every == 0:
                            files.save()
                    seconds, waited = time.monotonic() - started, trainer.waited_s
                    hears.progress(
                        Progress(trainer.iteration, config.iterations, loss, rate, seconds, miou, first, waited)
                    )
            except KeyboardInterrupt:
                if workers.first:
                    files.save()
                raise
            finally:
                files.close()
            return files.outcome(time.monotonic() - started)


class _Files:
    """What a training's folder holds, and what of it goes into the state."""

    def __init__(self, folder: Path, recipe: RecipeConfig, dataset: Dataset, trainer: Trainer, start: str) -> None:
        self.folder, self.recipe, self.dataset, self.trainer, self.start = folder, recipe, dataset, trainer, start
        self.curve = Curve(recipe.training.iterations)
        self.matrix = ConfusionMatrix(len(dataset.class_names))
        self.best: dict[str, Any] = {"miou": None, "iteration": None}
        self.spent_s = 0.0
        self._started_at = time.monotonic()
        self._rows: list[dict[str, Any]] = []
        self._unwritten: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()
        self._board: Any = None

    def resume(self) -> None:
        """Go back to the last state, if there is one. Raises `StudyError` if it is of something else."""
        path = self.folder / STATE_FILE
        if not path.exists():
            return
        state = read_tensors(path)
        try:
            mine, theirs = self._identity(), state["identity"]
            for what in mine:
                if mine[what] != theirs.get(what):
                    raise StudyError(
                        f"{path}: resuming with another {what}: was {theirs.get(what)}, is {mine[what]}; nothing was "
                        "changed. Use another --out"
                    )
            self.trainer.load_state_dict(state["trainer"])
            self.curve.points = [CurvePoint.model_validate(point) for point in state["curve"]]
            self.curve.pending = list(state["pending"])
            self.matrix.counts = state["matrix"].numpy()
            self.best = dict(state["best"])
            self.spent_s = float(state["seconds"])
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not the state of this training ({type(error).__name__}: {error}); remove it to start anew"
            ) from error

    def begin(self, text: str) -> None:
        """Write what will be done, and the curve as far as the state reaches."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / RECIPE_FILE
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            writer = YAML(typ="safe", pure=True)
            writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
            writer.dump(self.recipe.model_dump(mode="json"), file)
        partial.replace(path)
        (self.folder / ACCOUNT_FILE).write_text(text, encoding="utf-8")
        self._rows = [row for row in _read_rows(self.folder / CURVE_FILE) if row["iteration"] <= self.trainer.iteration]
        with (self.folder / CURVE_FILE).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, CURVE_FIELDS)
            table.writeheader()
            table.writerows(self._rows)
        self._board = _tensorboard(self.folder, self.trainer.iteration)

    def add(self, loss: float, rate: float, miou: float | None) -> None:
        """Hear of a step; the curve's file follows within a few seconds."""
        iteration = self.trainer.iteration
        self.curve.add(iteration, loss, rate, miou)
        self._unwritten.append(
            {
                "iteration": iteration,
                "loss": repr(loss),
                "learning_rate": repr(rate),
                "miou": "" if miou is None else repr(miou),
            }
        )
        if self._board is not None:
            self._board.add_scalar("loss", loss, iteration)
            self._board.add_scalar("learning_rate", rate, iteration)
            if miou is not None:
                self._board.add_scalar("miou", miou, iteration)
        if time.monotonic() - self._flushed_at > FLUSH_S:
            self._flush()

    def evaluate(self) -> float:
        """Evaluate the validation set; the best checkpoint is kept when this is the best."""
        trainer = self.trainer
        self.matrix = evaluate(
            trainer.evaluated, self.dataset.val, len(self.dataset.class_names), trainer.device, trainer.dtype
        )
        miou = self.matrix.miou()
        if not np.isnan(miou) and (self.best["miou"] is None or miou > self.best["miou"]):
            self.best = {"miou": miou, "iteration": trainer.iteration}
            save_checkpoint(self.folder / BEST_FILE, trainer.evaluated, self._protocol(miou))
        return miou

    def save(self) -> None:
        """Write the state and the last checkpoint, each whole or not at all."""
        self._flush()
        write_tensors(
            self.folder / STATE_FILE,
            {
                "identity": self._identity(),
                "trainer": self.trainer.state_dict(),
                "curve": [point.model_dump() for point in self.curve.points],
                "pending": self.curve.pending,
                "matrix": torch.from_numpy(self.matrix.counts),
                "best": self.best,
                "seconds": self.spent_s + time.monotonic() - self._started_at,
            },
        )
        miou = self.matrix.miou() if self.matrix.counts.any() else None
        save_checkpoint(self.folder / LAST_FILE, self.trainer.evaluated, self._protocol(miou))

    def close(self) -> None:
        """Write what is still to be written of the curve."""
        if self.trainer.workers.first:
            self._flush()
            if self._board is not None:
                self._board.close()

    def outcome(self, seconds: float) -> TrainingOutcome:
        """What was reached, last and best, also as a file."""
        result = result_of(self.trainer, self.matrix, self.curve.points, self.spent_s + seconds)
        outcome = TrainingOutcome(
            arch=self.recipe.arch,
            last=result,
            best_miou=self.best["miou"],
            best_iteration=self.best["iteration"],
            folder=str(self.folder),
        )
        if self.trainer.workers.first:
            partial = self.folder / (RESULT_FILE + ".partial")
            partial.write_text(outcome.model_dump_json(indent=1), encoding="utf-8")
            partial.replace(self.folder / RESULT_FILE)
        return outcome

    def _flush(self) -> None:
        with (self.folder / CURVE_FILE).open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, CURVE_FIELDS).writerows(self._unwritten)
        self._unwritten.clear()
        self._flushed_at = time.monotonic()

    def _protocol(self, miou: float | None) -> dict[str, Any]:
        recipe = self.recipe.model_dump(mode="json", include={"name", "data", "seed", "faithful"})
        train = self.recipe.training.model_dump(mode="json")
        return {**recipe, "train": train, "start": self.start, "iteration": self.trainer.iteration, "miou": miou}

    def _identity(self) -> dict[str, str]:
        data = self.dataset
        seen = json.dumps([data.name, data.train.names, data.val.names, data.train.images.shape, data.class_names])
        return {
            "architecture": self.recipe.arch.arch_id,
            "data set": f"{data.name} {hashlib.sha256(seen.encode()).hexdigest()[:10]}",
            "start": self.start,
            "number of processes": str(self.trainer.workers.count),
        }


@contextmanager
def _folder_lock(folder: Path, workers: Workers) -> Iterator[None]:
    """One training at a time in a folder; of several processes the first one holds the lock."""
    if not workers.first:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".training.lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StudyError(f"{folder}: another training is at work on this folder; wait for it or use --out") from None
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written: {error.strerror}; use another --out") from error
    try:
        yield
    finally:
        lock.release()


def _check_same(recipe: RecipeConfig, folder: Path) -> None:
    path = folder / RECIPE_FILE
    if not path.exists():
        return
    old, new = read_value(path, RecipeConfig).model_dump(mode="json"), recipe.model_dump(mode="json")
    changed = [
        f"{key}: was {before!r}, is {after!r}"
        for key, before, after in differences(old, new)
        if key not in ("title", "checkpoint_every")
    ]
    if changed:
        raise StudyError(
            f"{path}: this folder was begun with another training; nothing was changed. Use another --out, or put "
            "back:\n  " + "\n  ".join(changed)
        )


def _precision(recipe: RecipeConfig, device: torch.device) -> str:
    return str(choose_dtype(recipe.train.precision, device)).removeprefix("torch.")


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a curve; one that a killed process left half written is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values() and (row["iteration"] or "").isdigit()]
    return [{**row, "iteration": int(row["iteration"])} for row in rows]


def _tensorboard(folder: Path, iteration: int) -> Any:
    """TensorBoard's writer, steps beyond the state thrown away; None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=iteration + 1)
