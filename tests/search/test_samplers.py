"""What is proposed, over many trials that take no time: repeats, the end of a space, the start-up, failing regions."""

from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from stdc_lab.analysis.space_survey import count_points
from stdc_lab.arch import total_cost
from stdc_lab.config.ranges import label
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.search import samplers as samplers_module
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.ledger import Ledger
from stdc_lab.search.messages import Failed
from stdc_lab.search.propose import draws_at_random
from stdc_lab.search.samplers import RandomPoints, Tpe, known_points
from stdc_lab.storage.views import lessons
from tests.search.simulated import Simulated, search
from tests.search.test_driver import DECODER, study_config

SMALL = {
    "base_width": {"type": "choice", "values": [4, 6, 8]},
    "num_blocks": {"type": "int", "low": 2, "high": 4},
    "fusion": {"type": "choice", "values": ["cat", "add"], "when": {"num_blocks": [2, 4]}},
    "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
    **DECODER,
}
"""3 widths × 2 detail heads × 5 of blocks and fusion: 30 points."""


def small(vary: dict[str, Any] = SMALL, **changes: Any) -> StudyConfig:
    limits = changes.pop("limits", [])
    values = {"space": {"name": "small", "vary": vary, "limits": limits}, "sampler": {"name": "tpe"}}
    return study_config(**{**values, **changes})


def repeats(study: optuna.Study) -> list[bool]:
    return ["duplicate_of" in trial.user_attrs for trial in study.trials]


def networks(study: optuna.Study) -> set[str]:
    """The trainings that were done."""
    return {trial.user_attrs["trial_key"] for trial in study.trials if trial.state == TrialState.COMPLETE}


def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have TPE propose one point for ever."""

    def first(self: Tpe, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low

    monkeypatch.setattr(Tpe, "sample_independent", first)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_every_sampler_trains_all_of_a_space_and_only_then_is_it_exhausted(
    tmp_path: Path, jobs: int, name: str
) -> None:
    config = small(sampler={"name": name, "population": 8}, trials=30)
    crew = Simulated(config, jobs)
    study = search(config, crew, tmp_path)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert len(networks(study)) == repeats(study).count(False) == 30
    assert repeats(study).count(True) <= 3 * 30  # after three in a row what is drawn is new
    if name == "nsga2":  # points drawn beside it are in its generations too
        assert all(any("generation" in key for key in trial.system_attrs) for trial in study.trials)
    assert set(crew.busy[: -2 * jobs]) == {jobs}, "a worker was idle although there was something to train"
    with pytest.raises(
        StudyError,
        match=r"30 of 31 trials trained, and nothing new is left: of the search space, its 30 points were tried before "
        r"or do not meet its limits; ask for fewer --trials, loosen limits, or widen the space",
    ):
        search(config, crew, tmp_path, study, trials=31)
    assert len(networks(study)) == 30


def test_what_is_at_work_when_a_space_ends_is_finished(tmp_path: Path) -> None:
    config, study = small(trials=31), optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(StudyError, match="30 of 31 trials trained"):
        search(config, Simulated(config, 2), tmp_path, study)
    assert len(networks(study)) == 30
    assert all(trial.state.is_finished() for trial in study.trials)


def test_what_waits_is_trained_though_the_space_has_ended(tmp_path: Path) -> None:
    sampler = {"name": "tpe", "startup_trials": 100}
    config = small(sampler=sampler, trials=30)
    study = search(config, Simulated(config), tmp_path)
    more = small(sampler=sampler, trials=31, references=["stdc1"])
    search(more, Simulated(more), tmp_path, study)
    assert len(networks(study)) == 31


def test_two_workers_are_given_no_more_than_is_wanted(tmp_path: Path) -> None:
    config = small(sampler={"name": "random"}, trials=5)
    crew = Simulated(config, 2)
    search(config, crew, tmp_path)
    assert len(crew.given) == 5


def test_random_points_of_a_study_that_repeats_with_new_seeds_may_be_known(tmp_path: Path) -> None:
    vary = {"base_width": {"type": "choice", "values": [4]}, **DECODER}
    config = small(vary, sampler={"name": "tpe", "startup_trials": 4}, known_training="new_seed", trials=4)
    study = search(config, Simulated(config), tmp_path)
    assert [trial.user_attrs["seed"] for trial in study.trials] == [0, 1, 2, 3]


def test_a_plan_is_never_drawn_for() -> None:
    plan = {"arms": {"two": {"num_blocks": 2}, "three": {"num_blocks": 3}}, "seeds": [0]}
    ledger = Ledger(optuna.create_study())
    assert not draws_at_random(small(plan=plan), ledger, 3)
    assert draws_at_random(small(), ledger, 0)
    assert not draws_at_random(small(sampler={"name": "nsga2"}), ledger, 2)
    assert draws_at_random(small(sampler={"name": "nsga2"}), ledger, 3)


def test_a_sampler_that_is_locked_onto_one_point_is_left_after_three_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked(monkeypatch)
    config = small(sampler={"name": "tpe", "startup_trials": 2}, trials=12)
    study = search(config, Simulated(config), tmp_path, trials=6)
    for _ in range(2):  # as if a search had been killed there: the repeats before count for the next call too
        trial = next(trial for trial in study.trials if "duplicate_of" in trial.user_attrs)
        trial.datetime_complete = datetime.now()
        study.add_trial(trial)
    search(config, Simulated(config), tmp_path, study)
    runs = "".join("r" if one else "." for one in repeats(study)).split(".")
    assert set(runs) == {"", "rrr"}
    assert runs.count("rrr") >= 8


def test_repeats_that_wait_for_a_training_under_way_count_and_idle_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked(monkeypatch)
    config = small(sampler={"name": "tpe", "startup_trials": 1}, trials=10)
    crew = Simulated(config, 2)
    study = search(config, crew, tmp_path)
    assert set(crew.busy[:-4]) == {2}
    assert 3 <= repeats(study).count(True) <= 3 * 10


def test_a_space_that_cannot_be_listed_is_drawn_from_before_its_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers_module, "DRAWS", 50)
    ratio = {"channel_ratio": {"type": "float", "low": 0.5, "high": 0.55}}  # of few networks, for widths are whole
    vary = {"base_width": {"type": "choice", "values": [4]}, **ratio, **DECODER}
    config = small(vary, trials=100)
    with pytest.raises(
        StudyError, match=r"of 100 trials trained, and nothing new is left: .*, 50 points drawn at random were tried"
    ):
        search(config, Simulated(config), tmp_path)


def test_under_limits_the_end_of_a_space_is_that_of_its_networks_that_meet_them(tmp_path: Path) -> None:
    every = [point for point in known_points(small().space) or [] if point["base_width"] == 4]
    widest = max(total_cost(small().space.spec_of(point), (32, 64), 11).num_params for point in every)
    config = small(limits=[f"num_params <= {widest}"], trials=30)
    with pytest.raises(StudyError, match=r"\d+ of 30 trials trained, and nothing new is left"):
        search(config, Simulated(config), tmp_path, study := optuna.create_study(directions=["maximize", "minimize"]))
    meet = [
        point
        for point in known_points(config.space) or []
        if total_cost(config.space.spec_of(point), (32, 64), 11).num_params <= widest
    ]
    assert 10 <= len(networks(study)) == len(meet) < 30


def test_points_of_a_space_are_listed_as_they_are_counted() -> None:
    space = small().space
    points = known_points(space)
    assert points is not None
    labelled = [tuple(sorted((key, label(value)) for key, value in point.items())) for point in points]
    assert len(set(labelled)) == len(points) == count_points(space).points == 30
    assert all(("fusion" in point) == (point["num_blocks"] != 3) for point in points)
    even = {"type": "int", "low": 4, "high": 512, "step": 2}
    wide = {"base_width": even, "decoder.head_width": {"type": "int", "low": 4, "high": 512}}
    assert known_points(SearchSpace.model_validate({"name": "s", "vary": wide})) is None
    ratio = {"channel_ratio": {"type": "float", "low": 0.3, "high": 0.7}}
    assert known_points(SearchSpace.model_validate({"name": "s", "vary": ratio})) is None


def test_a_random_point_follows_from_seed_and_count_whatever_was_drawn_before() -> None:
    space = small().space
    one, other = RandomPoints(space, 3), RandomPoints(space, 3)
    for count in range(5):
        other.draw(count, lambda chosen: True)
    assert one.draw(7, lambda chosen: True) == other.draw(7, lambda chosen: True)
    drawn = {tuple((RandomPoints(space, seed).draw(7, lambda chosen: True) or {}).values()) for seed in range(20)}
    assert len(drawn) > 5
    assert one.draw(8, lambda chosen: chosen["base_width"] == 6 and chosen["num_blocks"] == 3)["base_width"] == 6  # type: ignore[index]
    assert one.draw(9, lambda chosen: False) is None
    orders = [RandomPoints(space, seed).left or [] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != known_points(space)


def test_the_start_up_lasts_until_so_many_random_networks_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: set[int] = set()
    original = Tpe.sample_independent

    def noted(self: Tpe, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        learnt.add(trial.number)
        return original(self, study, trial, name, distribution)

    monkeypatch.setattr(Tpe, "sample_independent", noted)
    # What meets the limit is rare, what meets the constraint rarer; references and what is screened out are no draws.
    config = small(
        limits=["num_params <= 66000"],
        constraints=["latency_ms <= 4"],
        references=["stdc1", "stdc2"],
        sampler={"name": "tpe", "startup_trials": 4},
        trials=7,
    )
    crew = Simulated(config, figures=lambda candidate: (0.5, 3.0 if candidate.train.heads.detail_strides else 5.0))
    study = search(config, crew, tmp_path)
    trained = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    numbers = [trial.number for trial in trained if "duplicate_of" not in trial.user_attrs]
    assert [trial.user_attrs.get("reference") for trial in trained[:3]] == ["stdc1", "stdc2", None]
    assert sum("screened" in trial.user_attrs for trial in study.trials[: numbers[5]]) >= 2
    assert learnt, "the model of the space was never used"
    assert numbers[5] < min(learnt) <= numbers[6]


def diverges(candidate: Candidate) -> Failed | None:
    if candidate.spec.num_blocks != 4:  # type: ignore[attr-defined]
        return None
    return Failed("the loss is no number", out_of_memory=False, ends=False, diverged=True)


@pytest.mark.parametrize("blamed", [True, False])
def test_a_region_that_fails_is_left_by_tpe_and_its_trials_stay_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blamed: bool
) -> None:
    monkeypatch.setattr("stdc_lab.search.loop.MAX_FAILURES_IN_A_ROW", 25)
    wide = {**SMALL, "base_width": {"type": "int", "low": 4, "high": 60, "step": 2}}
    config = small(wide, sampler={"name": "tpe", "startup_trials": 10}, trials=40)
    study = optuna.create_study(directions=["maximize", "minimize"])

    def failing(candidate: Candidate) -> Failed | None:
        failed = diverges(candidate)
        return failed if failed is None or blamed else Failed(failed.reason, out_of_memory=False, ends=True)

    if blamed:
        search(config, Simulated(config, failing=failing), tmp_path, study)
    else:  # as for Optuna's samplers, to which a failed trial is none
        with pytest.raises(StudyError, match="25 trials failed in a row, the last one: the loss is no number"):
            search(config, Simulated(config, failing=failing), tmp_path, study)
    failed = [trial for trial in study.trials if trial.params["num_blocks"] == 4]
    assert {(trial.state.name, trial.user_attrs["reason"]) for trial in failed} == {("FAIL", "the loss is no number")}
    share = sum(trial.params["num_blocks"] == 4 for trial in study.trials[20:]) / len(study.trials[20:])
    assert share < 0.1 if blamed else share > 0.5


def test_only_a_failure_of_the_point_is_a_lesson(tmp_path: Path) -> None:
    config = small(trials=2)
    reasons = iter([
        Failed("no number", out_of_memory=False, ends=False, diverged=True),
        Failed("too large", out_of_memory=True, ends=True),
        None,
        Failed("the disk is full", out_of_memory=False, ends=False),
        Failed("RuntimeError", out_of_memory=False, ends=True),
        None,
    ])  # fmt: skip
    trials = search(config, Simulated(config, failing=lambda candidate: next(reasons)), tmp_path).trials
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    told = lessons(trials)
    assert [trial.number for trial in told] == [0, 1, 2, 5]
    assert [trial.state.name for trial in told] == ["PRUNED", "PRUNED", "COMPLETE", "COMPLETE"]
    assert [trial.constraints for trial in told] == [{"trainable": 1.0}] * 2 + [{}] * 2
    assert [trial.params for trial in told] == [trials[number].params for number in (0, 1, 2, 5)]
    outside = create_trial(values=[0.5, 30.0])  # a reference that is no point of the space
    assert lessons([outside]) == []


def test_out_of_memory_in_smaller_parts_too_is_the_points_failure(tmp_path: Path) -> None:
    train = {"iterations": 2, "batch_size": 4, "warmup_iterations": 1, "evaluations": 1}
    config = small(trials=1, train=train)
    reasons = iter([Failed("too large", out_of_memory=True, ends=True)] * 2 + [None])
    crew = Simulated(config, failing=lambda candidate: next(reasons))
    study = search(config, crew, tmp_path)
    assert [candidate.train.accumulation for candidate in crew.given] == [1, 2, 1]
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert [trial.number for trial in lessons(study.trials)] == [0, 1]
