"""How a candidate comes by its scores: the proxy training unless a study says otherwise, and a scorer is one file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import ConfigError
from stdc_lab.nn.checkpoints import load_checkpoint
from stdc_lab.records import InitialWeights, ProfileResult, trial_key
from stdc_lab.search import run_study, scoring
from stdc_lab.search.candidate import Candidate, Judge
from stdc_lab.search.objective import run_trial
from tests.search.test_driver import study_config
from tests.study_folder import make_record
from tests.training.run.tiny import CPU, SPEC, halves

TOY = """
from dataclasses import replace
from stdc_lab.search.scoring.training import TrainingScorer


class Toy:
    def prepare(self, study):
        self.training = TrainingScorer()
        self.training.prepare(study)

    def score(self, candidate, seed):
        scored = self.training.score(candidate, seed)
        return replace(scored, result=scored.result.model_copy(update={"miou": 0.125}), boundary_f=0.25)


SCORER = Toy
"""


def tried(folder: Path, config: StudyConfig, judge: Judge | None = None) -> Any:
    candidate = Candidate(0, SPEC, config.train, 0)
    cost: ProfileResult = make_record(0, SPEC, config, 0.5, 20.0).profile
    return run_trial(candidate, config, halves(), folder / "runs", CPU, known_profile=cost, judge=judge)


def test_the_default_is_left_out_of_what_is_written_and_of_keys() -> None:
    config = study_config(scorer={"name": "training"})
    assert config == study_config() and "scorer" not in config.model_dump(mode="json")
    candidate = Candidate(0, SPEC, config.train, 0)
    assert candidate.key(config) == trial_key(SPEC, config.train, config.data, 0)
    other = study_config(scorer={"name": "other"})
    assert other.model_dump(mode="json")["scorer"] == {"name": "other"}
    assert StudyConfig.model_validate(other.model_dump(mode="json")) == other
    assert candidate.key(other) != candidate.key(config)


def test_an_unknown_scorer_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("nobody", "base"):
        with pytest.raises(ConfigError, match=rf"^scorer\.name: got '{name}'; allowed: training$"):
            run_study(study_config(scorer={"name": name}), tmp_path / "run")
    with pytest.raises(ValueError, match=r"scorer\.name"):
        study_config(scorer={"name": "../training"})
    assert not (tmp_path / "run").exists()


def test_a_training_says_what_it_began_with_and_keeps_its_weights_once(tmp_path: Path) -> None:
    seen: set[str] = set()
    config = study_config()
    runs = tmp_path / "runs"
    judge = Judge(progress=lambda _: seen.update(path.name for path in runs.glob("*/*")))
    record = tried(tmp_path, config, judge)
    assert record.result.initial_weights == InitialWeights(source="random")
    assert "state.pt" in seen and not seen & {"last.pt", "best.pt"}
    kept = load_checkpoint(runs / record.trial_key / "checkpoint.pt")
    assert kept.protocol["miou"] == record.result.miou
    assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.network.state_dict().values())


def test_another_scorer_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_scorer.py").write_text(TOY)
    monkeypatch.setattr(scoring, "__path__", [*scoring.__path__, str(tmp_path)])
    record = tried(tmp_path, study_config(scorer={"name": "toy_scorer"}))
    assert (record.result.miou, record.boundary_f) == (0.125, 0.25)
