"""A study as a search leaves it, for what reads one."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study
from tests.study_folder import (
    add_complete,
    add_unfinished,
    open_study,
    some_params,
    study_config,
)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def frame(folder):
    return load_study(folder)
