from __future__ import annotations

import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study
from stdc_lab.reporting import render_report
from tests.study_folder import add_complete, add_unfinished, open_study, some_params, study_config

HOSTILE = "<script>alert('x')</script>"
LONG = "overlong" * 40


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Trials 0–6: stdc1 (dominated), two on the front (one without a record), one off it, a duplicate, two undone."""
    path = tmp_path_factory.mktemp("studies") / "demo"
    config = study_config(title=f"Streets {HOSTILE} {LONG}")
    with open_study(path, config) as study:
        add_complete(study, path, config, miou=0.55, latency_ms=30.0, reference="stdc1", samples=1)
        add_complete(study, path, config, miou=0.50, latency_ms=12.0, params=some_params(1), samples=2)
        add_complete(study, path, config, miou=0.56, latency_ms=24.0, params=some_params(2), record=False)
        add_complete(study, path, config, miou=0.48, latency_ms=26.0, params=some_params(3), latency_spread=0.31)
        add_complete(study, path, config, miou=0.50, latency_ms=12.0, params=some_params(1), duplicate_of=1)
        reason = f"OutOfMemory {HOSTILE} in /home/someone/secret/place/model.py {LONG}"
        add_unfinished(study, config, TrialState.FAIL, params=some_params(4), reason=reason)
        add_unfinished(
            study, config, TrialState.PRUNED, params=some_params(5), reason="over the limit of 60 ms", screened=True
        )
    return path


@pytest.fixture(scope="session")
def frame(folder):
    return load_study(folder)


@pytest.fixture(scope="session")
def page_path(folder):
    return render_report(folder)


@pytest.fixture(scope="session")
def page(page_path):
    return page_path.read_text(encoding="utf-8")
