"""What a trial carries is one value, stored under the names that it always had."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from stdc_lab.analysis import load_study
from stdc_lab.errors import StudyError
from stdc_lab.storage import StoredTrial, StudyNotes, TrialNotes, enqueue, trial_of, trials_of
from tests.study_folder import open_study, study_config

STORED: dict[str, Any] = {
    "arch": {"family": "stdc", "kernels": None},
    "arch_id": "abc",
    "seed": 3,
    "trial_key": "key",
    "reference": "stdc1",
    "arm": "plain",
    "confirms": 2,
    "control": True,
    "duplicate_of": 0,
    "screened": True,
    "screened_before": 1,
    "failed_at_its_point": True,
    "reason": "too large",
    "retried": "out of memory",
    "in_smaller_parts": "out of memory",
    "lost_workers": [2, 100],
    "train_seconds": 12.5,
    "fingerprint": "machine",
    "latency_p95_ms": 22.0,
    "latency_spread": 0.1,
    "latency_noisy": False,
    "latency_note": "strange",
    "class_iou": {"road": 0.9},
    "miou": 0.5,
    "boundary_f": 0.4,
    "latency_ms": 20,
    "latency_ms_low": 19.0,
    "latency_ms_high": 21,
    "latency_ratio": 0.8,
    "latency_ratio_low": 0.7,
    "latency_ratio_high": 0.9,
    "macs": 1_000_000_000,
    "num_params": 1_000_000,
    "peak_activations": 1000,
    "peak_memory_bytes": 2000,
}
"""As earlier versions wrote them."""


def test_the_attributes_of_earlier_studies_are_read_and_written_again_as_they_were() -> None:
    notes = TrialNotes.read(create_trial(value=0.5, user_attrs=STORED))
    assert (notes.seed, notes.lost_workers, notes.figures["macs"]) == (3, (2, 100), 1_000_000_000)
    assert notes.intervals == {"latency_ms": (19, 21), "latency_ratio": (0.7, 0.9)}
    study = optuna.create_study()
    trial = study.ask()
    notes.write(trial)
    study.tell(trial, 0.5)
    assert study.trials[0].user_attrs == {**STORED, "lost_workers": (2, 100)}
    assert TrialNotes.read(study.trials[0]) == notes


def test_only_what_is_noted_is_written() -> None:
    study = optuna.create_study()
    trial = study.ask()
    TrialNotes(seed=1, reason="first").write(trial)
    TrialNotes(reason="then").write(trial)
    assert trial.user_attrs == {"seed": 1, "reason": "then"}
    enqueue(study, {}, TrialNotes(arm="plain", seed=0))
    assert study.trials[1].user_attrs == {"arm": "plain", "seed": 0}


def test_unknown_attributes_are_passed_over() -> None:
    attributes = {"of_another_tool": {1: 2}, "figures": "mine", "latency_ms_low": 19.0, "miou": None}
    notes = TrialNotes.read(create_trial(value=0.5, user_attrs=attributes))
    assert notes == TrialNotes()
    study = optuna.create_study()
    study.set_user_attr("metric_names", ["mine"])
    assert StudyNotes.read(study) == StudyNotes()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", "3", r"its note seed cannot be read: got '3'; input should be a valid integer"),
        ("seed", True, r"its note seed cannot be read: got True; input should be a valid integer"),
        ("arch", "stdc1", r"its note arch cannot be read: got 'stdc1'; input should be a valid dictionary"),
        ("lost_workers", [1], r"its note lost_workers\.1 cannot be read"),
        ("miou", "high", r"its note figures\.miou.* cannot be read: got 'high'; input should be a valid"),
        ("screened", 1, r"its note screened cannot be read: got 1; input should be a valid boolean"),
    ],
)
def test_a_note_of_a_wrong_type_is_said_plainly(name: str, value: Any, message: str, tmp_path: Path) -> None:
    config = study_config()
    with open_study(tmp_path, config) as study:
        study.add_trial(create_trial(values=[0.5, 20.0], user_attrs=STORED))
        study.add_trial(create_trial(values=[0.5, 20.0], user_attrs={**STORED, name: value}))
        with pytest.raises(StudyError, match=f"^trial 1: {message}"):
            trials_of(study)
    with pytest.raises(StudyError, match=rf"study\.db: trial 1: {message}.*; put back a copy of the storage"):
        load_study(tmp_path)


def test_a_studys_note_of_a_wrong_type_is_said_plainly() -> None:
    study = optuna.create_study()
    StudyNotes(num_classes=11).write(study)
    assert StudyNotes.read(study) == StudyNotes(num_classes=11)
    study.set_user_attr("num_classes", "eleven")
    with pytest.raises(StudyError, match=r"^the study: its note num_classes cannot be read: got 'eleven'"):
        StudyNotes.read(study)


@pytest.mark.parametrize(
    ("state", "notes", "trained"),
    [
        ("COMPLETE", {}, True),
        ("PRUNED", {}, True),
        ("FAIL", {}, False),
        ("WAITING", {}, False),
        ("PRUNED", {"screened": True}, False),
        ("COMPLETE", {"confirms": 0}, False),
        ("COMPLETE", {"duplicate_of": 0}, False),
        ("COMPLETE", {"duplicate_of": 0, "reference": "stdc1"}, True),
        ("COMPLETE", {"duplicate_of": 0, "arm": "plain"}, True),
        ("COMPLETE", {"confirms": 0, "reference": "stdc1"}, False),
    ],
)
def test_what_counts_as_trained(state: Any, notes: dict[str, Any], trained: bool) -> None:
    assert StoredTrial(0, state, None, {}, {}, None, TrialNotes(**notes)).is_trained == trained


def test_trials_are_had_by_state_and_by_number() -> None:
    study = optuna.create_study()
    study.tell(study.ask(), 0.5)
    study.enqueue_trial({})
    assert [(trial.number, trial.state, trial.values) for trial in trials_of(study)] == [
        (0, "COMPLETE", (0.5,)),
        (1, "WAITING", None),
    ]
    assert [trial.number for trial in trials_of(study, "WAITING")] == [1]
    assert trial_of(study, 1).is_finished is False and trial_of(study, 0).is_finished
