"""A study that trained nothing is changed and called again, as its error message says."""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ruamel.yaml import YAML

from stdc_lab.analysis.frame import load_study
from stdc_lab.search.folder import set_aside
from stdc_lab.search.objectives import ScreenedOutError
from stdc_lab.search.propose import tell_screened
from stdc_lab.storage import open_study
from tests.cli import in_process
from tests.search.test_driver import study_config


def written(path: Path, limits: list[str], **changes: Any) -> Path:
    config = study_config(trials=1, **changes).model_dump(mode="json")
    config["space"]["limits"] = limits
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(config, file)
    return path


def test_a_study_that_trained_nothing_may_be_loosened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, path = tmp_path / "out", tmp_path / "tiny.yaml"
    monkeypatch.setattr("stdc_lab.analysis.space_survey.refuse_hopeless.__defaults__", (50,))
    hopeless = in_process.stdc_lab("search", written(path, ["num_params <= 1000"]), "--out", out)
    assert hopeless.returncode == 2
    assert "loosen it, or widen the space" in " ".join(hopeless.stderr.split())

    with monkeypatch.context() as patch:  # as where the few that meet a limit are never proposed
        patch.setattr("stdc_lab.search.driver.refuse_hopeless", lambda *_: None)
        patch.setattr("stdc_lab.search.loop.MAX_SCREENED_IN_A_ROW", 3)
        screened = in_process.stdc_lab("search", written(path, ["num_params <= 2000"]), "--out", out)
    assert screened.returncode == 2
    assert "the last 3 proposals were all screened out" in " ".join(screened.stderr.split())
    assert "another study, which trained nothing: begun anew" in " ".join(screened.stdout.split())
    assert load_study(out)["screened"].tolist() == [True] * 3

    loosened = in_process.stdc_lab("search", written(path, ["num_params <= 200000"]), "--out", out)
    assert loosened.returncode == 0, loosened.stderr
    assert "kept in study.before-2.db" in " ".join(loosened.stdout.split())
    assert load_study(out)["state"].tolist() == ["COMPLETE"], "what was screened out before must not guide the sampler"
    kept = load_study(f"sqlite:///{out / 'study.before-2.db'}")
    assert kept["screened"].tolist() == [True] * 3
    assert "num_params <= 2000" in (out / "study.before-2.yaml").read_text()

    refused = in_process.stdc_lab("search", written(path, ["num_params <= 300000"]), "--out", out)
    assert refused.returncode == 2
    assert "another search space, from which its 1 trials come" in " ".join(refused.stderr.split())


def test_only_a_study_that_changed_and_trained_nothing_is_set_aside(tmp_path: Path) -> None:
    from stdc_lab.search.folder import keep_config

    config, other = study_config(trials=1), study_config(trials=1, objectives=["miou"])
    assert set_aside(config, tmp_path) is None
    study = open_study(config, tmp_path)
    keep_config(config, tmp_path)
    tell_screened(study, study.ask(), ScreenedOutError("too large", {"limit": 1.0}))
    study.tell(study.ask(), state=TrialState.FAIL)
    assert set_aside(study_config(trials=9), tmp_path) is None
    assert set_aside(other, tmp_path) == tmp_path / "study.before-1.db"
    study = open_study(other, tmp_path)
    assert study.trials == []
    keep_config(other, tmp_path)
    study.tell(study.ask(), 0.5)
    assert set_aside(config, tmp_path) is None
    assert len(open_study(other, tmp_path).trials) == 1
