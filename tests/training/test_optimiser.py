"""Steps of a training against the same steps by hand: every parameter by its group, the average, and the norms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from stdc_lab.arch import DecoderSpec, StdcSpec
from stdc_lab.config.training import TrainConfig
from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES, Dataset, Split
from stdc_lab.nn import build_model
from stdc_lab.training.evaluate import to_input
from stdc_lab.training.optimiser import make_average, set_training, synchronise_norms
from stdc_lab.training.trainer import Trainer
from stdc_lab.training.workers import Workers

CPU = torch.device("cpu")
SPEC = StdcSpec(base_width=4, depths=(1, 1, 1), num_blocks=2, decoder=DecoderSpec(8, 8, 8))
RATE, MOMENTUM, DECAY, FACTOR = 0.04, 0.75, 0.25, 10.0
RATES = (RATE * 0.0625, RATE * 0.25, RATE)
"""A warm-up over two iterations from 1/16 of the rate, exponential; then the polynomial begins at the whole of it."""
CONFIG = TrainConfig(
    iterations=4,
    batch_size=2,
    learning_rate=RATE,
    momentum=MOMENTUM,
    weight_decay=DECAY,
    warmup_iterations=2,
    warmup_start=0.0625,
    decoder_rate_factor=FACTOR,
    ema_decay=0.9,
    precision="float32",
    evaluations=1,
)
GROUPS = {
    "backbone.stages.3.0.blocks.0.conv.weight": (1.0, DECAY),
    "backbone.stages.3.0.blocks.0.bn.weight": (1.0, 0.0),
    "backbone.stages.3.0.blocks.0.bn.bias": (1.0, 0.0),
    "decoder.refine32.conv.conv.weight": (1.0, DECAY),
    "decoder.refine32.conv.bn.weight": (1.0, 0.0),
    "decoder.refine32.conv.bn.bias": (1.0, 0.0),
    "decoder.fusion.conv.conv.weight": (FACTOR, DECAY),
    "decoder.fusion.squeeze.weight": (FACTOR, DECAY),
    "decoder.fusion.conv.bn.weight": (FACTOR, 0.0),
    "decoder.fusion.conv.bn.bias": (FACTOR, 0.0),
    "head.conv.conv.weight": (FACTOR, DECAY),
    "head.classes.weight": (FACTOR, DECAY),
    "head.conv.bn.weight": (FACTOR, 0.0),
    "head.conv.bn.bias": (FACTOR, 0.0),
    "auxiliary_heads.16.classes.weight": (FACTOR, DECAY),
    "auxiliary_heads.16.conv.bn.weight": (FACTOR, 0.0),
    "detail_heads.8.classes.weight": (FACTOR, DECAY),
    "detail_heads.8.conv.bn.bias": (FACTOR, 0.0),
}
"""Of one parameter of each kind: its rate, in multiples of the plain one, and its weight decay."""


def changed(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate({**CONFIG.model_dump(), **changes})


def trainer_of(config: TrainConfig, device: torch.device = CPU, workers: Workers | None = None) -> Trainer:
    """A network whose norms have weights and biases that decay would be seen on."""
    torch.manual_seed(0)
    network = build_model(SPEC, len(CLASS_NAMES), config.heads)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 + 0.2 * torch.rand_like(parameter))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 11, (4, 32, 32)).astype(np.uint8)
    images = rng.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    split = Split(images, labels, ("a", "b", "c", "d"))
    dataset = Dataset("noise", split, split, CLASS_NAMES, CLASS_COLOURS)
    return Trainer(network, dataset, config, 0, device, workers)


def gradients(trainer: Trainer) -> dict[str, Tensor]:
    """Of the step that comes next, by plain autograd on a copy of the network."""
    copy = build_model(SPEC, len(CLASS_NAMES), trainer.config.heads).to(memory_format=torch.channels_last)
    copy.load_state_dict(trainer.network.state_dict())
    set_training(copy, trainer.config)
    images, labels = trainer.make_batch(trainer.iteration, range(trainer.config.batch_size))
    labelled = torch.tensor(trainer.labelled(labels))
    loss = trainer.loss(copy(to_input(images, CPU)), torch.from_numpy(labels).long(), labelled)
    loss.backward()
    return {name: parameter.grad for name, parameter in copy.named_parameters() if parameter.grad is not None}


def group_of(name: str, parameter: Tensor) -> tuple[float, float]:
    """(rate factor, decay) of any parameter, as the released recipe puts it."""
    fast = name.startswith(("head.", "auxiliary_heads.", "detail_heads.", "decoder.fusion."))
    norm_or_bias = ".bn." in name or name.endswith(".bias")
    assert norm_or_bias == (parameter.ndim == 1), name
    return FACTOR if fast else 1.0, 0.0 if norm_or_bias else DECAY


def taken(trainer: Trainer, count: int) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Take steps; of each: the gradients that autograd gave before it, and the parameters after it."""
    steps, found = trainer.steps(), []
    for number in range(count):
        grads = gradients(trainer)
        _, rate = next(steps)
        assert rate == pytest.approx(RATES[number])
        found.append((grads, {name: value.detach().clone() for name, value in trainer.network.named_parameters()}))
    return found


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_two_steps_are_those_that_one_takes_by_hand_group_by_group() -> None:
    trainer = trainer_of(CONFIG)
    before = {name: value.detach().clone() for name, value in trainer.network.named_parameters()}
    assert GROUPS.keys() <= before.keys()
    assert all(group_of(name, before[name]) == group for name, group in GROUPS.items())
    (first, after_one), (second, after_two) = taken(trainer, 2)
    for name, start in before.items():
        factor, decay = group_of(name, start)
        speed = first[name] + decay * start
        one = start - RATES[0] * factor * speed
        assert close(after_one[name], one), name
        speed = MOMENTUM * speed + second[name] + decay * after_one[name]
        two = after_one[name] - RATES[1] * factor * speed
        assert close(after_two[name], two), name


def test_the_rate_leaves_its_warm_up_and_falls_by_the_polynomial() -> None:
    trainer = trainer_of(changed(poly_power=2.0))
    rates = [rate for _, rate in trainer.steps()]
    assert rates == pytest.approx([*RATES, RATE * 0.25])  # half of the polynomial's two iterations, squared
    factors = sorted(group["lr"] / rates[-1] for group in trainer.optimiser.param_groups)
    assert factors == pytest.approx([1.0, 1.0, FACTOR, FACTOR])


def test_weights_of_the_detail_targets_are_only_decayed_at_the_plain_rate() -> None:
    trainer = trainer_of(changed(loss={"detail_fusion": "decaying"}))
    weights = trainer.fusion_weights
    assert weights is not None
    start = torch.tensor([0.6, 0.3, 0.1])
    assert torch.equal(weights.detach(), start)
    steps = trainer.steps()
    next(steps)
    one = start - RATES[0] * DECAY * start
    assert close(weights.detach(), one)
    next(steps)
    assert close(weights.detach(), one - RATES[1] * (MOMENTUM * DECAY * start + DECAY * one))
    assert trainer_of(CONFIG).fusion_weights is None
    no_details = changed(loss={"detail_fusion": "decaying"}, heads={"detail_strides": ()})
    assert trainer_of(no_details).fusion_weights is None


@pytest.mark.parametrize("norms", ["trained", "untrained_backbone", "frozen"])
def test_norms_are_trained_or_kept_as_asked(norms: str) -> None:
    trainer = trainer_of(changed(norms=norms))
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    ((grads, after),) = taken(trainer, 1)
    kept = {"trained": (), "untrained_backbone": ("backbone.",), "frozen": ("",)}[norms]
    for name, value in after.items():
        if ".bn." in name and name.startswith(kept):
            assert torch.equal(value, before[name]), name
        else:
            factor, decay = group_of(name, value)
            assert close(value, before[name] - RATES[0] * factor * (grads[name] + decay * before[name])), name
    now = trainer.network.state_dict()
    for name in now:
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(now[name], before[name]) == (norms == "frozen"), name
    frozen = [module for module in trainer.network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.training == (norms != "frozen") for module in frozen)


def test_the_average_begins_as_a_copy_and_follows_weights_and_statistics() -> None:
    """After n updates its decay is n / (n + 9) or the one asked for, whichever is less."""
    trainer = trainer_of(CONFIG)
    assert trainer.average is not None
    steps = trainer.steps()
    next(steps)
    first = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    average = trainer.evaluated.state_dict()
    assert all(torch.equal(average[name], value) for name, value in first.items())
    next(steps)
    moved = 0
    for name, value in trainer.network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == trainer.evaluated.state_dict()[name] == 2, name
        else:
            by_hand = (2 / 11) * first[name] + (9 / 11) * value
            assert close(trainer.evaluated.state_dict()[name], by_hand), name
            moved += not torch.equal(value, first[name])
    assert moved > 100


@pytest.mark.parametrize(("decay", "acts"), [(0.1, [0.1, 0.1, 0.1]), (0.25, [2 / 11, 0.25, 0.25])])
def test_the_averages_decay_grows_to_the_one_asked_for_and_no_further(decay: float, acts: list[float]) -> None:
    network = nn.Linear(1, 1, bias=False)
    average = make_average(network, decay)
    assert average is not None
    value = 0.0
    for number in range(4):
        with torch.no_grad():
            network.weight.fill_(2.0**number)
        average.update_parameters(network)
        acting = acts[number - 1] if number else 0.0
        value = acting * value + (1 - acting) * 2.0**number
        assert average.module.weight.item() == pytest.approx(value, rel=1e-6)
    assert make_average(network, 0.0) is None


@pytest.mark.parametrize("norms", ["trained", "untrained_backbone"])
def test_as_released_only_the_norms_behind_the_backbone_are_synchronised(norms: str) -> None:
    config = changed(norms=norms)
    network = synchronise_norms(build_model(SPEC, 11, config.heads), config)
    kinds = {
        name: isinstance(module, nn.SyncBatchNorm)
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    expected = {name: norms == "trained" or not name.startswith("backbone.") for name in kinds}
    assert kinds == expected
    assert {name.split(".")[0] for name in kinds} == {
        "backbone", "decoder", "head", "auxiliary_heads", "detail_heads"
    }  # fmt: skip
    whole = build_model(SPEC, 11, config.heads)
    assert network.state_dict().keys() == whole.state_dict().keys()


@pytest.mark.gpu
def test_a_training_shared_by_gpus_synchronises_them_as_asked(tmp_path: Path) -> None:
    config = changed(norms="untrained_backbone")
    device, start = torch.device("cuda:0"), f"file://{tmp_path}/store"
    dist.init_process_group("nccl", init_method=start, rank=0, world_size=1)
    try:
        trainer = trainer_of(config, device, Workers(0, 2))
        norms = [
            (name, isinstance(module, nn.SyncBatchNorm))
            for name, module in trainer.network.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ]
    finally:
        dist.destroy_process_group()
    assert all(synchronised != name.startswith("backbone.") for name, synchronised in norms)
