"""Two arms with one seed: what their networks share when the first step begins, whoever trains them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from stdc_lab.config.pretraining import ImagesConfig, PretrainConfig
from stdc_lab.data.images import load_image_folder
from stdc_lab.training import train
from stdc_lab.training.run import run_pretraining, run_training
from stdc_lab.training.stepper import Stepper
from tests.data.test_images import write_images
from tests.training.run.tiny import CPU, SPEC, halves, recipe_of

HEADS = ({"auxiliary": False}, {"detail_strides": [8]})


class BeginsError(Exception):
    """In place of the first step."""


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks whose first step would have begun."""
    networks: list[nn.Module] = []

    def steps(self: Stepper) -> None:
        networks.append(self.network)
        raise BeginsError

    monkeypatch.setattr(Stepper, "steps", steps)
    return networks


def in_memory(heads: object, seed: int, folder: Path) -> None:
    train(SPEC, halves(), recipe_of(heads=heads).training, seed=seed)


def in_a_folder(heads: object, seed: int, folder: Path) -> None:
    run_training(recipe_of(heads=heads, seed=seed), folder, halves(), CPU)


@pytest.mark.parametrize("run", [in_memory, in_a_folder])
def test_arms_with_one_seed_begin_with_the_same_weights(
    run: Callable[[object, int, Path], None], begun: list[nn.Module], tmp_path: Path
) -> None:
    for number, (heads, seed) in enumerate([(HEADS[0], 1), (HEADS[1], 1), (HEADS[1], 2)]):
        torch.manual_seed(number)
        with pytest.raises(BeginsError):
            run(heads, seed, tmp_path / str(number))
    without, with_heads, other = (network.state_dict() for network in begun)
    assert len(with_heads) > len(without)
    assert all(torch.equal(tensor, with_heads[name]) for name, tensor in without.items())
    assert not torch.equal(with_heads["head.classes.weight"], other["head.classes.weight"])


def test_backbones_in_pretraining_with_one_seed_begin_alike(begun: list[nn.Module], tmp_path: Path) -> None:
    images = load_image_folder(ImagesConfig(size=(32, 32)), write_images(tmp_path / "images"))
    for depths in ((1, 1, 1), (1, 2, 1)):
        torch.manual_seed(sum(depths))
        recipe = PretrainConfig(name="tiny", arch=SPEC.replace(depths=depths), data=ImagesConfig(size=(32, 32)), seed=1)
        with pytest.raises(BeginsError):
            run_pretraining(recipe, tmp_path / str(sum(depths)), images, CPU)
    shallow, deep = (network.state_dict() for network in begun)
    assert len(deep) > len(shallow)
    assert all(torch.equal(tensor, deep[name]) for name, tensor in shallow.items())
