"""Objectives, constraints, limits, samplers and plans in studies of real trials, each of which takes about a second."""

import signal
from pathlib import Path
from typing import Any

import optuna
import pytest

from stdc_lab.analysis.frame import load_study
from stdc_lab.analysis.pruning_report import pruning_report
from stdc_lab.arch import presets, total_cost
from stdc_lab.config.reading import read_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import TrialRecord
from stdc_lab.reporting import render_report
from stdc_lab.search import loop as loop_module
from stdc_lab.search import run_study
from stdc_lab.search.propose import enqueue_known, make_sampler, next_trial
from stdc_lab.search.samplers import RandomPoints
from stdc_lab.storage import open_study
from tests.search.kept_trainings import assert_every_training_is_kept
from tests.search.test_driver import DECODER, Notes, study_config
from tests.search.test_workers import Sends

TINY_NETWORK = {"base_width": 4, "depths": [1, 1, 1], "num_blocks": 2}
TINY_DECODER = {"context_width": 8, "fusion_width": 8, "head_width": 8}


def space(**more: Any) -> dict[str, Any]:
    return {**study_config().model_dump(mode="json")["space"], **more}


def stored(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="tiny", storage=f"sqlite:///{folder / 'study.db'}")


def test_limits_are_checked_before_anything_is_built_and_guide_without_being_counted(crew, tmp_path):
    limit = "macs <= 300000 at 32x64"
    config = study_config(space=space(limits=[limit]), trials=3)
    notes = Notes()
    run_study(config, tmp_path, watcher=notes, crew=crew)
    frame = load_study(tmp_path)
    screened = frame[frame["screened"]]
    assert len(screened) > 0
    assert frame["state"].eq("COMPLETE").sum() == len(notes.trained) == len(notes.timed) == 3
    assert set(screened["state"]) == {"PRUNED"}
    assert screened["reason"].str.startswith(f"screened out before it was built: {limit}").all()
    assert screened["miou"].isna().all()
    assert not screened["on_front"].any()
    assert not screened["feasible"].any()
    for trial in stored(tmp_path).trials:
        spec = config.space.spec_of(config.space.choose(optuna.trial.FixedTrial(trial.params)))
        assert trial.constraints == {limit: pytest.approx(total_cost(spec, (32, 64), 11).macs / 300_000 - 1)}
        assert (trial.constraints[limit] > 0) == (trial.state.name == "PRUNED")
    assert run_study(config, tmp_path, crew=crew).trained_before == 3


class Listens(Notes):
    """Notes what was screened out while another trial was at work."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def trial_screened(self, number: int, reason: str) -> None:
        self.order.append("screened")

    def trial_finished(self, candidate: Any, record: TrialRecord, duplicate_of: int | None) -> None:
        self.order.append("finished")


@pytest.mark.slow
def test_a_worker_is_heard_while_proposals_for_another_are_all_screened_out(tmp_path, monkeypatch):
    monkeypatch.setattr(loop_module, "PROPOSALS_AT_ONCE", 1)
    monkeypatch.setattr(loop_module, "MAX_SCREENED_IN_A_ROW", 5)
    monkeypatch.setattr("stdc_lab.search.driver.refuse_hopeless", lambda *_: None)
    config = study_config(space=space(limits=["num_params <= 1000"]), references=["stdc1"], trials=2)
    notes = Listens()
    with pytest.raises(StudyError, match="proposals were all screened out"):
        run_study(config, tmp_path, jobs=2, watcher=notes)
    finished = notes.order.index("finished")
    assert finished == 5  # no more than that while the other was at work
    assert notes.order[finished:].count("screened") == 5


@pytest.mark.slow
def test_a_network_too_slow_is_not_trained_but_one_that_the_study_names_is(crew, tmp_path):
    config = study_config(
        constraints=["latency_ms <= 0.0001"], references=["stdc1"], networks={"mine": {**TINY_NETWORK}}, trials=2
    )
    run_study(config, tmp_path, crew=crew)
    frame = load_study(tmp_path)
    assert frame["reference"].tolist() == ["stdc1", "mine"]
    assert frame["state"].eq("COMPLETE").all()
    assert not frame["feasible"].any()
    assert not frame["on_front"].any()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "MAX_SCREENED_IN_A_ROW", 4)
        with pytest.raises(
            StudyError, match=r"the last 4 proposals were all screened out, the last one: .*latency_ms <="
        ):
            run_study(config, tmp_path, trials=3, crew=crew)
    screened = load_study(tmp_path).query("screened")
    assert len(screened) == 4
    assert screened["latency_ms"].notna().all()
    assert screened["train_seconds"].isna().all()
    assert screened["reason"].str.startswith("screened out before it was trained: latency_ms <= 0.0001: ").all()
    assert "screened out" in (render_report(tmp_path)).read_text()


def test_what_breaks_a_bound_on_miou_is_kept_and_never_on_the_front(crew, tmp_path):
    run_study(study_config(constraints=["miou >= 0.99"]), tmp_path, crew=crew)
    frame = load_study(tmp_path)
    assert frame["state"].eq("COMPLETE").all()
    assert frame["miou"].notna().all()
    assert not frame["on_front"].any()
    assert all(trial.constraints["miou >= 0.99"] > 0 for trial in stored(tmp_path).trials)


@pytest.mark.slow
def test_objectives_of_every_kind_are_measured_told_and_reported(crew, tmp_path):
    objectives = ["boundary_f", "latency_ratio", "num_params", "peak_activations"]
    networks = {"mine": {**TINY_NETWORK, "decoder": TINY_DECODER}}
    config = study_config(
        objectives=objectives, networks=networks, trials=3, sampler={"name": "nsga2", "population": 2}
    )
    run_study(config, tmp_path, crew=crew)
    frame = load_study(tmp_path)
    trials = stored(tmp_path).trials
    assert [direction.name for direction in stored(tmp_path).directions] == ["MAXIMIZE"] + ["MINIMIZE"] * 3
    for row, trial in zip(frame.to_dict("records"), trials, strict=True):
        record = TrialRecord.model_validate_json((tmp_path / "runs" / row["trial_key"] / "trial.json").read_bytes())
        assert trial.values == [row[name] for name in objectives]
        assert row["boundary_f"] == record.boundary_f
        assert row["miou"] == record.result.miou
        assert row["peak_activations"] == record.profile.peak_activations
    assert frame["reference"].tolist()[0] == "mine"
    assert frame["latency_ratio"].tolist()[0] == 1
    assert (frame["latency_ratio"] > 0).all()
    assert frame["on_front"].any()
    page = render_report(tmp_path).read_text()
    assert "boundary F-score up, latency over the reference’s down, parameters down" in page
    assert "Boundary F" in page
    assert "stepped line" not in page


def test_a_single_objective_is_a_front_of_the_best(crew, tmp_path):
    run_study(
        study_config(objectives=["miou"], trials=3, sampler={"name": "tpe", "startup_trials": 1}), tmp_path, crew=crew
    )
    frame = load_study(tmp_path)
    assert (frame["on_front"] == (frame["miou"] == frame["miou"].max())).all()
    assert render_report(tmp_path).exists()


def plan_config(seeds: list[int], **changes: Any) -> StudyConfig:
    arms = {"two": {"num_blocks": 2}, "plain": {"heads.detail_strides": []}}
    small = {key: value["values"][0] for key, value in DECODER.items()} | {"base_width": 4}
    arms = {name: {**small, **settings} for name, settings in arms.items()}
    vary = {"num_blocks": {"type": "choice", "values": [2, 3]}}
    values = {"space": {"name": "plan", "vary": vary}, "plan": {"arms": arms, "seeds": seeds}}
    return study_config(**values, **changes)


def test_a_plan_runs_every_pair_once_and_more_seeds_extend_it(crew, tmp_path):
    outcome = run_study(plan_config([0, 1]), tmp_path, crew=crew)
    assert (outcome.trained, outcome.wanted) == (4, 4)
    assert run_study(plan_config([0, 1]), tmp_path, crew=crew).trained_before == 4
    run_study(plan_config([0, 1, 5]), tmp_path, crew=crew)
    frame = load_study(tmp_path)
    assert list(zip(frame["arm"], frame["seed"], strict=True)) == [
        (arm, seed) for seed in (0, 1, 5) for arm in ("two", "plain")
    ]
    assert frame["trial_key"].nunique() == 6
    assert frame["state"].eq("COMPLETE").all()
    assert frame["num_blocks"].tolist()[:2] == [2, 4]
    assert read_study(tmp_path / "study.yaml").plan.seeds == (0, 1, 5)
    record = TrialRecord.model_validate_json((tmp_path / "runs" / frame["trial_key"][3] / "trial.json").read_bytes())
    assert (record.seed, record.train.heads.detail_strides) == (1, ())


def test_a_space_or_plan_that_changed_under_a_study_is_refused_with_what_changed(crew, tmp_path):
    run_study(study_config(trials=1), tmp_path, crew=crew)
    other = space()
    other["vary"] = {**other["vary"], "num_blocks": {"type": "int", "low": 2, "high": 6}}
    with pytest.raises(
        StudyError,
        match=r"begun with another search space, from which its 1 trials come; nothing was changed. For the new space "
        r"use another --out: (.|\n)*put back:\n  space.vary.num_blocks.high: was 4, is 6",
    ):
        run_study(study_config(space=other, trials=2), tmp_path, crew=crew)
    folder = tmp_path / "plan"
    run_study(plan_config([0, 1]), folder, trials=1, crew=crew)
    with pytest.raises(StudyError, match=r"plan.seeds: was \[0, 1\], is \[0, 2\]"):
        run_study(plan_config([0, 2]), folder, crew=crew)
    with pytest.raises(StudyError, match=r"constraints: was \[\], is \['miou >= 0.5'\]"):
        run_study(plan_config([0, 1], constraints=["miou >= 0.5"]), folder, crew=crew)


def test_limits_that_nothing_meets_end_a_search_before_it_begins(crew, tmp_path, monkeypatch):
    monkeypatch.setattr("stdc_lab.analysis.space_survey.refuse_hopeless.__defaults__", (200,))
    config = study_config(space=space(limits=["num_params <= 1000"]))
    with pytest.raises(StudyError, match=r"`num_params <= 1000` alone kills all of them \(the space has [0-9,]+ to"):
        run_study(config, tmp_path, crew=crew)
    assert load_study(tmp_path).empty


@pytest.mark.slow
def test_a_plan_that_was_broken_off_goes_on_and_ends_complete(crew, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_study(plan_config([0, 1]), tmp_path, watcher=Sends(signal.SIGTERM, [(2, 0)]), crew=crew)
    run_study(plan_config([0, 1]), tmp_path, crew=crew)
    frame = load_study(tmp_path)
    assert frame["state"].eq("COMPLETE").all()
    assert sorted(zip(frame["arm"], frame["seed"], strict=True)) == sorted(
        (arm, seed) for seed in (0, 1) for arm in ("two", "plain")
    )


@pytest.mark.slow
def test_a_pair_that_failed_is_missing_at_the_end_and_tried_again_by_the_next_call(crew, tmp_path):
    outcome = run_study(plan_config([0, 1]), tmp_path, watcher=Sends(signal.SIGSEGV, [(1, 0)], crew), crew=crew)
    assert (outcome.trained, outcome.wanted, outcome.ended) == (3, 4, "not all of the plan could be trained")
    assert run_study(plan_config([0, 1]), tmp_path, crew=crew).trained == 4
    frame = load_study(tmp_path)
    assert frame["state"].tolist().count("FAIL") == 1
    assert frame.iloc[-1][["arm", "seed"]].tolist() == ["plain", 0]


def test_a_reference_in_a_space_with_fixed_settings_is_trained_by_them(crew, tmp_path):
    vary = {"num_blocks": {"type": "int", "low": 2, "high": 6}}
    fixed = {"heads.detail_strides": [], "train.learning_rate": 0.03}
    config = study_config(space={"name": "s", "vary": vary, "fixed": fixed}, references=["stdc1"], trials=1)
    run_study(config, tmp_path, crew=crew)
    [trial] = stored(tmp_path).trials
    record = TrialRecord.model_validate_json(
        (tmp_path / "runs" / trial.user_attrs["trial_key"] / "trial.json").read_bytes()
    )
    assert trial.params == {"num_blocks": 4}
    assert (record.arch, record.train.learning_rate) == (presets["stdc1"], 0.03)


def asked(config: StudyConfig, folder: Path, count: int) -> list[dict[str, Any]]:
    """The points of so many proposals of a sampler, told values that follow from them and a bound on one."""
    study = open_study(config, folder)
    points, random_points = [], RandomPoints(config.space, config.seed)
    for number in range(count):
        starting = config.sampler.name == "tpe" and number < config.sampler.startup_trials
        drawn = random_points.draw(number, lambda chosen: True) if starting else None
        study.sampler = make_sampler(config, number, drawn)
        trial = next_trial(study, config)
        assert trial is not None
        chosen = config.space.choose(trial)
        points.append(dict(trial.params))
        size = float(total_cost(config.space.spec_of(chosen), (32, 64)).macs)
        trial.set_constraint("small", size / 2e5 - 1)
        if size > 2e5:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, [chosen["num_blocks"] / 10, size])
    return points


CONDITIONAL = {
    "base_width": {"type": "choice", "values": [4, 8, 16, 32]},
    "num_blocks": {"type": "int", "low": 2, "high": 4},
    "fusion": {"type": "choice", "values": ["cat", "add"], "when": {"num_blocks": [4]}},
    **DECODER,
}


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_samplers_take_conditions_and_screened_trials_and_repeat_by_seed(name, tmp_path):
    sampler = {"name": name, "startup_trials": 5, "population": 4}
    config = study_config(space={"name": "c", "vary": CONDITIONAL}, sampler=sampler)
    points = asked(config, tmp_path, 24)
    (tmp_path / "again").mkdir()
    assert points == asked(config, tmp_path / "again", 24)
    assert all(("fusion" in point) == (point["num_blocks"] == 4) for point in points)


def test_what_was_screened_out_teaches_tpe_to_keep_to_the_limit(tmp_path):
    config = study_config(space={"name": "c", "vary": CONDITIONAL}, sampler={"name": "tpe", "startup_trials": 10})
    points = asked(config, tmp_path, 60)

    def share(some: list[dict[str, Any]]) -> float:
        return sum(point["base_width"] == 4 for point in some) / len(some)

    assert share(points[20:]) > share(points[:10]) + 0.15


def test_known_networks_are_queued_once(tmp_path):
    config = study_config(references=["stdc1", "stdc2"], networks={"mine": TINY_NETWORK})
    study = open_study(config, tmp_path)
    enqueue_known(study, config)
    enqueue_known(study, config)
    assert [trial.user_attrs["reference"] for trial in study.trials] == ["stdc1", "stdc2", "mine"]


@pytest.mark.slow
def test_a_dominated_training_is_stopped_on_the_way_and_its_curve_is_kept(crew, tmp_path):
    train = {"iterations": 8, "batch_size": 2, "warmup_iterations": 1, "evaluations": 4}
    rule = {"margin": 0.0, "dominators": 1, "finished": 3, "from_share": 0.0}
    config = study_config(objectives=["miou", "num_params"], train=train, pruning=rule, trials=9)
    run_study(config, tmp_path, trials=5, crew=crew)
    run_study(config, tmp_path, crew=crew)  # what was finished before still counts
    frame = load_study(tmp_path)
    assert_every_training_is_kept(tmp_path)
    stopped = frame[frame["state"] == "PRUNED"]
    assert len(frame) == 9
    assert 1 <= len(stopped) <= 6
    assert stopped["reason"].str.startswith("stopped at iteration").all()
    assert stopped["miou"].isna().all()
    assert not stopped[["on_front", "screened"]].any().any()
    for key in stopped["trial_key"]:
        record = TrialRecord.model_validate_json((tmp_path / "runs" / key / "trial.json").read_bytes())
        last = record.result.curve[-1]
        assert last.iteration < 8
        assert record.stopped is not None
        assert record.stopped.startswith(f"stopped at iteration {last.iteration}: ")
        assert record.result.miou == last.miou
    assert "stopped early" in render_report(tmp_path).read_text()
    report = pruning_report(tmp_path)
    assert {trial.number for trial in report.stopped} == set(stopped["number"])
    assert report.saved_s > 0
