"""A training that begins with the backbone of another."""

from pathlib import Path

import pytest
import torch

from stdc_lab.data import Dataset
from stdc_lab.errors import CheckpointError
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, SPEC, recipe_of


@pytest.mark.parametrize("kind", ["classifier", "segmenter of 19 classes"])
def test_a_backbone_is_taken_from_whatever_was_trained_on_it(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(9)
    network = build_classifier(SPEC, 7) if kind == "classifier" else build_model(SPEC, 19)
    save_checkpoint(tmp_path / "before.pt", network, {})
    recipe = recipe_of(iterations=1, warmup_iterations=0, evaluations=1, learning_rate=1e-9, ema_decay=0.0)
    run_training(recipe, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "before.pt")
    last = load_checkpoint(tmp_path / "run" / "last.pt")
    assert last.protocol["start"] == "backbone of before.pt"
    theirs = network.backbone.state_dict()
    ours = last.network.backbone.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours if name.endswith("weight"))


def test_a_backbone_of_another_network_is_refused_before_a_folder_is_made(dataset: Dataset, tmp_path: Path) -> None:
    other = SPEC.replace(num_blocks=3)
    save_checkpoint(tmp_path / "other.pt", build_classifier(other, 7), {})
    with pytest.raises(CheckpointError, match=rf"other\.pt: its backbone .*{other.arch_id}.*{SPEC.arch_id}"):
        run_training(RECIPE, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"none\.pt: cannot be read: No such file"):
        run_training(RECIPE, tmp_path / "run", dataset, CPU, pretrained=tmp_path / "none.pt")
    assert not (tmp_path / "run").exists()
