"""One trial: time the network, train it, keep what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from stdc_lab.arch import ArchSpec
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import IGNORE_LABEL, Dataset
from stdc_lab.errors import StdcLabError
from stdc_lab.machine import choose_dtype
from stdc_lab.nn import StdcSegmenter
from stdc_lab.nn.checkpoints import save_checkpoint
from stdc_lab.profiling import profile
from stdc_lab.records import ProfileResult, TrialRecord, trial_key
from stdc_lab.training import Progress, train
from stdc_lab.training.evaluate import predict

SAMPLES = 3


@dataclass(frozen=True)
class Candidate:
    """What a trial is to find out about."""

    number: int
    spec: ArchSpec
    train: TrainConfig
    seed: int
    reference: str | None = None

    def key(self, study: StudyConfig) -> str:
        """The key of its training, see `trial_key`."""
        return trial_key(self.spec, self.train, study.data, self.seed)


def run_trial(
    candidate: Candidate,
    study: StudyConfig,
    dataset: Dataset,
    runs: Path,
    device: torch.device,
    *,
    known_profile: ProfileResult | None = None,
    on_profile: Callable[[ProfileResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrialRecord:
    """Profile (unless the architecture's profile is known), train, and keep record, weights and samples.

    They go into `runs/<trial_key>/`; `trial.json` is written last, so where it is, all is.
    """
    key = candidate.key(study)
    cost = known_profile or profile(
        candidate.spec, num_classes=len(dataset.class_names), latency=study.latency, device=device
    )
    if on_profile is not None:
        on_profile(cost)
    trained = train(
        candidate.spec, dataset, candidate.train, seed=candidate.seed, device=device, on_progress=on_progress
    )
    record = TrialRecord(
        number=candidate.number,
        arch=candidate.spec,
        arch_id=candidate.spec.arch_id,
        trial_key=key,
        reference=candidate.reference,
        train=candidate.train,
        data=study.data,
        seed=candidate.seed,
        profile=cost,
        result=trained.result,
    )
    folder = runs / key
    folder.mkdir(parents=True, exist_ok=True)
    protocol = record.model_dump(mode="json", include={"train", "data", "seed", "reference", "trial_key"})
    save_checkpoint(
        folder / "checkpoint.pt", trained.network, protocol | {"miou": record.result.miou, "legend": dataset.legend}
    )
    write_samples(folder / "predictions", trained.network, dataset, device, candidate.train)
    write_text(folder / "trial.json", record.model_dump_json(indent=1))
    return record


def write_samples(
    folder: Path, network: StdcSegmenter, dataset: Dataset, device: torch.device, config: TrainConfig
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
        (folder / f"{index:04d}.png").write_bytes(encoded.tobytes())
    write_text(folder / "legend.json", json.dumps(dataset.legend))


def coloured(labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Class ids H×W as colours H×W×3 (RGB, uint8); unlabelled pixels black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.class_colours)] = dataset.class_colours
    palette[IGNORE_LABEL] = 0
    return np.asarray(palette[labels], np.uint8)


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all. Raises `StdcLabError` if it cannot be written."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StdcLabError(f"{path}: cannot be written: {error.strerror}") from error
