"""The proxy training: as short as the study says, evaluated as any training is."""

from __future__ import annotations

import math

import torch

from stdc_lab.config.recipe import RecipeConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import Dataset
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.machine import machine_lock
from stdc_lab.nn import Segmenter
from stdc_lab.search.candidate import Candidate, Judge
from stdc_lab.search.scoring.base import Score, Workplace
from stdc_lab.training import Progress
from stdc_lab.training.boundary import BoundaryScore
from stdc_lab.training.evaluate import evaluate
from stdc_lab.training.run import TrainingCallbacks, run_training

STATES_PER_TRAINING = 10
"""How often a training's state is written, evaluations apart: so much of it at most is done anew after a crash."""


class TrainingScorer:
    """Trains a candidate; a training that was broken off in its folder goes on from its last state."""

    def prepare(self, study: Workplace) -> None:
        """Nothing is to be prepared: trainings know nothing of each other."""
        self.study = study

    def score(self, candidate: Candidate, seed: int) -> Score:
        """Train and evaluate; raises what `run_training` raises."""
        config, dataset, device, judge = self.study.config, self.study.dataset, self.study.device, self.study.judge
        stopped: list[str] = []

        def is_enough(progress: Progress) -> bool:
            reason = judge.score(progress)
            stopped.extend([] if reason is None else [reason])
            return reason is not None

        key = candidate.key(config)
        recipe = RecipeConfig(
            name=f"trial_{key}",
            arch=candidate.spec,
            data=config.data,
            train=candidate.train,
            seed=seed,
            checkpoint_every=max(1, candidate.train.iterations // STATES_PER_TRAINING),
        )
        hears = TrainingCallbacks(progress=judge.progress, is_enough=is_enough, works=judge.works, waits=judge.waits)
        done = run_training(recipe, self.study.runs / key, dataset, device, callbacks=hears, keep_weights=False)
        wants_boundary = "boundary_f" in config.figures
        edges = _boundary_f(done.network, dataset, candidate.train, device, judge) if wants_boundary else None
        return Score(done.outcome.last, done.network, stopped[0] if stopped else None, edges)


SCORER = TrainingScorer


def _boundary_f(
    network: Segmenter, dataset: Dataset, config: TrainConfig, device: torch.device, judge: Judge
) -> float | None:
    """Boundary F-score of the evaluated weights on the validation set; None if no class has a boundary there."""
    classes = len(dataset.class_names)
    boundary, dtype = BoundaryScore(classes), choose_dtype(config.precision, device)
    scales = (config.evaluation_scale,)

    def comes_on(done: int, total: int) -> None:
        judge.works()

    judge.waits()
    with machine_lock(alone=False):
        judge.works()
        evaluate(network, dataset.val, classes, device, dtype, scales=scales, boundary=boundary, on_progress=comes_on)
    score = boundary.mean()
    return score if math.isfinite(score) else None
