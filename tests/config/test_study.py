"""Objectives, constraints, networks and plans of a study."""

from pathlib import Path
from typing import Any

import pytest

from stdc_lab.arch import presets
from stdc_lab.config.bounds import parse_constraint
from stdc_lab.config.reading import read_study
from stdc_lab.config.study import StudyConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import ConfigError

SPACE = "space: {name: s, vary: {base_width: {type: choice, values: [16, 32]}}}"
PLAN = """
plan:
  arms:
    four: {}
    three: {num_blocks: 3}
    plain: {heads.detail_strides: []}
    deep: {base: stdc2, kernels: [1, 5]}
  seeds: [3, 1]
"""


def read(tmp_path: Path, text: str) -> StudyConfig:
    path = tmp_path / "study.yaml"
    path.write_text(f"name: x\n{text}")
    return read_study(path)


def test_objectives_have_their_usual_direction_unless_told_otherwise(tmp_path):
    config = read(
        tmp_path, f"{SPACE}\nobjectives: [miou, boundary_f, latency_ratio, minimize macs, maximize num_params]"
    )
    assert [one.maximize for one in config.objectives] == [True, True, False, False, True]
    assert [str(one) for one in config.objectives][-2:] == ["macs", "maximize num_params"]
    assert config.figures == {"miou", "boundary_f", "latency_ratio", "macs", "num_params"}
    assert [str(one) for one in read(tmp_path, SPACE).objectives] == ["miou", "latency_ms"]


def test_all_are_timed_beside_the_first_network_that_is_named_where_the_ratio_is_asked_for(tmp_path):
    own = "networks: {mine: {num_blocks: 3}}"
    assert read(tmp_path, SPACE).latency_reference is None
    assert read(tmp_path, f"{SPACE}\nobjectives: [latency_ratio]").latency_reference == ("stdc1", presets["stdc1"])
    bounded = read(tmp_path, f'{SPACE}\nconstraints: ["latency_ratio <= 1"]\nreferences: []\n{own}')
    assert bounded.latency_reference == ("mine", presets["stdc1"].replace(num_blocks=3))


def test_constraints_say_by_what_share_they_are_broken(tmp_path):
    config = read(tmp_path, f'{SPACE}\nconstraints: ["latency_ms <= 20", "miou >= 0.3"]')
    latency, miou = config.constraints
    assert latency.excess(25) == pytest.approx(0.25)
    assert latency.excess(20) == 0
    assert miou.excess(0.15) == pytest.approx(0.5)
    assert miou.excess(0.6) < 0


@pytest.mark.parametrize(
    ("constraint", "value", "interval", "excess", "doubtful", "doubtful_if_noisy"),
    [
        ("latency_ms <= 40", 45, (44, 46), 0.1, False, True),
        ("latency_ms <= 40", 45, (39, 46), -0.025, True, True),
        ("latency_ms <= 40", 39, (38, 41), -0.05, True, True),
        ("latency_ms <= 40", 40, (40, 40), 0.0, False, False),
        ("latency_ms <= 40", 39, (38, 40), -0.05, False, False),
        ("latency_ms >= 40", 39, (38, 39), 0.025, False, True),
        ("latency_ms >= 40", 39, (38, 41), -0.025, True, True),
        ("latency_ms <= 40", 50, None, 0.25, False, True),
        ("latency_ms <= 40", 30, (31, 32), -0.25, False, False),  # a median beside its interval counts too
    ],
)
def test_a_bound_is_broken_where_the_whole_interval_is_beyond_it(
    constraint, value, interval, excess, doubtful, doubtful_if_noisy
):
    one = parse_constraint(constraint)
    assert one.excess(value, interval) == pytest.approx(excess)
    assert one.is_doubtful(value, interval) == doubtful
    assert one.is_doubtful(value, interval, noisy=True) == doubtful_if_noisy


def test_a_plan_is_every_arm_with_every_seed_seed_by_seed(tmp_path):
    config = read(tmp_path, PLAN)
    plan = config.plan
    assert plan is not None
    arms = ("four", "three", "plain", "deep")
    assert list(plan.pairs()) == [(arm, seed) for seed in (3, 1) for arm in arms]
    assert (config.references, config.total_trials) == ((), 8)
    assert plan.spec_of("deep") == presets["stdc2"].replace(kernels=[1, 5, 5, 5])
    assert plan.spec_of("plain") == presets["stdc1"]
    assert plan.training_of("plain", TrainConfig()).heads.detail_strides == ()
    assert set(config.space.parameters) == {"num_blocks", "heads.detail_strides", "kernels"}
    (tmp_path / "again.yaml").write_text(config.model_dump_json())
    assert read_study(tmp_path / "again.yaml") == config


def test_an_arm_is_a_training_of_the_study_not_of_the_defaults(tmp_path):
    plan = "plan: {arms: {short: {train.iterations: 20}, long: {}}, seeds: [1]}"
    config = read(tmp_path, f"{plan}\ntrain: {{iterations: 40, warmup_iterations: 5}}")
    assert config.plan is not None
    assert config.plan.training_of("short", config.train).iterations == 20


def test_references_of_a_plan_are_those_that_it_names(tmp_path):
    config = read(tmp_path, f"references: [stdc1]\nnetworks: {{mine: {{base: stdc1, num_blocks: 2}}}}\n{PLAN}")
    assert list(config.known_networks) == ["stdc1", "mine"]
    assert config.known_networks["mine"] == presets["stdc1"].replace(num_blocks=2)
    assert config.total_trials == 10


def test_arms_that_exclude_each_other_s_settings_are_still_a_plan(tmp_path):
    arms = """
plan:
  arms:
    short: {train.iterations: 60, train.warmup_iterations: 5, base_width: 32}
    long: {train.iterations: 500, train.warmup_iterations: 100, widths: [16, 32, 64, 128, 256]}
    zoomed: {augmentation.scale: [0.5, 2.0]}
    deep: {base: stdc2}
  seeds: [0]
"""
    config = read(tmp_path, arms)
    assert config.plan is not None
    assert config.plan.spec_of("long").widths == (16, 32, 64, 128, 256)
    assert config.plan.training_of("zoomed", config.train).augmentation.scale == (0.5, 2.0)
    assert list(config.space.parameters) == ["train.iterations", "train.warmup_iterations", "base_width"]
    only_bases = read(tmp_path, "plan: {arms: {a: {}, b: {base: stdc2}}, seeds: [0]}")
    assert list(only_bases.space.parameters) == ["num_blocks"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{SPACE}\nobjectives: [mIoU]", r"study.yaml:3: objectives.0: got 'mIoU'; allowed: miou, boundary_f"),
        (f"{SPACE}\nobjectives: [more miou]", r"got 'more miou'; allowed: a figure such as miou, or `minimize macs`"),
        (f"{SPACE}\nobjectives: [miou, maximize miou]", "objectives: the same figure twice"),
        (f"{SPACE}\nobjectives: []", "objectives: got .*; allowed: .*at least 1"),
        (f"{SPACE}\nconstraints: [latency <= 20]", "constraints.0: got 'latency'; allowed: miou"),
        (f"{SPACE}\nconstraints: [latency_ms < 20]", "allowed: a constraint such as `latency_ms <= 20`"),
        (f"{SPACE}\nconstraints: [latency_ms <= 0]", "allowed: a bound above 0"),
        (
            f"{SPACE}\nobjectives: [latency_ratio]\nreferences: []",
            "latency_ratio: needs a network to compare with; name one in references or networks",
        ),
        (f"{SPACE}\nobjectives: [boundary_f, miou]\npruning: {{}}", "pruning: needs miou among the objectives, and"),
        (f"{SPACE}\nobjectives: [macs]\npruning: {{}}", "pruning: needs miou among the objectives"),
        (f"pruning: {{}}{PLAN}", "pruning: a plan is complete, so its trainings are not stopped"),
        (f"{SPACE}\npruning: {{dominators: 0}}", "pruning.dominators: got 0; allowed: .*greater than or equal to 1"),
        (f"{SPACE}\nnetworks: {{stdc1: stdc2}}", r"networks.stdc1: a reference has this name"),
        (f"{SPACE}\nnetworks: {{mine: {{num_blocks: 9}}}}", r"networks.mine: num_blocks: got 9; allowed"),
        (f"{SPACE}\nsampler: {{name: genetic}}", "sampler.name: got 'genetic'; allowed: .*'tpe', 'nsga2' or 'random'"),
        (
            "plan: {arms: {a: {num_bloks: 3}}, seeds: [0]}",
            r"arms.a.num_bloks: no such parameter \(did you mean num_blo",
        ),
        ("plan: {arms: {a: {num_blocks: 3}}, seeds: []}", "seeds: got .*; allowed: .*at least 1"),
        ("plan: {arms: {a: {num_blocks: 3}}, seeds: [1, 1]}", "seeds: the same seed twice"),
        ("plan: {arms: {}, seeds: [1]}", "arms: got .*; allowed: .*at least 1"),
        ("plan: {arms: {a: {num_blocks: 9}}, seeds: [1]}", "num_blocks: got 9; allowed: a whole number from 2 to 8"),
        (
            "plan: {arms: {a: {}, b: {num_blocks: 4}}, seeds: [1]}",
            "arms.b: the same as arms.a: a comparison with itself says nothing",
        ),
        (
            "plan: {arms: {a: {}, b: {train.iterations: 70}}, seeds: [1]}\ntrain: {iterations: 70}",
            "arms.b: the same as arms.a: a comparison with itself says nothing",
        ),
        (
            "plan: {arms: {a: {train.warmup_iterations: 80}}, seeds: [1]}\ntrain: {iterations: 70}",
            r"warmup_iterations \(80\) must be fewer than iterations \(70\)",
        ),
    ],
)
def test_mistakes_are_answered(tmp_path: Path, text: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)
