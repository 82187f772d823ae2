from pathlib import Path

import numpy as np
import pytest
import torch

from stdc_lab.config.training import LossConfig
from stdc_lab.nn import SegOutput
from stdc_lab.training.losses import cross_entropy, detail_loss, detail_targets, ohem_cross_entropy, training_loss


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
    weights = LossConfig(main=2, auxiliary=0.5, detail_bce=3, detail_dice=0.25)
    bce, dice = detail_loss(detail, detail_targets(labels))
    expected = 2 * cross_entropy(main, labels) + 0.5 * cross_entropy(auxiliary, labels) + 3 * bce + 0.25 * dice
    assert training_loss(output, labels, weights) == pytest.approx(float(expected), rel=1e-6)
    assert training_loss(SegOutput(main), labels, weights) == pytest.approx(2 * float(cross_entropy(main, labels)))


@pytest.fixture
def stored() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("losses.npz")) as file:
        return dict(file)


def test_ohem_agrees_with_the_released_one(stored: dict[str, np.ndarray]) -> None:
    labels = torch.from_numpy(stored["labels"]).long()
    logits = torch.from_numpy(
        np.random.default_rng(int(stored["logits_seed"])).standard_normal((2, 19, 64, 96))
    ).float()
    kept = 2 * 64 * 96 // 16
    assert float(ohem_cross_entropy(logits, labels, 0.7, kept)) == pytest.approx(float(stored["ohem"]), rel=1e-5)
    assert float(ohem_cross_entropy(logits * 4, labels, 0.7)) == pytest.approx(float(stored["ohem_sharp"]), rel=1e-5)


def test_ohem_keeps_the_hardest_where_few_are_hard() -> None:
    labels = torch.zeros(1, 2, 8, dtype=torch.long)
    labels[0, 0, 0] = 255
    logits = torch.zeros(1, 2, 2, 8)
    logits[:, 0] = 5 + torch.arange(16.0).reshape(1, 2, 8) / 10
    logits[0, 1, 0, 3] = 20
    pixel = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none").flatten()
    assert float(ohem_cross_entropy(logits, labels, 0.7, 4)) == pytest.approx(float(pixel.sort().values[-4:].mean()))
    assert float(ohem_cross_entropy(logits, labels, 0.7)) == pytest.approx(float(pixel.max()))


def test_ohem_of_a_batch_without_labels_is_zero() -> None:
    assert float(ohem_cross_entropy(torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), 255))) == 0


def test_corrected_targets_are_two_sided_and_blind_to_ids_to_ignored_pixels_and_to_the_border() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, :, 16:] = 3
    labels[:, 20:] = 255
    for ids in (labels, torch.where(labels == 255, 255, 3 - labels)):
        target = detail_targets(ids, "corrected", (1,))[0, 0]
        assert target[:20, 15:17].eq(1).all()
        assert target[:20, :15].eq(0).all()
        assert target[:20, 17:].eq(0).all()
        assert target[20:].eq(0).all()
        released = detail_targets(ids, "released", (1,))[0, 0]
        assert released[0].any() and released[20].any()


def test_three_classes_whose_ids_cancel_are_an_edge_all_the_same() -> None:
    labels = torch.full((1, 1, 9), 2)
    labels[0, 0, :4], labels[0, 0, 5:] = 1, 3
    assert detail_targets(labels, "corrected", (1,))[0, 0, 0, 3:6].eq(1).all()


@pytest.mark.parametrize("form", ["released", "corrected"])
def test_a_single_stride_counts_fully(form: str) -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, :, 16:] = 3
    for stride in (1, 2, 4):
        target = detail_targets(labels, form, (stride,))[0, 0]  # type: ignore[arg-type]
        assert target[8:24].any()
        # An edge found at a stride is as wide as the stride when it is brought to full size.
        columns = target[12].nonzero().flatten().tolist()
        assert set(columns) >= set(range(16, 16 + stride))


def test_a_pixel_seen_at_stride_four_only_never_counts_in_the_released_target() -> None:
    # 0.1 in float32 is not above 0.1: the target is what strides 1 and 2 see.
    labels = torch.randint(0, 5, (2, 64, 64), generator=torch.Generator().manual_seed(0)).repeat_interleave(4, 1)
    both = detail_targets(labels, "released", (1, 2), torch.tensor([0.6, 0.3]))
    assert torch.equal(detail_targets(labels), both)


def test_weights_of_the_strides_decide_which_count() -> None:
    labels = torch.randint(0, 5, (1, 64, 64), generator=torch.Generator().manual_seed(0))
    shrunk = detail_targets(labels, weights=torch.tensor([0.12, 0.06, 0.02]))
    alone = detail_targets(labels, strides=(1,))
    assert shrunk.sum() < detail_targets(labels).sum()
    assert (shrunk >= alone).all()


def test_balanced_cross_entropy_weighs_both_classes_alike() -> None:
    targets = torch.zeros(1, 1, 8, 8)
    targets[..., :1] = 1
    edges_wrong, rest_wrong = torch.full((1, 1, 8, 8), -5.0), torch.full((1, 1, 8, 8), 5.0)
    assert detail_loss(edges_wrong, targets)[0] < detail_loss(rest_wrong, targets)[0] / 3
    ours = [float(detail_loss(logits, targets, "balanced")[0]) for logits in (edges_wrong, rest_wrong)]
    assert ours[0] == pytest.approx(ours[1])


def test_each_piece_can_be_switched() -> None:
    labels = torch.randint(0, 3, (2, 16, 16))
    output = SegOutput(torch.randn(2, 3, 16, 16), (), (torch.randn(2, 1, 4, 4),))
    targets = detail_targets(labels, "corrected", (1, 2))
    bce, dice = detail_loss(output.details[0], targets, "balanced")
    shared = {"detail_target": "corrected", "detail_target_strides": (1, 2), "detail_weighting": "balanced"}
    main = ohem_cross_entropy(output.logits, labels, 0.9, 2 * 16 * 16 // 4)
    for weights, expected in (((1, 0), bce), ((0, 1), dice)):
        config = LossConfig(
            detail_bce=weights[0], detail_dice=weights[1], cross_entropy="ohem", ohem_threshold=0.9, ohem_min_kept=0.25,
            **shared,  # type: ignore[arg-type]
        )  # fmt: skip
        assert float(training_loss(output, labels, config)) == pytest.approx(float(main + expected), rel=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    logits, labels = torch.randn(4, 3, 8, 8), torch.randint(0, 3, (4, 8, 8))
    labels[0] = 255
    whole = training_loss(SegOutput(logits), labels, LossConfig())
    share = (labels != 255).sum() / 2
    parts = [
        training_loss(SegOutput(logits[i : i + 2]), labels[i : i + 2], LossConfig(), labelled=share) for i in (0, 2)
    ]
    assert float(sum(parts) / 2) == pytest.approx(float(whole), rel=1e-6)
