import math
import warnings

import numpy as np
import pytest
import torch

from stdc_lab.training.metrics import ConfusionMatrix


def test_agrees_with_an_independent_implementation() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics' own imports warn
        from torchmetrics.classification import MulticlassJaccardIndex
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (4, 20, 30), generator=generator)
    labels[:, :3] = 255
    predictions = torch.randint(0, 5, (4, 20, 30), generator=generator)
    oracle = MulticlassJaccardIndex(5, average=None, ignore_index=255)
    oracle.update(predictions, labels)
    matrix = ConfusionMatrix(5)
    for image in range(4):  # one by one: the parts must add up to the whole
        matrix.add(labels[image : image + 1], predictions[image : image + 1])
    assert matrix.class_iou() == pytest.approx(oracle.compute().numpy(), rel=1e-6)
    assert matrix.miou() == pytest.approx(float(oracle.compute().mean()), rel=1e-6)
    kept = labels != 255
    assert matrix.pixel_accuracy() == pytest.approx(float((labels == predictions)[kept].float().mean()), rel=1e-6)


def test_classes_that_occur_nowhere_do_not_count_and_wrongly_predicted_ones_do() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 0, 1, 2]]]))
    iou = matrix.class_iou()
    assert iou[:3].tolist() == [1.0, 0.5, 0.0]
    assert math.isnan(iou[3])
    assert matrix.miou() == pytest.approx(0.5)


def test_miou_is_not_the_mean_of_the_batches() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(torch.tensor([[[0, 0, 0, 0]]]), torch.tensor([[[0, 0, 0, 0]]]))
    matrix.add(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[1, 1, 1, 1]]]))
    assert matrix.class_iou() == pytest.approx([4 / 5, 3 / 4])


def test_nothing_labelled_is_not_a_number() -> None:
    matrix = ConfusionMatrix(2)
    matrix.add(torch.full((1, 2, 2), 255, dtype=torch.uint8), torch.zeros(1, 2, 2, dtype=torch.long))
    assert np.isnan(matrix.miou())
    assert np.isnan(matrix.pixel_accuracy())
