"""What a latency decides, and what it leaves open; a crew that plays its part stands for the workers."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stdc_lab.analysis.frame import load_study
from stdc_lab.arch import ArchSpec
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import LatencyResult, ProfileResult, TrialRecord
from stdc_lab.search import loop as loop_module
from stdc_lab.search import objective as objective_module
from stdc_lab.search import run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.known_costs import IMPLAUSIBLE, KnownCosts
from stdc_lab.search.objective import measure_cost
from stdc_lab.search.pruning import Pruner
from stdc_lab.storage import StoredTrial, open_study, trials_of
from tests.search.scripted import ScriptedCrew, timing
from tests.search.test_driver import DECODER, study_config
from tests.study_folder import make_record

BOUND = "latency_ms <= 40"
TOO_SLOW = timing(45, 44, 46)
OPEN = timing(45, 39, 60, noisy=True)
NOISY_AND_SLOW = timing(45, 41, 60, noisy=True)
FAST = timing(20, 19, 21)


def one_network(**changes: Any) -> StudyConfig:
    """Of a single network, with a training that varies."""
    vary = {
        "base_width": {"type": "choice", "values": [4]},
        "heads.detail_strides": {"type": "choice", "values": [[], [8]]},
        **DECODER,
    }
    return study_config(**({"space": {"name": "one", "vary": vary}, "constraints": [BOUND], "trials": 1} | changes))


def always(latency: LatencyResult) -> ScriptedCrew:
    return ScriptedCrew(lambda spec: latency)


def searched(folder: Path, crew: ScriptedCrew, config: StudyConfig | None = None) -> list[dict[Any, Any]]:
    run_study(config or one_network(), folder, crew=crew)  # type: ignore[arg-type]
    return load_study(folder).to_dict("records")


def screened_out(folder: Path, crew: ScriptedCrew, monkeypatch: pytest.MonkeyPatch, count: int = 1) -> str:
    """Search until so many are screened out; gives what the search said at its end."""
    with monkeypatch.context() as patch:
        patch.setattr(loop_module, "MAX_SCREENED_IN_A_ROW", count)
        with pytest.raises(StudyError, match="were all screened out") as caught:
            searched(folder, crew)
    return str(caught.value)


def trials(folder: Path, config: StudyConfig) -> list[StoredTrial]:
    return trials_of(open_study(config, folder))


def test_what_its_interval_leaves_open_is_trained_and_every_place_says_the_same_of_it(tmp_path: Path) -> None:
    crew = always(OPEN)
    [row] = searched(tmp_path, crew)
    assert (row["state"], row["screened"], crew.trained) == ("COMPLETE", False, [0])
    assert (row["feasible"], row["doubtful"], row["on_front"]) == (True, True, True)
    assert (row["latency_ms"], row["latency_ms_low"], row["latency_ms_high"]) == (45, 39, 60)
    [trial] = trials(tmp_path, one_network())
    assert trial.constraints == {BOUND: pytest.approx(39 / 40 - 1)}, "the sampler is told the same"


def test_what_is_surely_too_slow_is_screened_out_and_not_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = always(TOO_SLOW)
    said = screened_out(tmp_path, crew, monkeypatch)
    [row] = load_study(tmp_path).to_dict("records")
    assert (row["state"], row["screened"], row["feasible"], row["doubtful"]) == ("PRUNED", True, False, False)
    assert row["reason"] == f"screened out before it was trained: {BOUND}: 45 (44 to 46)"
    assert row["reason"] in said
    assert crew.trained == []
    [trial] = trials(tmp_path, one_network())
    assert trial.constraints == {BOUND: pytest.approx(0.1)}


def test_what_a_noisy_timing_screened_out_is_marked_and_timed_again_when_proposed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = always(NOISY_AND_SLOW)
    screened_out(tmp_path, crew, monkeypatch)
    [row] = load_study(tmp_path).to_dict("records")
    assert (row["screened"], row["doubtful"]) == (True, True)
    assert row["reason"].endswith("45 (41 to 60); on a noisy timing: `stdc-lab study retime` takes it up again")
    quiet = always(FAST)
    monkeypatch.setattr(loop_module, "MAX_SCREENED_IN_A_ROW", 2)
    rows = searched(tmp_path, quiet)
    assert len(quiet.timed) == 1
    assert (rows[1]["state"], rows[1]["latency_ms"], rows[1]["doubtful"]) == ("COMPLETE", 20, False)


def test_what_was_quietly_screened_out_is_not_timed_again_for_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = always(TOO_SLOW)
    screened_out(tmp_path, crew, monkeypatch, count=4)
    assert len(crew.timed) == 1
    assert len(crew.tasks) == 4


def test_a_bound_on_the_ratio_is_judged_by_its_interval_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {"mine": {"base_width": 6, "decoder": {"context_width": 8, "fusion_width": 8, "head_width": 8}}}
    config = one_network(constraints=["latency_ratio <= 0.5"], networks=networks, trials=2)
    open_ratio = FAST.model_copy(update={"times_as_fast": 1.8, "times_as_fast_ci95": (1.5, 2.2)})
    _, row = searched(tmp_path / "open", always(open_ratio), config)
    assert row["latency_ratio"] == pytest.approx(1 / 1.8)
    assert (row["state"], row["feasible"], row["doubtful"]) == ("COMPLETE", True, True)
    sure = open_ratio.model_copy(update={"times_as_fast_ci95": (1.7, 1.9)})
    monkeypatch.setattr(loop_module, "MAX_SCREENED_IN_A_ROW", 1)
    with pytest.raises(StudyError, match=r"latency_ratio <= 0.5: 0.555556 \(0.526316 to 0.588235\)"):
        searched(tmp_path / "sure", always(sure), config)


def test_what_its_interval_leaves_open_may_stop_others_and_what_breaks_a_bound_may_not(tmp_path: Path) -> None:
    config = one_network(pruning={})
    made = make_record(0, candidate().spec, config, 0.5, 1.0)
    for latency, count in ((OPEN, 1), (TOO_SLOW, 0)):
        pruner = Pruner(config, tmp_path, [])
        pruner.add(made.model_copy(update={"profile": made.profile.model_copy(update={"latency": latency})}))
        assert len(pruner.finished) == count


# A latency that cannot be


def candidate(**changes: Any) -> Candidate:
    config = one_network()
    return Candidate(0, config.space.spec_of({"base_width": 4}), config.train, 0)


def measured_in_turn(monkeypatch: pytest.MonkeyPatch, *medians: float) -> list[float]:
    """Let profiles have these latencies, one after the other; gives those that are left."""
    left = list(medians)

    def profile(spec: ArchSpec, **settings: Any) -> ProfileResult:
        median_ms = left.pop(0)
        made = make_record(0, spec, one_network(), 0.5, 1.0).profile
        return made.model_copy(update={"latency": timing(median_ms, median_ms * 0.99, median_ms * 1.01)})

    monkeypatch.setattr(objective_module, "profile", profile)
    return left


def test_a_latency_that_cannot_be_is_measured_again_and_then_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    one = candidate()
    macs = make_record(0, one.spec, one_network(), 0.5, 1.0).profile.macs
    beside = [(10.6, macs / 1.15)]
    device: Any = None

    left = measured_in_turn(monkeypatch, 1179.0, 12.0)
    latency = measure_cost(one, one_network(), 11, device, beside).latency
    assert latency is not None and (latency.median_ms, latency.noisy, latency.note) == (12.0, False, None)
    assert left == []

    measured_in_turn(monkeypatch, 1179.0, 1300.0)
    latency = measure_cost(one, one_network(), 11, device, beside).latency
    assert latency is not None and (latency.median_ms, latency.noisy, latency.note) == (1179.0, True, IMPLAUSIBLE)

    left = measured_in_turn(monkeypatch, 50.0, 12.0)
    latency = measure_cost(one, one_network(), 11, device, beside).latency
    assert latency is not None and latency.median_ms == 50.0 and left == [12.0], "within five times: once"


def test_a_trial_is_told_what_networks_near_in_size_cost(tmp_path: Path) -> None:
    widths = {"base_width": {"type": "choice", "values": [4, 6, 64]}, **DECODER}
    config = study_config(space={"name": "widths", "vary": widths}, trials=3)
    crew = ScriptedCrew(lambda spec: FAST)
    searched(tmp_path, crew, config)
    given = {task.candidate.spec.widths[-1]: task for task in crew.tasks}
    assert set(given) == {64, 96, 1024}
    first, later = sorted((given[64], given[96]), key=lambda task: task.candidate.number)
    assert first.beside == ()
    [(latency_ms, macs)] = later.beside
    assert (latency_ms, macs > 0) == (20, True)
    assert given[1024].beside == (), "sixteen times as wide says nothing of it"
    known = KnownCosts(trials(tmp_path, config))
    assert len(known.beside("another", macs)) == 2, "known again after a resume"


def test_a_marked_latency_judges_no_other_and_is_in_the_table(tmp_path: Path) -> None:
    strange = timing(1179, 1170, 1190, noisy=True).model_copy(update={"note": IMPLAUSIBLE})
    [row] = searched(tmp_path, always(strange), one_network(constraints=[]))
    assert (row["latency_note"], row["latency_noisy"]) == (IMPLAUSIBLE, True)
    known = KnownCosts(trials(tmp_path, one_network(constraints=[])))
    assert known.beside("another", row["macs"]) == ()


# What cannot be measured

NO_MEMORY = FAST.model_copy(update={"peak_memory_bytes": None})
WHY = "cannot be measured here: this system does not tell how much memory"


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"objectives": ["miou", "peak_memory_bytes"]}, "objective peak_memory_bytes"),
        ({"constraints": ["peak_memory_bytes <= 1e9"]}, "constraint peak_memory_bytes <= 1000000000"),
    ],
)
def test_what_cannot_be_measured_ends_a_search_before_anything_is_trained(
    tmp_path: Path, asked: dict[str, Any], what: str
) -> None:
    config = one_network(**asked)
    for call in (1, 2):
        crew = always(NO_MEMORY)
        with pytest.raises(StudyError, match=f"{what}: {WHY}"):
            searched(tmp_path, crew, config)
        assert crew.trained == []
        assert load_study(tmp_path)["state"].tolist() == ["FAIL"] * call, "none is left running"
    rows = searched(tmp_path, always(FAST), config)  # where it can be measured, the same folder goes on
    assert rows[-1]["state"] == "COMPLETE"
    assert rows[-1]["peak_memory_bytes"] == 1000


def test_a_folder_that_an_older_version_left_open_ends_plainly_and_goes_on_where_it_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = one_network(objectives=["miou", "peak_memory_bytes"], constraints=[])
    with monkeypatch.context() as patch:  # the older version: no look at the profile, and what `tell` raises ends it

        def refuse(*_: Any) -> None:
            raise OSError("killed")

        patch.setattr(loop_module, "unmeasured", lambda *_: None)
        patch.setattr(loop_module, "tell", refuse)
        with pytest.raises(OSError, match="killed"):
            searched(tmp_path, always(NO_MEMORY), config)
    assert load_study(tmp_path)["state"].tolist() == ["RUNNING"]
    left = Path(shutil.copytree(tmp_path, tmp_path / "copy"))
    with pytest.raises(StudyError, match=f"objective peak_memory_bytes: {WHY}"):
        searched(left, always(NO_MEMORY), config)
    assert load_study(left)["state"].tolist() == ["FAIL"]
    [row] = searched(tmp_path, always(FAST), config)
    assert (row["number"], row["state"], row["peak_memory_bytes"]) == (0, "COMPLETE", 1000)


def test_of_a_finished_training_only_the_cost_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = one_network(objectives=["miou", "peak_memory_bytes"], constraints=[])
    crew = always(FAST)
    searched(tmp_path, crew, config)
    record = TrialRecord.model_validate_json(next((tmp_path / "runs").glob("*/trial.json")).read_bytes())
    anew = record.profile.model_copy(update={"latency": timing(7, 6, 8)})
    monkeypatch.setattr(objective_module, "find_scorer", lambda *_, **__: pytest.fail("it was trained again"))
    dataset: Any = SimpleNamespace(class_names=["a"])
    settings: Any = {"known_profile": anew}
    kept = objective_module.run_trial(crew.tasks[0].candidate, config, dataset, tmp_path / "runs", None, **settings)
    assert kept == record.model_copy(update={"profile": anew})
    assert TrialRecord.model_validate_json(next((tmp_path / "runs").glob("*/trial.json")).read_bytes()) == kept


def test_an_objective_that_came_out_empty_fails_its_trial_and_leaves_none_running(tmp_path: Path) -> None:
    config = one_network(objectives=["miou", "boundary_f"], constraints=[], known_training="new_seed")
    for call in (1, 2):
        with pytest.raises(StudyError, match="3 trials failed in a row, the last one: objective boundary_f: cannot be"):
            searched(tmp_path, always(FAST), config)
        assert load_study(tmp_path)["state"].tolist() == ["FAIL"] * (3 * call)
