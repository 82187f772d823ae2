"""Which latency counts, and what its interval leaves open."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study
from stdc_lab.arch import presets
from tests.study_folder import (
    add_complete,
    latency_result,
    open_study,
    some_params,
    study_config,
)


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
