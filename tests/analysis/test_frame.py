from __future__ import annotations

import os
import stat
import subprocess
import sys

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from stdc_lab.analysis import frame as frame_module
from stdc_lab.analysis import load_study, varied_parameters, write_trials_csv
from stdc_lab.analysis.columns import columns
from stdc_lab.analysis.frame import GrowingStudy
from stdc_lab.arch import ArchSpec
from stdc_lab.errors import StudyError
from tests.study_folder import (
    SPACE,
    add_complete,
    add_unfinished,
    open_study,
    some_params,
    study_config,
)


def test_a_study_that_grows_is_read_as_one_that_is_read_anew(tmp_path, monkeypatch):
    config, made = study_config(), []
    original = frame_module._row
    monkeypatch.setattr(frame_module, "_row", lambda trial, *rest: made.append(trial.number) or original(trial, *rest))
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=30.0, params=some_params(0))
        growing = GrowingStudy(tmp_path)
        assert growing.load()["number"].tolist() == [0]
        running = study.ask()
        assert growing.load()["state"].tolist() == ["COMPLETE", "RUNNING"]
        study.tell(running, [0.6, 20.0])
        add_unfinished(study, config, TrialState.FAIL, params=some_params(3), reason="out of memory")
        grown = growing.load()
        assert made == [0, 1, 1, 2]
        pd.testing.assert_frame_equal(grown, load_study(tmp_path))
        assert grown["on_front"].tolist() == [False, True, False]
        assert grown.attrs == load_study(tmp_path).attrs
        growing.close()


def test_a_row_a_trial_and_the_columns_that_were_promised(frame):
    assert frame["number"].tolist() == [0, 1, 2, 3, 4, 5]
    assert frame["state"].tolist() == ["COMPLETE"] * 4 + ["FAIL", "PRUNED"]
    assert list(frame.columns) == [*columns(), *varied_parameters(frame)]
    assert sorted(varied_parameters(frame)) == sorted(SPACE["vary"])
    assert frame.attrs["study_name"] == "demo"


def test_values_and_what_is_derived_from_them(frame):
    row = frame.loc[1]
    assert row["miou"] == 0.50
    assert row["latency_ms"] == row["latency_ms_in_search"] == 12.0
    assert row["latency_p95_ms"] == pytest.approx(12.96)
    assert row["fps"] == pytest.approx(1000 / 12)
    assert row["gflops"] == pytest.approx(2 * row["macs"] / 1e9)
    assert row["kernels"] == some_params(1)["kernels"]
    assert row["base_width"] == some_params(1)["base_width"]
    assert ArchSpec.from_dict(pd.io.json.ujson_loads(row["arch"])).arch_id == row["arch_id"]


def test_the_front_is_over_complete_trials_with_equal_ones_kept(frame):
    assert frame["on_front"].tolist() == [True, True, False, True, False, False]


def test_what_was_not_measured_is_missing_never_zero(frame):
    failed, screened = frame.loc[4], frame.loc[5]
    for name in ("miou", "latency_ms", "macs", "num_params", "fps", "gflops", "train_seconds", "arch_id", "seed"):
        assert pd.isna(failed[name]), name
    assert failed["reason"] == "out of memory, at batch 8"
    assert pd.isna(screened["miou"])
    assert screened["latency_ms"] == 70.0
    assert pd.isna(frame.loc[0, "reason"])
    assert frame.loc[3, "duplicate_of"] == 1


def test_a_reference_outside_the_space_has_its_parameters_read_off(frame):
    row = frame.loc[0]
    assert row["reference"] == "stdc1"
    assert {name: row[name] for name in ("base_width", "depths.stage3", "num_blocks", "channel_ratio")} == {
        "base_width": 64,
        "depths.stage3": 2,
        "num_blocks": 4,
        "channel_ratio": 0.5,
    }
    assert row["kernels"] == "1-3"  # the space's name for 1, 3, 3, 3
    assert row["heads.detail_strides"] == "8"


def test_what_did_not_vary_is_read_off_the_training_that_the_row_had(tmp_path):
    """Of a reference the study's, of an arm its own; a trial at a point keeps its point."""
    vary = {
        "num_blocks": {"type": "choice", "values": [2, 4]},
        "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
        "train.learning_rate": {"type": "float", "low": 0.001, "high": 0.1},
    }
    arms = {"plain": {"heads.detail_strides": []}, "fast": {"train.learning_rate": 0.09, "num_blocks": 2}}
    config = study_config(
        space={"name": "read_off", "vary": vary},
        train={"learning_rate": 0.05},
        plan={"arms": arms, "seeds": [0]},
        networks={"mine": {"num_blocks": 3}},
    )
    with open_study(tmp_path, config) as study:
        for name, spec in (("plain", config.plan.spec_of("plain")), ("fast", config.plan.spec_of("fast"))):
            add_unfinished(study, config, TrialState.FAIL, arm=name, arch=spec.to_dict())
        three = config.networks["mine"].to_dict()
        add_unfinished(study, config, TrialState.FAIL, reference="mine", arch=three)
        add_unfinished(study, config, TrialState.FAIL, arm="gone", arch=three)
        point = {"num_blocks": 2, "heads.detail_strides": "none", "train.learning_rate": 0.01}
        add_unfinished(study, config, TrialState.FAIL, params=point, arch=three)
        add_unfinished(study, config, TrialState.FAIL, arch={**three, "num_blocks": -1})
        add_unfinished(study, config, TrialState.FAIL)
    frame = load_study(tmp_path)
    assert [row if isinstance(row, str) else None for row in frame["heads.detail_strides"]] == [
        "none", "8", "8", "8", "none", None, None,
    ]  # fmt: skip
    assert frame["num_blocks"].tolist()[:5] == [4, 2, 3, 3, 2]
    assert frame["train.learning_rate"].tolist()[:5] == [0.05, 0.09, 0.05, 0.05, 0.01]
    assert frame[["num_blocks", "train.learning_rate"]].iloc[5:].isna().all().all()


def test_a_bound_that_is_just_met_is_met_and_what_a_trial_notes_of_itself_is_believed(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        for excess in (0.0, 0.01, -0.01):
            study.add_trial(create_trial(values=[0.5, 20.0], constraints={"limit": excess}))
        study.add_trial(create_trial(values=[0.5, 20.0], user_attrs={"latency_ms": 21.0, "miou": 0.6}))
    frame = load_study(tmp_path)
    assert frame["feasible"].tolist() == [True, False, True, True]
    assert frame["latency_ms"].tolist() == [20.0, 20.0, 20.0, 21.0]
    assert frame["miou"].tolist() == [0.5, 0.5, 0.5, 0.6]


def test_types_hold_for_a_study_without_finished_trials(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_unfinished(study, config, TrialState.FAIL, reason="no")
        add_unfinished(study, config, TrialState.RUNNING, params=some_params(1))
    frame = load_study(tmp_path)
    assert frame["miou"].dtype == frame["macs"].dtype == np.float64
    assert frame["on_front"].tolist() == [False, False]
    assert frame["state"].tolist() == ["FAIL", "RUNNING"]


def test_an_empty_study_is_an_empty_frame_with_all_columns(tmp_path):
    with open_study(tmp_path, study_config()):
        pass
    frame = load_study(tmp_path)
    assert len(frame) == 0
    assert list(frame.columns) == [*columns(), *varied_parameters(frame)]
    assert sorted(varied_parameters(frame)) == sorted(SPACE["vary"])
    write_trials_csv(frame, tmp_path / "trials.csv")
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 0


def other_objectives(folder):
    """A study of mIoU up, parameters down and a bound on latency; three trials of which the best breaks the bound."""
    config = study_config(objectives=["miou", "num_params"], constraints=["latency_ms <= 20"])
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    (folder / "study.yaml").write_text(config.model_dump_json())
    study = optuna.create_study(study_name=config.name, storage=storage, directions=["maximize", "minimize"])
    study.set_user_attr("objectives", ["miou", "num_params"])
    for miou, params, latency, arch_id in ((0.5, 100, 10.0, "a"), (0.6, 90, 30.0, "b"), (0.4, 95, 5.0, "c")):
        attributes = {"latency_ms": latency, "num_params": params, "arch_id": arch_id}
        trial = optuna.trial.create_trial(
            values=[miou, params], user_attrs=attributes, constraints={"latency_ms <= 20": latency / 20 - 1}
        )
        study.add_trial(trial)
    return study, storage


def test_the_front_is_that_of_the_studys_own_objectives_and_of_what_keeps_its_constraints(tmp_path):
    study, storage = other_objectives(tmp_path)
    frame = load_study(tmp_path)
    assert frame.attrs["objectives"] == ["miou", "num_params"]
    assert frame["feasible"].tolist() == [True, False, True]
    assert frame["on_front"].tolist() == [True, False, True]
    assert frame[["miou", "num_params", "latency_ms"]].to_numpy().tolist()[0] == [0.5, 100, 10]
    write_trials_csv(frame, tmp_path / "trials.csv")
    assert pd.read_csv(tmp_path / "trials.csv")["on_front"].tolist() == [True, False, True]
    # What was timed anew decides, not what was measured while searching.
    study.set_user_attr("retimed", {"a": {"median_ms": 25.0}, "b": {"median_ms": 15.0}, "c": {"median_ms": 5.0}})
    storage.engine.dispose()
    assert load_study(tmp_path)["feasible"].tolist() == [False, True, True]
    assert load_study(tmp_path)["on_front"].tolist() == [False, True, False]


def test_csv_holds_whole_numbers_as_such_and_is_replaced_at_once(frame, tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text("old")
    write_trials_csv(frame, path)
    back = pd.read_csv(path)
    assert list(back.columns) == list(frame.columns)
    assert back["miou"].tolist()[:4] == frame["miou"].tolist()[:4]
    assert f",{int(frame['macs'][0])}," in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["trials.csv"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_csv_that_cannot_be_written_is_said_and_leaves_nothing(frame, tmp_path):
    with pytest.raises(StudyError, match=r"trials\.csv: cannot be written: No such file or directory"):
        write_trials_csv(frame, tmp_path / "nowhere" / "trials.csv")
    (tmp_path / "trials.csv").mkdir()
    with pytest.raises(StudyError, match="cannot be written"):
        write_trials_csv(frame, tmp_path / "trials.csv")
    assert os.listdir(tmp_path) == ["trials.csv"]


def test_the_room_is_free_of_torch():
    code = "import sys, stdc_lab.analysis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
