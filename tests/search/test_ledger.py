"""What a study has come to: feasible values, staleness, and trials given back."""

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from stdc_lab.search.ledger import Ledger
from stdc_lab.storage import give_back


def ledger_of(rows: list[tuple[float, float, float]]) -> Ledger:
    """Of trials with so much mIoU, so much latency, and a constraint broken by so much."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    for miou, latency_ms, excess in rows:
        study.add_trial(create_trial(values=[miou, latency_ms], constraints={"limit": excess}))
    return Ledger(study)


def test_a_front_grows_by_feasible_trials_alone_and_by_more_than_a_trifle() -> None:
    before = [(0.2, 10.0, -1.0), (0.4, 20.0, -1.0), (0.5, 30.0, -1.0)]
    assert not ledger_of([*before, (0.6, 15.0, -0.1)]).is_stale(1)
    assert not ledger_of([*before, (0.6, 15.0, 0.0)]).is_stale(1), "a bound that is just met is met"
    assert ledger_of([*before, (0.6, 15.0, 0.1)]).is_stale(1)
    assert ledger_of([*before, (0.40001, 20.0, -1.0)]).is_stale(1), "it has grown by less than 0.1 %"
    assert not ledger_of([*before, (0.6, 15.0, -0.1)]).is_stale(2)
    assert not ledger_of(before).is_stale(3), "there is nothing to grow"


def test_only_what_runs_is_given_back() -> None:
    study = optuna.create_study()
    study.tell(study.ask(), 0.5)
    running = study.ask()
    for number in (0, running.number):
        give_back(study, number)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.WAITING]


@pytest.mark.parametrize("name", ["reference", "arm"])
def test_named_networks_are_trained_but_not_drawn(name: str) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    study.add_trial(create_trial(values=[0.5, 10.0], user_attrs={name: "one", "trial_key": "a"}))
    study.add_trial(create_trial(values=[0.5, 10.0], user_attrs={"trial_key": "b"}))
    study.add_trial(create_trial(values=[0.5, 10.0], user_attrs={"trial_key": "b", "duplicate_of": 1}))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"trial_key": "c"}))
    ledger = Ledger(study)
    assert (ledger.trained, ledger.drawn, ledger.repeats, ledger.tried) == (2, 1, 1, {"a", "b", "c"})
