from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from stdc_lab.analysis import frame as frame_module
from stdc_lab.analysis import load_study, read_study_config, varied_parameters, write_trials_csv
from stdc_lab.analysis.columns import columns
from stdc_lab.analysis.frame import GrowingStudy
from stdc_lab.arch import ArchSpec, presets
from stdc_lab.errors import ConfigError, StudyError
from tests.study_folder import (
    SPACE,
    add_complete,
    add_unfinished,
    latency_result,
    open_study,
    some_params,
    study_config,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Trials 0–5: a reference outside the space, two searched, a duplicate, a failure, one screened out."""
    path = tmp_path_factory.mktemp("studies") / "a study?#%41"  # what a URL would take apart
    config = study_config()
    with open_study(path, config) as study:
        add_complete(study, path, config, miou=0.58, latency_ms=30.0, reference="stdc1")
        add_complete(study, path, config, miou=0.50, latency_ms=12.0, params=some_params(1))
        add_complete(study, path, config, miou=0.49, latency_ms=14.0, params=some_params(2))
        add_complete(study, path, config, miou=0.50, latency_ms=12.0, params=some_params(1), duplicate_of=1)
        add_unfinished(study, config, TrialState.FAIL, params=some_params(3), reason="out of memory, at batch 8")
        add_unfinished(study, config, TrialState.PRUNED, params=some_params(4), reason="too slow", latency_ms=70.0)
    return path


@pytest.fixture(scope="module")
def frame(folder):
    return load_study(folder)


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


def test_retimed_latencies_replace_the_first_ones_and_decide_the_front(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        slow = add_complete(study, tmp_path, config, miou=0.6, latency_ms=20.0, params=some_params(1))
        add_complete(study, tmp_path, config, miou=0.5, latency_ms=10.0, params=some_params(2))
        study.set_user_attr("retimed", {slow.arch_id: latency_result(9.0).model_dump(mode="json")})
        study.set_user_attr("retimed_at", "2025-05-01T10:00:00+00:00")
    frame = load_study(tmp_path)
    assert frame["latency_ms"].tolist() == [9.0, 10.0]
    assert frame["latency_ms_in_search"].tolist() == [20.0, 10.0]
    assert frame["retimed"].tolist() == [True, False]
    assert frame["fps"].tolist() == pytest.approx([1000 / 9, 100])
    assert frame["on_front"].tolist() == [True, False]
    assert frame.attrs["retimed_at"] == "2025-05-01T10:00:00+00:00"


def test_a_storage_url_gives_the_same_frame_as_its_folder(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.6, latency_ms=20.0, params=some_params(1))
    by_url = load_study(f"sqlite:///{tmp_path / 'study.db'}")
    pd.testing.assert_frame_equal(by_url, load_study(tmp_path)[by_url.columns], check_like=True)


def test_reading_changes_no_file(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    load_study(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.fixture
def two_studies(tmp_path):
    for name in ("first", "second"):
        with open_study(tmp_path, study_config(name=name)) as study:
            add_unfinished(study, study_config(), TrialState.FAIL, reason=name)
    return tmp_path


def test_of_several_studies_one_has_to_be_named(two_studies):
    url = f"sqlite:///{two_studies / 'study.db'}"
    with pytest.raises(StudyError, match=r"holds several studies; give study_name, one of: first, second"):
        load_study(url)
    with pytest.raises(StudyError, match=r"no study 'third' in it; there: first, second"):
        load_study(url, study_name="third")
    assert load_study(url, study_name="first")["reason"].tolist() == ["first"]
    assert load_study(two_studies)["reason"].tolist() == ["second"], "the folder's study.yaml names its own"


def test_a_missing_folder_is_said_and_not_made(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere: no such folder; give a folder that `stdc-lab search` wrote"):
        load_study(tmp_path / "nowhere")
    with pytest.raises(StudyError, match=r"no study\.db in it"):
        load_study(tmp_path)
    with pytest.raises(StudyError, match=r"other\.db: no such file"):
        load_study(f"sqlite:///{tmp_path / 'other.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "study.db").touch()
    with pytest.raises(StudyError, match=r"study\.db: a file; give the study's folder"):
        load_study(tmp_path / "study.db")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"study\.db: not an SQLite database: got an empty file"),
        (b"Hello, world, this is text", r"not an SQLite database: got a file that begins with b'Hello"),
        (b"SQLite format 3\0" + b"\x07" * 4096, r"cannot be read as an Optuna storage \(.*(database|file).*\)"),
    ],
)
def test_a_file_that_is_no_database_is_said_and_left_alone(tmp_path, content, message):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(StudyError, match=message) as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "study.db").read_bytes() == content


def test_a_cut_off_database_is_said(tmp_path):
    config = study_config()
    with open_study(tmp_path, config) as study:
        add_complete(study, tmp_path, config, miou=0.6, latency_ms=20.0, params=some_params(1))
    whole = (tmp_path / "study.db").read_bytes()
    (tmp_path / "study.db").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudyError, match=r"study\.db: (cannot be read as|not) an Optuna storage") as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_foreign_database_is_said_and_gets_no_tables(tmp_path):
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table birds (name text)")
        connection.commit()
    content = path.read_bytes()
    with pytest.raises(StudyError, match="not an Optuna storage: got tables birds"):
        load_study(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "update alembic_version set version_num = 'v3.0.0.d'",
            r"got schema 12, revision v3.0.0.d, by .*upgrade --s",
        ),
        (
            "update alembic_version set version_num = 'v9.0.0.a'",
            r"got schema 12, revision v9.0.0.a, by .*update O",
        ),
        ("update version_info set schema_version = 99", r"got schema 99, revision v3\S+, by Optuna 5.*update Optuna"),
        ("delete from alembic_version", r"got schema 12, revision none, by Optuna 5.*storage upgrade --storage"),
        ("drop table alembic_version", r"got schema 12, revision none, by Optuna 5.*storage upgrade --storage"),
        ("delete from version_info", r"got schema unknown, revision v3\S+, by Optuna unknown; allowed: schema 12,"),
    ],
)
def test_a_storage_of_another_optuna_is_said_and_not_written(tmp_path, change, message):
    with open_study(tmp_path, study_config()):
        pass
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    content = path.read_bytes()
    with pytest.raises(StudyError, match=rf"study\.db: of another Optuna version: {message}") as caught:
        load_study(tmp_path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_storage_without_a_study_is_said(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    storage.engine.dispose()
    with pytest.raises(StudyError, match="holds no study; run `stdc-lab search` first"):
        load_study(tmp_path)


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


def test_a_ratio_is_taken_anew_from_what_was_timed_anew(tmp_path):
    config = study_config(objectives=["miou", "latency_ratio"])
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    (tmp_path / "study.yaml").write_text(config.model_dump_json())
    study = optuna.create_study(study_name=config.name, storage=storage, directions=["maximize", "minimize"])
    study.set_user_attr("objectives", ["miou", "latency_ratio"])
    for ratio, arch_id in ((1.0, presets["stdc1"].arch_id), (0.5, "b")):
        attributes = {"latency_ms": 40 * ratio, "latency_ratio": ratio, "arch_id": arch_id}
        study.add_trial(optuna.trial.create_trial(values=[0.5, ratio], user_attrs=attributes))
    screened = {"latency_ms": 9.0, "arch_id": "c"}  # of a time before ratios were asked for
    study.add_trial(optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs=screened))
    assert load_study(tmp_path)["latency_ratio"].tolist()[:2] == [1.0, 0.5]
    anew = {presets["stdc1"].arch_id: {"median_ms": 20.0}, "b": {"median_ms": 15.0}, "c": {"median_ms": 10.0}}
    study.set_user_attr("retimed", anew)
    storage.engine.dispose()
    frame = load_study(tmp_path)
    assert frame["latency_ratio"].tolist()[:2] == [1.0, 0.75]
    assert (frame["latency_ms"][2], np.isnan(frame["latency_ratio"][2])) == (10.0, True)


def bounded(folder, *trials, bound="latency_ms <= 20"):
    """A study with a bound, of trials that have these attributes."""
    config = study_config(objectives=["miou", "num_params"], constraints=[bound])
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    (folder / "study.yaml").write_text(config.model_dump_json())
    study = optuna.create_study(study_name=config.name, storage=storage, directions=["maximize", "minimize"])
    study.set_user_attr("objectives", ["miou", "num_params"])
    for number, attributes in enumerate(trials):
        attributes = {"num_params": 1.0, "arch_id": f"arch {number}", **attributes}
        study.add_trial(optuna.trial.create_trial(values=[0.5, 1.0], user_attrs=attributes))
    return study


def timed(value, low, high, **more):
    return {"latency_ms": value, "latency_ms_low": low, "latency_ms_high": high, **more}


def test_a_latency_is_judged_by_its_interval_and_what_that_leaves_open_is_marked(tmp_path):
    bounded(
        tmp_path,
        timed(21, 20.5, 22, latency_noisy=False),
        timed(21, 19, 23, latency_noisy=False),
        timed(19, 18, 21, latency_noisy=False),
        timed(19, 18, 19.5, latency_noisy=True),
        timed(30, 21, 50, latency_noisy=True),
    )
    frame = load_study(tmp_path)
    assert frame["feasible"].tolist() == frame["on_front"].tolist() == [False, True, True, True, False]
    assert frame["doubtful"].tolist() == [False, True, True, False, True]
    assert frame["latency_noisy"].tolist() == [False, False, False, True, True]


def test_what_an_older_version_screened_out_on_a_scattered_timing_is_marked_too(tmp_path):
    bounded(tmp_path, {"latency_ms": 45, "latency_spread": 0.34}, {"latency_ms": 45, "latency_spread": 0.05})
    frame = load_study(tmp_path)
    assert frame["feasible"].tolist() == [False, False]
    assert frame["doubtful"].tolist() == [True, False]


def test_the_latest_timing_decides_with_its_own_interval(tmp_path):
    study = bounded(tmp_path, timed(30, 21, 50, latency_noisy=True), timed(19, 18, 21), timed(19, 18, 19.5))
    quiet = {"noisy": False, "spread": 0.01}
    retimed = {
        "arch 0": {"median_ms": 19.0, "ci95_ms": [18.5, 19.5], **quiet},
        "arch 1": {"median_ms": 20.5, "ci95_ms": [20.2, 20.7], "note": "odd", **quiet},
        "arch 2": {"median_ms": 20.5},
    }
    study.set_user_attr("retimed", retimed)
    frame = load_study(tmp_path)
    assert frame["feasible"].tolist() == [True, False, False], "an old interval says nothing of a new median"
    assert not frame["doubtful"].any()
    assert frame["latency_ms_low"].tolist()[:2] == [18.5, 20.2]
    assert np.isnan(frame["latency_ms_low"].tolist()[2])
    assert frame["latency_note"].tolist()[1] == "odd"


def test_a_ratio_timed_anew_is_that_of_the_rounds_with_its_interval(tmp_path):
    attributes = {"latency_ms": 30.0, "latency_ratio": 1.5}
    ends = {"latency_ratio_low": 1.4, "latency_ratio_high": 1.6}
    study = bounded(tmp_path, {**attributes, **ends}, attributes, bound="latency_ratio <= 1.45")
    assert load_study(tmp_path)["doubtful"].tolist() == [True, False]
    assert load_study(tmp_path)["feasible"].tolist() == [True, False]
    beside = {"median_ms": 28.0, "reference": "stdc1"}
    anew = {**beside, "times_as_fast": 0.8, "times_as_fast_ci95": [0.5, 2.0]}
    study.set_user_attr("retimed", {"arch 0": anew, "arch 1": {**beside, "times_as_fast": 0.625}})
    frame = load_study(tmp_path)
    assert frame["latency_ratio"].tolist() == [1.25, 1.6]
    assert frame["doubtful"].tolist() == [True, False]
    assert frame["feasible"].tolist() == [True, False]


def test_a_study_with_other_objectives_is_said(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(study_name="one", storage=storage, direction="minimize")
    storage.engine.dispose()
    with pytest.raises(StudyError, match=r"has the directions minimize; allowed: those of miou, latency_ms"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("nonsense://x", "cannot be read as an Optuna storage"),
        ("://", "not the URL of a storage"),
    ],
)
def test_urls_that_lead_nowhere(url, message):
    with pytest.raises(StudyError, match=message):
        load_study(url)


def test_a_password_in_a_url_is_not_shown():
    with pytest.raises(StudyError) as caught:
        load_study("postgresql+nodriver://me:secret@localhost/x")
    assert "secret" not in str(caught.value)


def test_read_study_config(folder, tmp_path):
    assert read_study_config(folder) == study_config()
    with pytest.raises(StudyError, match=r"no study\.yaml in it"):
        read_study_config(tmp_path)
    (tmp_path / "study.yaml").write_text("name: x\nspaec: y\n")
    with pytest.raises(ConfigError, match="spaec"):
        read_study_config(tmp_path)


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
