"""Classes weighted as ENet does: against PyTorch's own weighted mean, in parts of a batch, and in a training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from stdc_lab.arch import presets
from stdc_lab.config.data import ScenesConfig
from stdc_lab.config.training import Augmentation, LossConfig, TrainConfig, TrainingHeads
from stdc_lab.data import IGNORE_LABEL
from stdc_lab.errors import ConfigError
from stdc_lab.nn import build_model
from stdc_lab.records import trial_key
from stdc_lab.training.class_weights import class_shares, enet_weights, total_weight
from stdc_lab.training.evaluate import to_input
from stdc_lab.training.losses import cross_entropy
from stdc_lab.training.optimiser import set_training
from stdc_lab.training.trainer import Trainer
from tests.study_folder import study_config
from tests.training.run.tiny import CPU, SPEC, halves

LABELS = np.array([[[0, 0, 1], [1, 0, 255]], [[0, 2, 255], [0, 0, 0]]], np.uint8)


def test_shares_are_of_labelled_pixels() -> None:
    assert class_shares(LABELS, 4).tolist() == [0.7, 0.2, 0.1, 0]
    assert class_shares(np.full((1, 2, 2), IGNORE_LABEL, np.uint8), 2).tolist() == [0, 0]


def test_weights_are_enets() -> None:
    wanted = [1 / math.log(1.02 + share) for share in (0.7, 0.2, 0.1, 0)]
    assert enet_weights(LABELS, 4).tolist() == pytest.approx(wanted, rel=1e-6)
    assert enet_weights(LABELS, 4)[3] == pytest.approx(50.5, abs=0.01)


def test_the_mean_is_over_the_weights_as_pytorchs_is() -> None:
    weights = torch.from_numpy(enet_weights(LABELS, 4))
    logits, labels = (
        torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0)),
        torch.from_numpy(LABELS).long(),
    )
    wanted = functional.cross_entropy(logits, labels, weights, ignore_index=IGNORE_LABEL)
    torch.testing.assert_close(cross_entropy(logits, labels, weights=weights), wanted)
    assert not torch.isclose(cross_entropy(logits, labels), wanted)


def test_parts_of_a_batch_are_the_whole() -> None:
    weights = enet_weights(LABELS, 4)
    logits, labels = (
        torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0)),
        torch.from_numpy(LABELS).long(),
    )
    share, tensor = total_weight(LABELS, weights) / 2, torch.from_numpy(weights)
    parts = [cross_entropy(logits[one : one + 1], labels[one : one + 1], share, tensor) for one in range(2)]
    torch.testing.assert_close(sum(parts) / 2, cross_entropy(logits, labels, weights=tensor))


def test_without_weights_pixels_are_counted() -> None:
    assert total_weight(LABELS, None) == 10
    assert total_weight(LABELS, np.ones(4, np.float32)) == 10


def test_a_training_weighs_by_its_training_labels() -> None:
    dataset = halves()
    config = TrainConfig(iterations=2, batch_size=2, warmup_iterations=1, evaluations=1, precision="float32")
    losses = {}
    for choice in ("none", "enet"):
        wanted = config.replace(loss=LossConfig(class_weights=choice))
        network = build_model(SPEC, len(dataset.class_names), wanted.heads, seed=0)
        trainer = Trainer(network, dataset, wanted, 0, CPU)
        if choice == "enet":
            assert trainer.class_weights is not None
            np.testing.assert_array_equal(
                trainer.class_weights, enet_weights(dataset.train.labels, len(dataset.class_names))
            )
        losses[choice] = next(iter(trainer.steps()))[0]
    assert losses["none"] != losses["enet"]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_first_loss_of_a_training_is_pytorchs(accumulation: int) -> None:
    # Parts with unlike shares of unlabelled pixels; frozen norms, which see nothing of a batch.
    dataset = halves()
    assert len({int((labels == IGNORE_LABEL).sum()) for labels in dataset.train.labels}) > 1
    config = TrainConfig(
        iterations=2, batch_size=4, warmup_iterations=1, evaluations=1, precision="float32", norms="frozen",
        accumulation=accumulation, heads=TrainingHeads(auxiliary=True, detail_strides=()),
        loss=LossConfig(class_weights="enet", auxiliary=0.5), augmentation=Augmentation(scale=(1, 1), colour=0),
    )  # fmt: skip
    network = build_model(SPEC, len(dataset.class_names), config.heads, seed=0)
    trainer = Trainer(network, dataset, config, 0, CPU)
    images, labels = trainer.make_batch(0, range(4))
    with torch.no_grad():
        set_training(network, config)
        output = network(to_input(images, CPU))
    weights = torch.from_numpy(enet_weights(dataset.train.labels, len(dataset.class_names)))
    terms = [
        float(functional.cross_entropy(logits, torch.from_numpy(labels).long(), weights, ignore_index=IGNORE_LABEL))
        for logits in (output.logits, *output.auxiliary)
    ]
    assert next(iter(trainer.steps()))[0] == pytest.approx(terms[0] + 0.5 * sum(terms[1:]), rel=1e-5)


def test_labels_of_the_validation_images_do_not_count() -> None:
    dataset = halves()
    other = replace(dataset.val, labels=np.full_like(dataset.val.labels, 7))
    config = TrainConfig(
        iterations=2, batch_size=2, warmup_iterations=1, evaluations=1, loss=LossConfig(class_weights="enet")
    )
    trained = [
        Trainer(build_model(SPEC, 11, config.heads, seed=0), data, config, 0, CPU).class_weights
        for data in (dataset, replace(dataset, val=other))
    ]
    np.testing.assert_array_equal(trained[0], trained[1])


def test_fewer_labelled_pixels_than_parts_still_give_the_whole_batchs_loss() -> None:
    logits = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.full((4, 2, 2), IGNORE_LABEL)
    labels[2, 0, 1] = 1
    share = total_weight(labels.numpy().astype(np.uint8), None) / 4
    parts = [cross_entropy(logits[one : one + 1], labels[one : one + 1], share) for one in range(4)]
    torch.testing.assert_close(torch.stack(parts).sum() / 4, cross_entropy(logits, labels))
    assert float(cross_entropy(logits[:1], labels[:1], 0.0)) == 0


def test_a_plan_can_vary_them() -> None:
    plan = {"arms": {"alike": {}, "weighted": {"loss.class_weights": "enet"}}, "seeds": [0]}
    config = study_config(plan=plan)
    assert config.plan is not None
    assert config.plan.training_of("alike", config.train).loss.class_weights == "none"
    assert config.plan.training_of("weighted", config.train).loss.class_weights == "enet"


def test_keys_of_trainings_without_weights_stay() -> None:
    plain, data = TrainConfig(), ScenesConfig()
    weighted = plain.replace(loss=LossConfig(class_weights="enet"))
    assert trial_key(presets["stdc1"], plain, data, 0) == "9d031104bd4eaae8"
    assert trial_key(presets["stdc1"], weighted, data, 0) != trial_key(presets["stdc1"], plain, data, 0)


def test_hard_pixels_are_not_weighted_too() -> None:
    with pytest.raises(ConfigError, match="class_weights: enet goes with cross_entropy: mean"):
        LossConfig().replace(cross_entropy="ohem", class_weights="enet")
