"""What stopping saves and loses, on study folders whose numbers can be reckoned by hand."""

import json

import pytest
from optuna.trial import TrialState

from stdc_lab.analysis.pruning_report import pruning_report
from stdc_lab.config.study import StudyConfig
from stdc_lab.errors import StudyError
from stdc_lab.records import CurvePoint
from tests.cli.in_process import stdc_lab
from tests.study_folder import add_complete, open_study, some_params, study_config

TRAIN = {"iterations": 100, "warmup_iterations": 1, "evaluations": 2}
# mIoU at iteration 50 and at the end, latency, seconds.
TRIALS = (
    (0.40, 0.50, 10.0, 100.0),
    (0.41, 0.51, 10.5, 100.0),
    (0.42, 0.53, 11.0, 100.0),
    (0.20, 0.30, 12.0, 100.0),  # hopeless, and seen to be at the rung
    (0.30, 0.60, 12.5, 200.0),  # behind at the rung, first at the end
    (0.10, 0.15, 5.0, 100.0),  # the fastest: nothing dominates it
)


@pytest.fixture
def folder(tmp_path):
    config = study_config(train=TRAIN)
    make(tmp_path, config)
    return tmp_path


def make(folder, config: StudyConfig, stopped: str | None = None, references: dict[int, str] | None = None):
    with open_study(folder, config) as study:
        for index, (rung, end, latency, seconds) in enumerate(TRIALS):
            known = (references or {}).get(index)
            params = None if known else some_params(index)
            record = add_complete(study, folder, config, miou=end, latency_ms=latency, params=params, reference=known)
            curve = [CurvePoint(iteration=50, loss=1, learning_rate=0.1, miou=rung)]
            if stopped is None or index != 3:
                curve.append(CurvePoint(iteration=100, loss=1, learning_rate=0.1, miou=end))
            result = record.result.model_copy(update={"curve": tuple(curve), "seconds": seconds})
            changes = {"result": result, "stopped": stopped if index == 3 else None}
            path = folder / "runs" / record.trial_key / "trial.json"
            path.write_text(record.model_copy(update=changes).model_dump_json())


def test_a_replay_says_what_would_be_saved_and_lost(folder):
    rule = {"margin": 1.0, "dominators": 2, "finished": 3, "from_share": 0.2}
    (folder / "study.yaml").write_text(study_config(train=TRAIN, pruning=rule).model_dump_json())
    report = pruning_report(folder, margins=(1.0, 100.0))
    assert (report.finished, report.stopped, report.saved_s) == (6, (), 0)
    [noise] = report.noises
    assert (noise.iteration, noise.trainings) == (50, 6)
    acts, never = report.replays
    assert (acts.margin, acts.stopped, acts.saved_s) == (1.0, (3, 4), 50 + 100)
    assert acts.saved_share == pytest.approx(150 / 700)
    assert acts.lost_from_front == (4,)
    assert acts.hypervolume_share is not None
    assert acts.hypervolume_share < 1
    assert (never.stopped, never.saved_s, never.lost_from_front, never.hypervolume_share) == ((), 0, (), 1)


def test_what_was_stopped_is_told_with_what_it_would_have_reached(tmp_path):
    config = study_config(train=TRAIN, pruning={"finished": 3})
    make(tmp_path, config, stopped="stopped at iteration 50: dominated by #2, #1")
    report = pruning_report(tmp_path)
    assert report.finished == 5
    [trial] = report.stopped
    assert (trial.number, trial.iteration, trial.iterations, trial.seconds) == (3, 50, 100, 100)
    assert trial.saved_s == report.saved_s == 100
    assert trial.expected_miou == pytest.approx(0.20 + (0.10 + 0.10 + 0.11 + 0.30 + 0.05) / 5)
    assert trial.would_be_on_front is False


def test_references_are_not_stopped_and_screened_trials_are_not_in_it(tmp_path):
    config = study_config(train=TRAIN, pruning={"margin": 1.0, "finished": 3})
    make(tmp_path, config, references={4: "stdc1"})
    with open_study(tmp_path, config) as study:
        trial = study.ask()
        trial.set_user_attr("screened", True)
        study.tell(trial, state=TrialState.PRUNED)
    report = pruning_report(tmp_path, margins=(1.0,))
    assert report.finished == 6
    assert report.replays[0].stopped == (3,)


def test_the_command_prints_and_writes_it(folder):
    done = stdc_lab("study", "pruning", folder, "--json", folder / "pruning.json")
    assert done.returncode == 0, done.stderr
    assert "demo: 6 trainings came to their end" in done.stdout
    assert "lost from the front  hypervolume" in done.stdout
    assert not (folder / "report").exists()
    written = json.loads((folder / "pruning.json").read_text())
    assert [replay["margin"] for replay in written["replays"]] == [0, 0.5, 1, 2, 3]
    assert json.loads(stdc_lab("study", "pruning", folder, "--json", "-").stdout) == written
    assert stdc_lab("report", folder, "--json", "-").returncode == 2


def test_objectives_that_no_rung_tells_are_refused(tmp_path):
    with open_study(tmp_path, study_config(objectives=["boundary_f", "latency_ms"])):
        pass
    with pytest.raises(StudyError, match="its objectives are not known on the way"):
        pruning_report(tmp_path)
