"""One trial: time the network, score it, keep what came of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import IGNORE_LABEL, Dataset
from stdc_lab.errors import StudyError
from stdc_lab.files import write_bytes, write_text
from stdc_lab.hardware.devices import choose_dtype
from stdc_lab.nn import Segmenter
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.profiling import profile
from stdc_lab.records import ProfileResult, TrialRecord
from stdc_lab.search.candidate import Candidate, Judge
from stdc_lab.search.folder import read_record
from stdc_lab.search.known_costs import Cost, is_suspect, marked
from stdc_lab.search.scoring import Workplace, find_scorer
from stdc_lab.training.evaluate import predict
from stdc_lab.training.folder import (
    ACCOUNT_FILE,
    BEST_FILE,
    CURVE_FILE,
    LAST_FILE,
    RECIPE_FILE,
    RESULT_FILE,
    STATE_FILE,
)

SAMPLES = 3
RECORD_FILE, CHECKPOINT_FILE, LOG_FILE = "trial.json", "checkpoint.pt", "worker.log"
_OF_THE_TRAINING = (
    RECIPE_FILE, STATE_FILE, LAST_FILE, BEST_FILE, RESULT_FILE, ACCOUNT_FILE, ".training.lock", LOG_FILE
)  # fmt: skip
"""What a trial's folder holds only until its record is written."""


def run_trial(
    candidate: Candidate,
    study: StudyConfig,
    dataset: Dataset,
    runs: Path,
    device: torch.device,
    *,
    known_profile: ProfileResult | None = None,
    beside: Sequence[Cost] = (),
    judge: Judge | None = None,
) -> TrialRecord | None:
    """Profile (unless the architecture's profile is known), score, and keep record, curve, weights and samples.

    They go into `runs/<trial_key>/`; `trial.json` is written last, so where it is, all is. A training that was broken
    off there before goes on from its last state; of one that is finished there only the cost is measured anew. None if
    the judge would not have it trained at this cost.
    """
    judge = judge or Judge()
    key = candidate.key(study)
    cost = known_profile or measure_cost(candidate, study, len(dataset.class_names), device, beside)
    if judge.cost(cost) is not None:
        return None
    folder = runs / key
    finished = read_record(runs.parent, key)
    if finished is not None:
        return _keep(finished.replace(profile=cost), folder)
    scorer = find_scorer(study.scorer)
    scorer.prepare(Workplace(study, dataset, runs, device, judge))
    scored = scorer.score(candidate, candidate.seed)
    record = TrialRecord(
        number=candidate.number,
        arch=candidate.spec,
        arch_id=candidate.spec.arch_id,
        trial_key=key,
        reference=candidate.reference,
        confirms=candidate.confirms,
        train=candidate.train,
        data=study.data,
        seed=candidate.seed,
        profile=cost,
        result=scored.result,
        stopped=scored.stopped,
        retried=candidate.retried,
        boundary_f=scored.boundary_f,
    )
    protocol = record.model_dump(mode="json", include={"train", "data", "seed", "reference", "trial_key"})
    protocol |= {"miou": record.result.miou, "legend": dataset.legend, "contents": dataset.part_contents}
    save_checkpoint(folder / CHECKPOINT_FILE, scored.network, protocol)
    write_samples(folder / "predictions", scored.network, dataset, device, candidate.train)
    return _keep(record, folder)


def measure_cost(
    candidate: Candidate, study: StudyConfig, num_classes: int, device: torch.device, beside: Sequence[Cost] = ()
) -> ProfileResult:
    """What a network costs as its study asks. A latency far above what networks near in size predict is measured once
    more; the lower of both stands, marked where it is no more likely."""

    def measure() -> ProfileResult:
        return profile(
            candidate.spec,
            num_classes=num_classes,
            latency=study.latency,
            counters=False,
            device=device,
            reference=study.latency_reference,
        )

    cost = measure()
    if not is_suspect(cost, beside):
        return cost
    cost = min(cost, measure(), key=lambda one: math.inf if one.latency is None else one.latency.median_ms)
    if not is_suspect(cost, beside) or cost.latency is None:
        return cost
    return cost.replace(latency=marked(cost.latency))


def _keep(record: TrialRecord, folder: Path) -> TrialRecord:
    write_text(folder / RECORD_FILE, record.model_dump_json(indent=1), StudyError)
    tidy(folder)
    return record


def tidy(folder: Path) -> None:
    """Remove what only an unfinished training needs: a study holds as many folders as trials."""
    for name in (*_OF_THE_TRAINING, "events.out.tfevents.*", ".*.partial"):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)


def keep_reasons(folder: Path) -> None:
    """Remove all that a trial which failed has left, but what tells why: the worker's log and the training's curve.

    Gone on with, it would fail again. A training that was finished all the same, its record written, is kept.
    """
    if (folder / RECORD_FILE).exists():
        return
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (LOG_FILE, CURVE_FILE):
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove all of a training that cannot go on."""
    shutil.rmtree(folder, ignore_errors=True)


def write_samples(
    folder: Path, network: Segmenter, dataset: Dataset, device: torch.device, config: TrainConfig
) -> None:
    """Panels (image, labels, prediction side by side) of a few validation images, and the legend's colours."""
    folder.mkdir(exist_ok=True)
    chosen = np.linspace(0, len(dataset.val) - 1, min(SAMPLES, len(dataset.val))).round().astype(int)
    images, labels = dataset.val.images[chosen], dataset.val.labels[chosen]
    predictions = predict(network, images, device, choose_dtype(config.precision, device)).cpu().numpy()
    gap = np.full((images.shape[1], 4, 3), 255, dtype=np.uint8)
    for index, image, truth, guess in zip(chosen, images, labels, predictions, strict=True):
        panel = np.hstack([image, gap, coloured(truth, dataset), gap, coloured(guess, dataset)])
        encoded = cv2.imencode(".png", np.ascontiguousarray(panel[..., ::-1]))[1]
        write_bytes(folder / f"{index:04d}.png", encoded.tobytes(), StudyError)
    write_text(folder / "legend.json", json.dumps(dataset.legend), StudyError)


def coloured(labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Class ids H×W as colours H×W×3 (RGB, uint8); unlabelled pixels black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.class_colours)] = dataset.class_colours
    palette[IGNORE_LABEL] = 0
    return np.asarray(palette[labels], np.uint8)
