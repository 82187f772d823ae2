"""The training of a classifier, whose backbone a segmenter begins with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stdc_lab.config.pretraining import ClassifierTrainConfig, ImagesConfig
from stdc_lab.data import Pixels
from stdc_lab.data.images import ImageFolder, Unreadable, training_batch, validation_batches
from stdc_lab.nn import Classifier
from stdc_lab.records import ClassifierResult, CurvePoint, PretrainingOutcome
from stdc_lab.training.evaluate import evaluating, to_input
from stdc_lab.training.metrics import ConfusionMatrix
from stdc_lab.training.stepper import Stepper
from stdc_lab.training.workers import Workers

EVALUATION_BATCH = 32
NO_LABEL = -1
"""No image is without a class: 255 is one of ImageNet's."""


class ClassifierTrainer(Stepper[Classifier, ClassifierTrainConfig]):
    """A classifier in training on a folder of images."""

    def __init__(
        self,
        network: Classifier,
        images: ImageFolder,
        data: ImagesConfig,
        config: ClassifierTrainConfig,
        seed: int,
        device: torch.device,
        workers: Workers | None = None,
    ) -> None:
        super().__init__(network, config, seed, device, workers)
        self.images, self.data = images, data
        self.unreadable = Unreadable(data.skip_unreadable)

    def make_batch(self, iteration: int, slots: range) -> tuple[Pixels, np.ndarray]:
        config = self.config
        return training_batch(
            self.images.train,
            config.augmentation,
            self.data.size,
            config.batch_size,
            self.seed,
            iteration,
            slots,
            self.unreadable,
        )

    def labelled(self, labels: np.ndarray) -> float:
        return float(len(labels))

    def loss(self, output: Tensor, labels: Tensor, labelled: Tensor) -> Tensor:
        smoothing = self.config.label_smoothing
        total = functional.cross_entropy(output.float(), labels, label_smoothing=smoothing, reduction="sum")
        return total / labelled

    score_name = "top1"

    def score(self, matrix: ConfusionMatrix) -> float:
        return matrix.pixel_accuracy()

    def new_matrix(self) -> ConfusionMatrix:
        return ConfusionMatrix(len(self.images.class_names), NO_LABEL)

    def data_identity(self) -> dict[str, str]:
        images = self.images
        seen = [images.class_names, *([path.name for path in part.paths] for part in (images.train, images.val))]
        return {
            "images": f"{len(images.train)} for training and {len(images.val)} for validation",
            "data set": f"{images.name} {hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:10]}",
        }

    def class_protocol(self) -> dict[str, Any]:
        return {"class_names": list(self.images.class_names)}

    outcome_type = PretrainingOutcome

    def result(self, matrix: ConfusionMatrix, points: Sequence[CurvePoint], seconds: float) -> ClassifierResult:
        """What was reached, from the last evaluation."""
        return ClassifierResult(top1=self.score(matrix), **self.conditions(points, seconds))

    def evaluate(self) -> ConfusionMatrix:
        """One confusion matrix over all validation images, each resized and cropped in the middle.

        The images are decoded by as many threads as in training, while the network sees those before.
        """
        matrix = self.new_matrix()
        network, low = self.evaluated, self.dtype != torch.float32
        batches = validation_batches(
            self.images.val, self.data.size, EVALUATION_BATCH, self.unreadable, self.config.data_workers
        )
        with evaluating(network), torch.autocast(self.device.type, dtype=self.dtype, enabled=low):
            for images, labels in batches:
                guesses = network(to_input(images, self.device)).argmax(dim=1)
                matrix.add(torch.from_numpy(labels).to(self.device), guesses)
        return matrix
