"""`stdc-lab train --from`: a network that a search found, trained fully."""

from pathlib import Path

from optuna.trial import TrialState

from tests.cli.in_process import stdc_lab
from tests.cli.tiny_training import DATA, TRAIN, assert_refused, curve, read
from tests.study_folder import add_complete, add_unfinished, open_study, study_config


def study(folder: Path) -> Path:
    """A study of four trials: one finished with detail heads, one without, one failed, one of stdc1."""
    space = {
        "name": "core",
        "vary": {
            "base_width": {"type": "choice", "values": [8]},
            "depths": {"type": "choice", "values": [[1, 1, 1]]},
            "num_blocks": {"type": "int", "low": 2, "high": 4},
            "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
        },
    }
    config = study_config(space=space, data=DATA, train={**TRAIN, "iterations": 1, "warmup_iterations": 0,
                                                         "evaluations": 1})  # fmt: skip
    with open_study(folder, config) as opened:
        for number, strides in ((2, "8"), (3, "none")):
            params = {"base_width": 8, "depths": "1-1-1", "num_blocks": number, "heads.detail_strides": strides}
            add_complete(opened, folder, config, miou=0.4, latency_ms=20.0, params=params)
        add_unfinished(opened, config, TrialState.FAIL, reason="no room")
        add_complete(opened, folder, config, miou=0.5, latency_ms=30.0, reference="stdc1")
    return folder


def test_a_found_network_is_trained_fully(tmp_path: Path) -> None:
    study(tmp_path / "my study 2.0")
    done = stdc_lab("train", "--from", "my study 2.0", "--trial", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "my_study_2_0_trial1"
    kept = read(folder / "training.yaml")
    assert (kept["arch"]["base_width"] if "base_width" in kept["arch"] else kept["arch"]["widths"][1]) == 8
    assert kept["arch"]["num_blocks"] == 3
    assert kept["train"]["heads"]["detail_strides"] == []  # the trial's own, not the study's
    assert kept["data"] == {**kept["data"], **DATA}
    assert len(curve(folder)) == kept["train"]["iterations"] == 20
    again = stdc_lab("train", "--from", "my study 2.0", "--trial", "1", cwd=tmp_path)
    assert "all 20 iterations were done before" in again.stdout


def test_a_found_network_by_another_recipe(recipe: Path, tmp_path: Path) -> None:
    study(tmp_path / "study")
    done = stdc_lab("train", recipe, "--from", "study", "--trial", "0", "--iterations", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = read(tmp_path / "runs" / "study_trial0_tiny" / "training.yaml")
    assert kept["arch"]["num_blocks"] == 2
    assert kept["train"]["learning_rate"] == 0.05 and kept["train"]["iterations"] == 2
    # It is named by what it is made of, which a later call reads back.
    assert (
        stdc_lab("train", recipe, "--from", "study", "--trial", "0", "--iterations", "2", cwd=tmp_path).returncode == 0
    )


def test_a_trial_that_is_not_there_lists_those_that_are(recipe: Path, tmp_path: Path) -> None:
    folder = study(tmp_path / "study")
    for number in (2, 9, -1):
        done = stdc_lab("train", "--from", "study", "--trial", number, cwd=tmp_path)
        assert_refused(done, f"--trial: got {number}; allowed: a finished trial of study: 0, 1, 3")
    for record in (folder / "runs").glob("*/trial.json"):
        record.unlink()
    done = stdc_lab("train", "--from", "study", "--trial", "0", cwd=tmp_path)
    assert_refused(done, "study: the record of trial 0 is gone (runs/", "give a training's YAML too")
    assert not (tmp_path / "runs").exists()
