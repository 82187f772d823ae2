"""What a training's folder holds, and how it goes on from there."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import torch
from pydantic import ValidationError

from stdc_lab.config.pretraining import PretrainConfig
from stdc_lab.config.reading import differences, read_value, yaml_text
from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.errors import CheckpointError, StudyError
from stdc_lab.files import append_text, read_bytes, remove_leftovers, write_text
from stdc_lab.nn.checkpoints import read_tensors, save_checkpoint, write_tensors
from stdc_lab.records import CurvePoint, PretrainingOutcome, TrainingOutcome, mixed_computing
from stdc_lab.training.board import Board
from stdc_lab.training.classifier import ClassifierTrainer
from stdc_lab.training.trainer import Curve, Trainer

RECIPE_FILE, STATE_FILE, CURVE_FILE = "training.yaml", "state.pt", "curve.csv"
LAST_FILE, BEST_FILE, RESULT_FILE, ACCOUNT_FILE = "last.pt", "best.pt", "result.json", "account.txt"
CURVE_FIELDS = ("iteration", "loss", "learning_rate")
"""And the score, `miou` or `top1`."""
FREE_TO_CHANGE = ("title", "checkpoint_every", "train.data_workers")
"""What has no effect on the weights."""
FLUSH_S = 2.0
Outcome = TrainingOutcome | PretrainingOutcome


class TrainingFolder:
    """A training's files: it is begun or resumed, then hears of every step. Of several processes, the first writes."""

    def __init__(
        self,
        folder: Path,
        recipe: RecipeConfig | PretrainConfig,
        trainer: Trainer | ClassifierTrainer,
        start: str,
        keep_weights: bool = True,
    ) -> None:
        self.folder, self.recipe, self.trainer, self.start = folder, recipe, trainer, start
        self.keep_weights = keep_weights
        self.score_name = trainer.score_name
        self.fields = (*CURVE_FIELDS, self.score_name)
        self.curve = Curve(trainer.config.iterations, self.score_name)
        self.matrix = trainer.new_matrix()
        self.best: dict[str, Any] = {"score": None, "iteration": None}
        self.saved_at: int | None = None
        """Iteration of the state that is written; None if none is."""
        self.seconds = 0.0
        """Spent on the training until that state."""
        self._spent_s = 0.0
        self._started_at = time.monotonic()
        self._unwritten: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()
        self._board: Board | None = None

    def resume(self) -> None:
        """Go back to the last state, if there is one. Raises `StudyError` if it is of something else."""
        path = self.folder / STATE_FILE
        if not path.exists():
            return
        state = read_tensors(path)
        try:
            mine, theirs = self._identity(), dict(state["identity"])
            other = [
                f"{what}: was {theirs[what]}, is {mine[what]}"
                for what in mine
                if what in theirs and theirs[what] != mine[what]
            ]
            if other:
                raise StudyError(
                    f"{path}: this folder was begun with another training; nothing was changed. Use another --out, or "
                    "put back:\n  " + "\n  ".join(other)
                )
            self.trainer.load_state_dict(state["trainer"])
            self.curve.points = [CurvePoint.model_validate(point) for point in state["curve"]]
            self.curve.pending = list(state["pending"])
            self.matrix.counts = state["matrix"].numpy()
            self.best = dict(state["best"])
            self._spent_s = self.seconds = float(state["seconds"])
            self.saved_at = self.trainer.iteration
        except (KeyError, IndexError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not the state of this training ({type(error).__name__}: {error}); remove it to start anew"
            ) from error

    def begin(self, account: str) -> None:
        """Write what will be done, and the curve as far as the state reaches."""
        files = (RECIPE_FILE, ACCOUNT_FILE, CURVE_FILE, STATE_FILE, LAST_FILE, BEST_FILE, RESULT_FILE)
        remove_leftovers(*(self.folder / name for name in files))
        write_text(self.folder / RECIPE_FILE, yaml_text(self.recipe), CheckpointError)
        write_text(self.folder / ACCOUNT_FILE, account, CheckpointError)
        path = self.folder / CURVE_FILE
        kept = [row for row in _read_rows(path, self.fields) if int(row["iteration"]) <= self.trainer.iteration]
        write_text(path, _csv(kept, self.fields, header=True), CheckpointError)
        self._board = Board(self.folder, self.trainer.iteration)

    def add(self, loss: float, rate: float, score: float | None) -> None:
        """Hear of a step; the curve's file follows within a few seconds."""
        iteration = self.trainer.iteration
        self.curve.add(iteration, loss, rate, score)
        shown = "" if score is None else repr(score)
        row = {"iteration": iteration, "loss": repr(loss), "learning_rate": repr(rate), self.score_name: shown}
        self._unwritten.append(row)
        if self._board is not None:
            values = {"loss": loss, "learning_rate": rate}
            self._board.add(iteration, values if score is None else {**values, self.score_name: score})
        if time.monotonic() - self._flushed_at > FLUSH_S:
            self._flush()

    def evaluate(self) -> float:
        """Evaluate the validation set; the best checkpoint is kept when this is the best."""
        trainer = self.trainer
        self.matrix = trainer.evaluate()
        score = trainer.score(self.matrix)
        if self.best["score"] is None or score > self.best["score"]:
            self.best = {"score": score, "iteration": trainer.iteration}
            if self.keep_weights:
                save_checkpoint(self.folder / BEST_FILE, trainer.evaluated, self._protocol(score))
        return score

    def save(self) -> None:
        """Write the last checkpoint and the state, each whole or not at all; nothing if this state is written."""
        iteration = self.trainer.iteration
        if self.saved_at == iteration:
            return
        self._flush()
        # The state comes last: once it is there, everything that belongs to it is.
        if self.keep_weights:
            self.save_last()
        seconds = self._spent_s + time.monotonic() - self._started_at
        write_tensors(
            self.folder / STATE_FILE,
            {
                "identity": self._identity(),
                "trainer": self.trainer.state_dict(),
                "curve": [point.model_dump() for point in self.curve.points],
                "pending": self.curve.pending,
                "matrix": torch.from_numpy(self.matrix.counts),
                "best": self.best,
                "seconds": seconds,
            },
        )
        self.seconds, self.saved_at = seconds, iteration

    def save_last(self) -> None:
        """Write the last checkpoint, with its score if just these weights were evaluated."""
        point = self.curve.points[-1] if self.curve.points else None
        fresh = point is not None and point.iteration == self.trainer.iteration
        score = getattr(point, self.score_name) if fresh else None
        save_checkpoint(self.folder / LAST_FILE, self.trainer.evaluated, self._protocol(score))

    def close(self) -> None:
        """Write what is still to be written of the curve."""
        if self.trainer.workers.first:
            if self._board is not None:
                self._board.close()
            self._flush()

    def kept(self) -> str:
        """In words: from where the training can go on."""
        if self.saved_at is None:
            return f"no state was written to {self.folder} yet"
        return f"the state of iteration {self.saved_at:,} is kept in {self.folder}"

    def outcome(self) -> Outcome:
        """What was reached, last and best, also as a file."""
        outcome = self.trainer.outcome_type.model_validate(
            {
                **self.recipe.model_dump(include={"arch", "own_network"}),
                "last": self.trainer.result(self.matrix, self.curve.points, self.seconds),
                f"best_{self.score_name}": self.best["score"],
                "best_iteration": self.best["iteration"],
                "folder": str(self.folder),
            }
        )
        write_text(self.folder / RESULT_FILE, outcome.model_dump_json(indent=1), CheckpointError)
        return outcome

    def finished(self) -> Outcome:
        """What a training that was finished before has reached, as it said then; a file that is gone is made anew."""
        if self.keep_weights and not (self.folder / LAST_FILE).exists():
            self.save_last()
        path = self.folder / RESULT_FILE
        try:
            said = self.trainer.outcome_type.model_validate_json(read_bytes(path))
        except (OSError, ValidationError):
            return self.outcome()
        return said.replace(folder=str(self.folder))

    def _flush(self) -> None:
        append_text(self.folder / CURVE_FILE, _csv(self._unwritten, self.fields), CheckpointError)
        self._unwritten.clear()
        self._flushed_at = time.monotonic()

    def _protocol(self, score: float | None) -> dict[str, Any]:
        recipe = self.recipe.model_dump(mode="json", include={"name", "data", "seed", "faithful"})
        train = self.recipe.training.model_dump(mode="json")
        reached = {"start": self.start, "iteration": self.trainer.iteration, self.score_name: score}
        mixed = mixed_computing(self.trainer.computed)
        if mixed is not None:
            reached["computed"] = mixed
        return {**recipe, "train": train, **reached, **self.trainer.class_protocol()}

    def _identity(self) -> dict[str, str]:
        described = self.trainer.network.description
        return {
            "architecture": described.get("own_network") or described["arch_id"],
            **self.trainer.data_identity(),
            "start": self.start,
            "number of processes": str(self.trainer.workers.count),
        }


@contextmanager
def training_lock(folder: Path) -> Iterator[None]:
    """One training at a time in a folder. Raises `StudyError` for a second one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".training.lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise StudyError(
            f"{folder}: another training is at work on this folder; wait for it or use another --out"
        ) from None
    except OSError as error:
        raise StudyError(f"{folder}: cannot be written: {error.strerror}; use another --out") from error
    try:
        yield
    finally:
        lock.release()


def check_same_recipe(recipe: RecipeConfig | PretrainConfig, folder: Path) -> None:
    """Raise `StudyError` if the folder's state came about by another recipe. Without a state there is nothing yet that
    another recipe could spoil."""
    path = folder / RECIPE_FILE
    if not path.exists() or not (folder / STATE_FILE).exists():
        return
    old, new = read_value(path, type(recipe)).model_dump(mode="json"), recipe.model_dump(mode="json")
    changed = [
        f"{key}: was {before!r}, is {after!r}"
        for key, before, after in differences(old, new)
        if key not in FREE_TO_CHANGE
    ]
    if changed:
        raise StudyError(
            f"{path}: this folder was begun with another training; nothing was changed. Use another --out, or put "
            "back:\n  " + "\n  ".join(changed)
        )


def _csv(rows: list[dict[str, Any]], fields: Sequence[str], *, header: bool = False) -> str:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fields)
    if header:
        table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _read_rows(path: Path, fields: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a curve; one that a killed process left half written is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.DictReader(file) if set(row) == set(fields) and None not in row.values()]
    return [row for row in rows if row["iteration"].isdecimal()]
