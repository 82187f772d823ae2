"""One arm, one seed: trained once, found again, and data if it diverges."""

from pathlib import Path

import pytest
import torch

from stdc_lab.claims import trained
from stdc_lab.claims.trained import Bench, check_rows, next_seed, train_arm
from stdc_lab.errors import StudyError
from stdc_lab.training.stepper import DivergedError
from tests.claims.tiny import tiny_claim, tiny_data

CPU = torch.device("cpu")


def test_a_training_is_done_once_and_of_one_pair(tmp_path: Path) -> None:
    claim, data, said = tiny_claim(tmp_path), tiny_data(), []
    bench = Bench(CPU, tmp_path / "runs", on_progress=lambda what, progress: said.append((what, progress.iteration)))
    first = train_arm(claim, "scenes", "neither", 0, data, bench)
    assert said == [("tiny_details/scenes: neither, seed 0", 1), ("tiny_details/scenes: neither, seed 0", 2)]
    assert (first.state, first.iterations, first.precision) == ("complete", 2, "float32")
    assert first.miou is not None
    assert len(first.class_iou) == len(data.class_names)
    again = train_arm(claim, "scenes", "neither", 0, data, Bench(CPU, tmp_path / "elsewhere", bench.known))
    assert again == first
    assert not (tmp_path / "elsewhere").exists()
    guided = train_arm(claim, "scenes", "guided", 0, data, bench)
    assert guided.trial_key != first.trial_key
    assert guided.contents == first.contents


def test_what_another_machine_trained_is_trained_here_again(tmp_path: Path) -> None:
    claim, data = tiny_claim(tmp_path), tiny_data()
    bench = Bench(CPU, tmp_path / "runs")
    first = train_arm(claim, "scenes", "neither", 0, data, bench)
    bench.known[first.trial_key] = first.replace(fingerprint="elsewhere", miou=0.0)
    assert train_arm(claim, "scenes", "neither", 0, data, bench).fingerprint == first.fingerprint


def test_a_training_that_diverges_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverges(*_arguments: object, **_settings: object) -> None:
        raise DivergedError("the loss is no number at iteration 2; kept: nothing")

    monkeypatch.setattr(trained, "run_training", diverges)
    row = train_arm(tiny_claim(tmp_path), "scenes", "guided", 3, tiny_data(), Bench(CPU, tmp_path / "runs"))
    assert (row.state, row.miou, row.seed) == ("diverged", None, 3)
    assert row.reason == "the loss is no number at iteration 2"


def test_rows_of_another_training_are_refused(tmp_path: Path) -> None:
    claim, data = tiny_claim(tmp_path), tiny_data()
    row = train_arm(claim, "scenes", "neither", 0, data, Bench(CPU, tmp_path / "runs"))
    check_rows(claim, "scenes", [row], Path("t.csv"))
    longer = tiny_claim(tmp_path, "iterations: 2", "iterations: 3")
    with pytest.raises(StudyError, match=r"t\.csv: arm neither, seed 0 was trained as the claim no longer says"):
        check_rows(longer, "scenes", [row], Path("t.csv"))
    with pytest.raises(StudyError, match=r"t\.csv: a row of arm other; allowed: neither, guided"):
        check_rows(claim, "scenes", [row.replace(arm="other")], Path("t.csv"))


def test_the_next_seed_is_the_first_that_is_not_whole(tmp_path: Path) -> None:
    claim, data = tiny_claim(tmp_path), tiny_data()
    row = train_arm(claim, "scenes", "neither", 0, data, Bench(CPU, tmp_path / "runs"))
    rows = [row.replace(arm=arm, seed=seed) for seed in range(3) for arm in claim.arms]
    assert next_seed(claim, []) == 0
    assert next_seed(claim, rows) == 3
    assert next_seed(claim, rows[:-1]) == 2
    assert next_seed(claim, [rows[0], rows[1].replace(fingerprint="elsewhere"), *rows[2:]]) == 0
