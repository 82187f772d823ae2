"""Trainings of one network are one point, and the arms of a plan are compared seed by seed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState
from scipy import stats

from stdc_lab.analysis import compare_arms, load_study, write_trials_csv
from stdc_lab.analysis.networks import estimate, paired_difference
from stdc_lab.analysis.plan_survey import survey_plan
from stdc_lab.arch import presets
from stdc_lab.arch.costs import total_cost
from tests.study_folder import SPACE, add_complete, add_unfinished, open_study, some_params, study_config

PLAN = {"arms": {"plain": {}, "narrow": {"base_width": 32}, "late": {"num_blocks": 3}}, "seeds": [0, 1, 2]}
SCORES = {"plain": (0.50, 0.54, 0.52), "narrow": (0.51, 0.56, 0.53), "late": (0.40, 0.47)}


def plan_study(folder: Path, **plan: Any) -> pd.DataFrame:
    """A plan with stdc1 as reference, which is its first arm: their first training is one; `late` lacks a seed."""
    config = study_config(plan=PLAN | plan, references=["stdc1"])
    latencies = {"plain": 30.0, "narrow": 12.0, "late": 20.0}
    with open_study(folder, config) as study:
        add_complete(study, folder, config, miou=0.5, latency_ms=30.0, reference="stdc1", trial_key="shared")
        for seed in range(3):
            for arm, values in SCORES.items():
                if seed == len(values):
                    continue
                shares = (arm, seed) == ("plain", 0)
                known = {"duplicate_of": 0, "trial_key": "shared"} if shares else {"trial_key": f"{arm} {seed}"}
                known |= {"miou": values[seed], "latency_ms": latencies[arm], "arm": arm, "seed": seed}
                add_complete(study, folder, config, **known)
        add_unfinished(study, config, TrialState.FAIL, arm="late", seed=2, reason="no memory")
    return load_study(folder)


def test_an_estimate_is_students() -> None:
    values = [0.4, 0.5, 0.45]
    found = estimate([*values, math.nan])
    assert (found.mean, found.count) == (pytest.approx(0.45), 3)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, np.mean(values), stats.sem(values)))
    assert math.isnan(estimate([0.4]).low) and estimate([0.4]).mean == 0.4
    assert estimate([]).count == 0 and math.isnan(estimate([]).mean)


def test_pairs_are_of_the_seeds_that_both_have() -> None:
    one, other = pd.Series({0: 0.5, 1: 0.6, 7: 0.9}), pd.Series({1: 0.5, 0: 0.45, 3: 0.1})
    assert paired_difference(one, other).mean == pytest.approx(0.075)
    assert paired_difference(one, other).count == 2


def test_the_arms_of_a_plan_are_compared_with_the_control_by_seed(tmp_path: Path) -> None:
    frame = plan_study(tmp_path)
    assert (frame.attrs["arms"], frame.attrs["control"]) == (["plain", "narrow", "late"], "plain")
    arms = compare_arms(frame).set_index("arm")
    assert arms["seeds"].to_dict() == {"plain": 3, "narrow": 3, "late": 2}
    assert arms["miou"].tolist() == pytest.approx([0.52, 0.5333333, 0.435])
    assert arms.loc["plain", ["miou_low", "miou_high"]].tolist() == pytest.approx(
        stats.t.interval(0.95, 2, 0.52, stats.sem(SCORES["plain"]))
    )
    apart = [0.01, 0.02, 0.01]
    assert arms.loc["narrow", "miou_difference"] == pytest.approx(np.mean(apart))
    ends = arms.loc["narrow", ["miou_difference_low", "miou_difference_high"]].tolist()
    assert ends == pytest.approx(stats.t.interval(0.95, 2, np.mean(apart), stats.sem(apart)))
    assert arms["pairs"].to_dict() == {"plain": 0, "narrow": 3, "late": 2}
    assert arms.loc["late", "miou_difference"] == pytest.approx(-0.085)
    assert math.isnan(arms.loc["plain", "miou_difference"])
    assert arms["boundary_f"].isna().all()
    assert arms["latency_ms"].tolist() == [30, 12, 20]


def test_a_plan_may_name_its_control(tmp_path: Path) -> None:
    arms = compare_arms(plan_study(tmp_path, control="late")).set_index("arm")
    assert arms["control"].to_dict() == {"plain": False, "narrow": False, "late": True}
    assert arms.loc["narrow", "miou_difference"] == pytest.approx(np.mean([0.11, 0.09]))
    with pytest.raises(ValueError, match="control: got 'none'; allowed: one of the arms, plain, narrow, late"):
        study_config(plan=PLAN | {"control": "none"})


def test_a_reference_that_is_an_arm_takes_no_seed_from_it_and_both_are_rows(tmp_path: Path) -> None:
    frame = plan_study(tmp_path)
    assert frame["duplicate_of"].isna().all()
    assert frame["same_training_as"].dropna().to_dict() == {1: 0}
    shared = frame[frame["network"] == 0]
    assert shared["number"].tolist() == [0, 1, 4, 7]
    assert set(shared["network_seeds"]) == {3}, "the shared training counts once"
    assert shared["network_miou"].tolist() == pytest.approx([0.52] * 4)
    write_trials_csv(frame, tmp_path / "trials.csv")
    back = pd.read_csv(tmp_path / "trials.csv")
    assert back["arm"].tolist()[1:4] == ["plain", "narrow", "late"]
    assert back["seed"].tolist()[:4] == [0, 0, 0, 0]


def test_a_front_is_of_means_not_of_the_luckiest_seeds(tmp_path: Path) -> None:
    """#2 is better than #0 on one lucky seed, worse on average."""
    config = study_config(known_training="new_seed", references=[])
    with open_study(tmp_path, config) as study:
        for index, (point, miou) in enumerate([(1, 0.50), (1, 0.52), (2, 0.55), (2, 0.40), (2, 0.43), (3, 0.30)]):
            params, latency = some_params(point), {1: 10.0, 2: 11.0, 3: 9.0}[point]
            add_complete(study, tmp_path, config, miou=miou, latency_ms=latency, params=params, seed=index,
                         trial_key=f"key {index}")  # fmt: skip
    frame = load_study(tmp_path)
    assert frame["network"].tolist() == [0, 0, 2, 2, 2, 5]
    assert frame["network_seeds"].tolist() == [2, 2, 3, 3, 3, 1]
    assert frame["network_miou"].tolist() == pytest.approx([0.51, 0.51, 0.46, 0.46, 0.46, 0.30])
    assert frame["on_front"].tolist() == [True, True, False, False, False, True]
    assert math.isnan(frame["network_low"][5])
    expected = stats.t.interval(0.95, 1, 0.51, stats.sem([0.5, 0.52]))
    assert frame.loc[0, ["network_low", "network_high"]].tolist() == pytest.approx(expected)


def test_a_constraint_on_a_score_is_on_its_mean(tmp_path: Path) -> None:
    config = study_config(known_training="new_seed", references=[], constraints=["miou >= 0.45"])
    with open_study(tmp_path, config) as study:
        for index, (point, miou) in enumerate([(1, 0.50), (1, 0.44), (2, 0.50), (2, 0.30), (3, 0.44)]):
            add_complete(study, tmp_path, config, miou=miou, latency_ms=10.0 + point, params=some_params(point),
                         seed=index, trial_key=f"key {index}")  # fmt: skip
    frame = load_study(tmp_path)
    assert frame["feasible"].tolist() == [True, True, False, False, False]
    assert frame["on_front"].tolist() == [True, True, False, False, False]


def test_a_study_without_a_plan_has_no_arms(tmp_path: Path) -> None:
    with open_study(tmp_path, study_config()) as study:
        add_complete(study, tmp_path, study_config(), miou=0.5, latency_ms=1.0, params=some_params(1))
    frame = load_study(tmp_path)
    assert (frame.attrs["arms"], frame.attrs["control"]) == ([], None)
    assert compare_arms(frame).empty
    assert frame["network_seeds"].tolist() == [1]


def test_a_storage_alone_tells_its_arms_in_the_order_of_its_trials(tmp_path: Path) -> None:
    plan_study(tmp_path)
    (tmp_path / "study.yaml").unlink()
    frame = load_study(tmp_path)
    assert (frame.attrs["arms"], frame.attrs["control"]) == (["plain", "narrow", "late"], "plain")


def test_what_just_meets_a_bound_meets_it(tmp_path: Path) -> None:
    """A constraint and a limit say `<=`: the bound itself is allowed."""
    config = study_config(references=[], constraints=["latency_ms <= 20"])
    with open_study(tmp_path, config) as study:
        for latency in (20.0, 20.001):
            add_complete(study, tmp_path, config, miou=0.5, latency_ms=latency, params=some_params(int(latency * 1000)))
    assert load_study(tmp_path)["feasible"].tolist() == [True, False]
    macs = total_cost(presets["stdc1"], (512, 1024), 11).macs
    for bound, broken in ((macs, ()), (macs - 1, (macs,))):
        limited = study_config(plan=PLAN, space={**SPACE, "limits": [f"macs <= {bound} at 512x1024"]})
        assert limited.plan is not None
        plain = survey_plan(limited, limited.plan, 11).arms[0]
        assert tuple(one.value for one in plain.broken) == broken
