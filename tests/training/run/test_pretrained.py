"""A training that begins with the backbone of another."""

import hashlib
from pathlib import Path

import pytest
import torch

from stdc_lab.data import Dataset
from stdc_lab.errors import CheckpointError, StudyError
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from stdc_lab.records import InitialWeights, TrainingOutcome
from stdc_lab.training.run import run_training
from tests.training.run.tiny import CPU, RECIPE, SPEC, recipe_of


@pytest.mark.parametrize("kind", ["classifier", "segmenter of 19 classes"])
def test_a_backbone_is_taken_from_whatever_was_trained_on_it(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(9)
    network = build_classifier(SPEC, 7) if kind == "classifier" else build_model(SPEC, 19)
    save_checkpoint(tmp_path / "before.pt", network, {})
    recipe = recipe_of(iterations=1, warmup_iterations=0, evaluations=1, learning_rate=1e-9, ema_decay=0.0)
    before = tmp_path / "before.pt"
    done = run_training(recipe, tmp_path / "run", dataset, CPU, pretrained=before).outcome
    digest = hashlib.sha256(before.read_bytes()).hexdigest()
    assert done.last.initial_weights == InitialWeights(source="before.pt", digest=digest)
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


def test_other_weights_under_the_same_name_do_not_go_on_with_it(dataset: Dataset, tmp_path: Path) -> None:
    before = tmp_path / "before.pt"
    save_checkpoint(before, build_classifier(SPEC, 7), {"seed": 1})
    recipe = recipe_of(iterations=1, warmup_iterations=0, evaluations=1)
    run_training(recipe, tmp_path / "run", dataset, CPU, pretrained=before)
    save_checkpoint(before, build_classifier(SPEC, 7), {"seed": 2})
    with pytest.raises(StudyError, match="file of initial weights: was "):
        run_training(recipe, tmp_path / "run", dataset, CPU, pretrained=before)


def test_a_random_beginning_is_noted(through: tuple[Path, TrainingOutcome]) -> None:
    assert through[1].last.initial_weights == InitialWeights(source="random")
    assert "random weights" in (through[0] / "account.txt").read_text()


def test_a_trainings_network_is_that_of_its_last_checkpoint_also_where_none_is_kept(
    through: tuple[Path, TrainingOutcome], dataset: Dataset, tmp_path: Path
) -> None:
    kept = load_checkpoint(through[0] / "last.pt").network.state_dict()
    for _ in range(2):  # the second time it is found finished
        done = run_training(RECIPE, tmp_path, dataset, CPU, keep_weights=False)
        assert done.outcome.last.miou == through[1].last.miou
        assert all(torch.equal(tensor, kept[name]) for name, tensor in done.network.state_dict().items())
    assert not list(tmp_path.glob("last*")) and not list(tmp_path.glob("best*"))
