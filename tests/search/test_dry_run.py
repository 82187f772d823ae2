import pytest

from stdc_lab.arch import presets, total_cost
from stdc_lab.errors import StdcLabError
from stdc_lab.search.dry_run import dry_run
from tests.search.test_driver import study_config


def test_the_estimate_adds_up_from_what_was_measured():
    config = study_config(references=["stdc1"], trials=5)
    told = []
    result = dry_run(config, samples=50, on_survey=told.append)
    estimate = result.estimate
    assert told == [result.survey]
    assert result.no_estimate_because is None
    own = total_cost(presets["stdc1"], (32, 64), 11).macs
    assert estimate.typical_macs_ratio == pytest.approx(result.survey.mean_macs / own)
    computing = 2 * estimate.step_s + estimate.evaluation_s
    assert estimate.step_s > 0
    assert estimate.evaluation_s > 0
    assert estimate.trial_s == pytest.approx(estimate.timing_s + computing)
    assert estimate.typical_trial_s == pytest.approx(estimate.timing_s + computing * estimate.typical_macs_ratio)
    assert estimate.study_s == pytest.approx(estimate.trial_s + 4 * estimate.typical_trial_s)
    assert "took 2 optimiser steps" in estimate.how
    assert "2 of the 2 validation images" in estimate.how


def test_a_training_of_more_steps_is_timed_after_untimed_ones():
    config = study_config(
        train={"iterations": 30, "batch_size": 2, "warmup_iterations": 1, "evaluations": 1},
        space={"name": "one", "vary": {"num_blocks": {"type": "int", "low": 2, "high": 3}}},
    )
    estimate = dry_run(config, samples=5).estimate
    assert estimate.network == "stdc1"
    assert "took 20 optimiser steps" in estimate.how or "took 3" in estimate.how


def test_without_data_there_is_a_reason_and_no_figure():
    result = dry_run(study_config(data={"name": "camvid", "size": [32, 64]}), samples=20)
    assert result.survey.num_classes == 11
    assert result.estimate is None
    assert "--data camvid=PATH" in result.no_estimate_because
    with pytest.raises(StdcLabError, match="--device"):
        dry_run(study_config(), device="gpu")


def test_limits_are_about_the_classes_of_the_data():
    space = {**study_config().model_dump(mode="json")["space"], "limits": ["macs <= 1 at 32x64"]}
    result = dry_run(study_config(space=space), samples=10)
    assert (result.survey.feasible, result.survey.macs, result.survey.num_classes) == (0, None, 11)
    assert (result.estimate, result.no_estimate_because) == (None, "no sample meets the limits")


def test_a_plan_is_as_long_as_its_pairs():
    plan = {"arms": {"wide": {"base_width": 8}, "narrow": {"base_width": 4}}, "seeds": [0, 1, 2]}
    space = {"name": "plan", "vary": {"base_width": {"type": "choice", "values": [8, 4]}}}
    estimate = dry_run(study_config(plan=plan, space=space), samples=5).estimate
    wide, narrow = (total_cost(presets["stdc1"].replace(base_width=width), (32, 64), 11).macs for width in (8, 4))
    computing = estimate.trial_s - estimate.timing_s
    assert (estimate.network, estimate.trials) == ("wide", 6)
    assert estimate.study_s == pytest.approx(6 * estimate.timing_s + 3 * computing * (1 + narrow / wide))
