from pathlib import Path

import numpy as np
import pytest
import torch

from stdc_lab.config.training import LossWeights
from stdc_lab.nn import SegOutput
from stdc_lab.training.losses import cross_entropy, detail_loss, detail_targets, training_loss


def test_the_detail_loss_agrees_with_the_released_one() -> None:
    with np.load(Path(__file__).with_name("losses.npz")) as stored:
        labels = torch.from_numpy(stored["labels"]).long()
        logits = np.random.default_rng(int(stored["detail_logits_seed"])).standard_normal((2, 1, 8, 12))
        bce, dice = detail_loss(torch.from_numpy(logits).float(), detail_targets(labels))
        assert float(bce) == pytest.approx(float(stored["bce"]), rel=1e-5)
        assert float(dice) == pytest.approx(float(stored["dice"]), rel=1e-5)


def test_detail_targets_lie_on_class_borders_only() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, :, 16:] = 3
    target = detail_targets(labels)[0, 0, 4:-4, 4:-4]
    # One-sided, as released: the side with the larger class id.
    assert target[:, 12].eq(1).all()
    assert target[:, :10].eq(0).all()
    assert target[:, 16:].eq(0).all()


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    labels[0, :2] = 255
    picked = logits.log_softmax(1).permute(0, 2, 3, 1)[labels != 255]
    expected = -picked.gather(1, labels[labels != 255][:, None]).mean()
    assert cross_entropy(logits, labels) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_without_labels_gives_zero_loss_and_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), 255))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert logits.grad.eq(0).all()


def test_each_term_enters_with_its_weight() -> None:
    labels = torch.randint(0, 3, (2, 16, 16))
    main, auxiliary, detail = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16), torch.randn(2, 1, 4, 4)
    output = SegOutput(main, (auxiliary,), (detail,))
    weights = LossWeights(main=2, auxiliary=0.5, detail_bce=3, detail_dice=0.25)
    bce, dice = detail_loss(detail, detail_targets(labels))
    expected = 2 * cross_entropy(main, labels) + 0.5 * cross_entropy(auxiliary, labels) + 3 * bce + 0.25 * dice
    assert training_loss(output, labels, weights) == pytest.approx(float(expected), rel=1e-6)
    assert training_loss(SegOutput(main), labels, weights) == pytest.approx(2 * float(cross_entropy(main, labels)))
