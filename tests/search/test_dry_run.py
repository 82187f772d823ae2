import itertools
from types import SimpleNamespace

import pytest

from stdc_lab.arch import presets, total_cost
from stdc_lab.errors import StdcLabError
from stdc_lab.search import dry_run as dry_run_module
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


@pytest.mark.parametrize(("step_s", "steps"), [(0.01, 20), (5.0, 3)])
def test_a_training_of_more_steps_is_timed_after_untimed_ones(step_s, steps, monkeypatch):
    # By a clock of its own: how many steps a machine takes in eight seconds is its own affair.
    clock = itertools.count(0.0, step_s)
    monkeypatch.setattr(dry_run_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    config = study_config(
        train={"iterations": 30, "batch_size": 2, "warmup_iterations": 1, "evaluations": 1},
        space={"name": "one", "vary": {"num_blocks": {"type": "int", "low": 2, "high": 3}}},
    )
    estimate = dry_run(config, samples=5).estimate
    assert estimate.network == "stdc1"
    assert f"took {steps} optimiser steps" in estimate.how
    assert estimate.step_s == pytest.approx(step_s)


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


def a_plan(limits=(), wide=None, **changes):
    plan = {"arms": {"wide": {"base_width": 8, **(wide or {})}, "narrow": {"base_width": 4}}, "seeds": [0, 1, 2]}
    vary = {"base_width": {"type": "choice", "values": [8, 4]}}
    return study_config(plan=plan, space={"name": "plan", "vary": vary, "limits": list(limits)}, **changes)


def own_cost(width):
    return total_cost(presets["stdc1"].replace(base_width=width), (32, 64), 11)


def test_a_plan_is_as_long_as_its_pairs():
    estimate = dry_run(a_plan()).estimate
    wide, narrow = own_cost(8).macs, own_cost(4).macs
    computing = estimate.trial_s - estimate.timing_s
    assert (estimate.network, estimate.trials) == ("wide", 6)
    assert estimate.typical_macs_ratio == pytest.approx((wide + narrow) / 2 / wide)
    assert estimate.study_s == pytest.approx(6 * estimate.timing_s + 3 * computing * (1 + narrow / wide))


def test_an_arm_takes_as_long_as_its_own_training():
    estimate = dry_run(a_plan(wide={"train.evaluations": 2})).estimate
    step_s, evaluation_s = estimate.step_s, estimate.evaluation_s
    assert estimate.trial_s == pytest.approx(estimate.timing_s + 2 * step_s + 2 * evaluation_s)
    narrow = (2 * step_s + evaluation_s) * own_cost(4).macs / own_cost(8).macs
    assert estimate.study_s == pytest.approx(3 * (estimate.trial_s + estimate.timing_s + narrow))


def test_a_plan_is_surveyed_by_its_arms_and_no_space_is_drawn_from():
    told = []
    missing = {"name": "camvid", "size": [32, 64]}  # so that nothing is timed
    config = a_plan(("num_params <= 1.2e6", "macs <= 200e9 at 32x64"), references=["stdc1"], data=missing)
    result = dry_run(config, on_survey=told.append)
    assert (result.survey, told) == (None, [result.plan])
    wide, narrow = own_cost(8), own_cost(4)
    plan = result.plan
    assert [(arm.name, arm.macs, arm.num_params) for arm in plan.arms] == [
        ("wide", wide.macs, wide.num_params), ("narrow", narrow.macs, narrow.num_params)
    ]  # fmt: skip
    assert (plan.seeds, plan.networks, plan.trials) == ((0, 1, 2), ("stdc1",), 7)
    assert (plan.macs.lowest, plan.macs.highest) == (narrow.macs, wide.macs)
    assert (plan.num_params.lowest, plan.num_params.highest) == (narrow.num_params, wide.num_params)
    assert narrow.num_params < 1.2e6 < wide.num_params
    assert plan.limits == ("num_params <= 1200000", "macs <= 200000000000 at 32x64")
    assert [[(one.limit, one.value) for one in arm.broken] for arm in plan.arms] == [
        [("num_params <= 1200000", wide.num_params)], []
    ]  # fmt: skip
