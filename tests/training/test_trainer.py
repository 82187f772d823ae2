import numpy as np
import pytest
import torch

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.training import Augmentation, TrainConfig, TrainingHeads
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, Dataset, Split
from stdc_lab.training import DivergedError, Progress, train

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 16, 16))
CONFIG = TrainConfig(
    iterations=8,
    batch_size=4,
    warmup_iterations=1,
    learning_rate=0.05,
    ema_decay=0.5,
    evaluations=2,
    precision="float32",
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Halves of a picture told apart by their colour: learned in a few steps."""
    rng = np.random.default_rng(0)
    labels = np.zeros((8, 32, 64), np.uint8)
    labels[:, :, 32:] = 3
    images = (labels[..., None] * 60 + rng.integers(0, 40, (8, 32, 64, 3))).astype(np.uint8)
    labels[:, :2] = 255
    split = Split(images, labels, tuple(str(i) for i in range(8)))
    return Dataset("halves", split, split, CLASS_NAMES, CLASS_COLOURS)


def test_the_same_seed_gives_the_same_result_and_another_another(dataset: Dataset) -> None:
    torch.manual_seed(123)
    first = train(SPEC, dataset, CONFIG, seed=1).result
    torch.manual_seed(456)
    again = train(SPEC, dataset, CONFIG, seed=1).result
    other = train(SPEC, dataset, CONFIG, seed=2).result
    assert [p.loss for p in again.curve] == [p.loss for p in first.curve]
    assert again.class_iou == first.class_iou
    assert [p.loss for p in other.curve] != [p.loss for p in first.curve]


def test_training_leaves_the_callers_random_state_alone(dataset: Dataset) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(SPEC, dataset, CONFIG, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns_what_can_be_learned_and_says_so(dataset: Dataset) -> None:
    heard: list[Progress] = []
    plain = Augmentation(flip=False, scale=(1, 1), colour=0)
    config = TrainConfig.model_validate({**CONFIG.model_dump(), "iterations": 40, "augmentation": plain})
    result = train(SPEC, dataset, config, seed=0, on_progress=heard.append).result
    assert result.miou > 0.9
    assert result.class_iou["sky"] == pytest.approx(1, abs=0.1)
    assert result.class_iou["cyclist"] is None
    assert [p.iteration for p in heard] == list(range(1, 41))
    assert [p.iteration for p in result.curve if p.miou is not None] == [20, 40]
    assert result.curve[-1].miou == result.miou
    assert result.curve[-1].loss < result.curve[0].loss
    assert result.evaluated_weights == "ema"


def test_the_last_weights_are_evaluated_without_averaging(dataset: Dataset) -> None:
    config = CONFIG.model_copy(update={"ema_decay": 0.0})
    trained = train(SPEC, dataset, config, seed=1)
    assert trained.result.evaluated_weights == "last"
    averaged = train(SPEC, dataset, CONFIG, seed=1)
    assert [p.loss for p in averaged.result.curve] == [p.loss for p in trained.result.curve]
    ours, theirs = trained.network.state_dict(), averaged.network.state_dict()
    assert not torch.equal(ours["head.classes.weight"], theirs["head.classes.weight"])
    assert not torch.equal(ours["head.conv.bn.running_var"], theirs["head.conv.bn.running_var"])


def test_heads_that_are_off_are_not_built(dataset: Dataset) -> None:
    config = CONFIG.model_copy(update={"heads": TrainingHeads(auxiliary=False, detail_strides=()), "iterations": 2})
    network = train(SPEC, dataset, config, seed=1).network
    assert not [name for name in network.state_dict() if name.startswith(("auxiliary", "detail"))]


def test_a_diverged_training_says_what_to_try(dataset: Dataset) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DivergedError, match=r"the loss became .* at iteration \d+: try a lower train.learning_rate"):
        train(SPEC, dataset, config, seed=1)


@pytest.mark.gpu
def test_mixed_precision_on_a_gpu_learns_too(dataset: Dataset) -> None:
    device = torch.device("cuda:0")
    config = CONFIG.model_copy(update={"iterations": 40, "precision": "auto"})
    result = train(SPEC, dataset, config, seed=0, device=device).result
    assert result.precision in {"bfloat16", "float16"}
    assert result.miou > 0.8
