"""`stdc-lab calibrate` on made-up studies of two lengths."""

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from stdc_lab.analysis.fidelities import read_fidelities
from tests.cli.in_process import stdc_lab
from tests.study_folder import add_complete, open_study, some_params, study_config


def a_study(folder: Path, iterations: int, mious: dict[int, list[float]], **changes) -> Path:
    """Networks by the seed of their parameters, each with the mIoU of training seed 0, 1 …; and stdc1."""
    train = {"iterations": iterations, **changes.pop("train", {})}
    config = study_config(train=train, **changes)
    with open_study(folder, config) as study:
        add_complete(study, folder, config, miou=0.55, latency_ms=30, reference="stdc1", record=False)
        for network, scores in mious.items():
            for seed, miou in enumerate(scores):
                params = some_params(network)
                add_complete(
                    study, folder, config, miou=miou, latency_ms=20, params=params, record=False, seed=seed,
                    trial_key=f"{network}-{seed}",
                )  # fmt: skip
    return folder


LOW = {at: [0.30 + 0.02 * at, 0.31 + 0.02 * at] for at in range(9)}
HIGH = {at: [0.50 + 0.02 * at] for at in range(9)} | {0: [0.53]}


def test_two_studies_give_a_row_a_predictor_and_group(tmp_path: Path) -> None:
    low, high = a_study(tmp_path / "low", 100, LOW), a_study(tmp_path / "high", 400, HIGH | {20: [0.4]})
    done = stdc_lab("calibrate", low, high, "--json", tmp_path / "out.json", "--out", tmp_path / "a" / "tables")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert list(rows[0])[:7] == ["predictor", "group", "networks", "tau", "low", "high", "ceiling"]
    assert list(dict.fromkeys(row["predictor"] for row in rows)) == [
        "100 iterations", "MACs", "parameters", "at random"
    ]  # fmt: skip
    assert {row["group"] for row in rows} == {
        "all", "top quarter", "lowest third of MACs", "middle third of MACs", "highest third of MACs",
        "MACs of stdc1 ±10 %",
    }  # fmt: skip
    assert rows[0]["networks"] == 10 and -1 < rows[0]["low"] < rows[0]["tau"] <= rows[0]["high"] <= 1
    assert 0 < rows[0]["ceiling"] <= 1 and rows[0]["pairs"] == 45
    words = " ".join(done.stdout.split())
    assert "10 networks, 100 against 400 iterations" in words and "trainings of one length alone: 1 networks" in words
    assert "single seeds at the high fidelity: its noise is taken to be that of the other" in words
    assert len(pd.read_csv(tmp_path / "a" / "tables" / "calibration.csv")) == len(rows)
    networks = pd.read_csv(tmp_path / "a" / "tables" / "networks.csv").set_index("network")
    assert networks.loc["stdc1", "low_miou"] == 0.55 and set(networks["low_seeds"]) == {1, 2}
    again = stdc_lab("calibrate", high, low, "--json", "-")
    assert [row["tau"] for row in json.loads(again.stdout)] == pytest.approx([row["tau"] for row in rows], nan_ok=True)


def test_means_and_errors_over_seeds(tmp_path: Path) -> None:
    found = read_fidelities([a_study(tmp_path / "low", 100, LOW), a_study(tmp_path / "high", 400, HIGH)])
    several = found.networks[found.networks["low_seeds"] == 2]
    assert found.low_deviation == pytest.approx(0.01 / math.sqrt(2)) and math.isnan(found.high_deviation)
    assert several["low_miou"].min() == pytest.approx(0.305)
    assert several["low_error"].tolist() == pytest.approx([0.005] * 9)
    assert found.networks["high_error"].tolist() == pytest.approx([0.01 / math.sqrt(2)] * 10)
    assert found.reference is not None and found.reference[0] == "stdc1"


def test_single_seeds_everywhere_tell_no_ceiling(tmp_path: Path) -> None:
    single = {at: scores[:1] for at, scores in LOW.items()}
    found = read_fidelities([a_study(tmp_path / "low", 100, single), a_study(tmp_path / "high", 400, HIGH)])
    assert found.calibration()[["ceiling", "tau_beyond_noise"]].isna().all(axis=None)
    assert "single seeds: neither the noise ceiling nor ties are known" in found.notes()


def test_one_plan_that_varies_the_iterations(tmp_path: Path) -> None:
    widths, lengths = (16, 24, 32, 48), (100, 400)
    arms = {f"w{w}-{i}": {"base_width": w, "train.iterations": i} for w in widths for i in lengths}
    config = study_config(plan={"arms": arms, "seeds": [0]}, space={"name": "plan", "vary": {
        "base_width": {"type": "choice", "values": list(widths)},
        "train.iterations": {"type": "choice", "values": list(lengths)},
    }})  # fmt: skip
    with open_study(tmp_path, config) as study:
        for at, (name, arm) in enumerate(arms.items()):
            params = {"base_width": arm["base_width"], "train.iterations": arm["train.iterations"]}
            add_complete(
                study, tmp_path, config, miou=0.3 + at / 100, latency_ms=9, params=params, record=False, arm=name
            )
    found = read_fidelities([tmp_path])
    assert (found.low_iterations, found.high_iterations, len(found.networks)) == (100, 400, 4)
    assert found.networks["low_miou"].tolist() == pytest.approx([0.30, 0.32, 0.34, 0.36])
    assert found.calibration()["tau"].iloc[0] == pytest.approx(1.0)


def test_too_few_networks_in_common(tmp_path: Path) -> None:
    low = a_study(tmp_path / "low", 100, {0: [0.3], 1: [0.4]})
    done = stdc_lab("calibrate", low, a_study(tmp_path / "high", 400, {0: [0.5], 1: [0.6], 2: [0.7]}))
    assert done.returncode == 2
    assert "got 3 networks with both 100 and 400 iterations (of 3 and 4); a ranking needs at least 4" in done.stderr


def test_no_second_length(tmp_path: Path) -> None:
    done = stdc_lab("calibrate", a_study(tmp_path / "low", 100, {}))
    assert (
        done.returncode == 2 and "finished trainings of 100 iterations; a calibration needs two lengths" in done.stderr
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"name": "scenes", "size": "64x96"}}, "data.size: 96x128 in .*low, 64x96 in .*high"),
        ({"data": {"name": "camvid"}}, "data.name: scenes in .*low, camvid in .*high"),
        ({"train": {"batch_size": 4}}, "train.batch_size: 8 in .*low, 4 in .*high"),
    ],
)
def test_unequal_protocols_are_named(tmp_path: Path, changes: dict, says: str) -> None:
    low, high = a_study(tmp_path / "low", 100, {}), a_study(tmp_path / "high", 400, {}, **changes)
    done = stdc_lab("calibrate", low, high)
    assert done.returncode == 2
    assert re.search(f"unequal protocols: .*{says}", done.stderr), done.stderr


def test_a_folder_that_holds_no_study(tmp_path: Path) -> None:
    done = stdc_lab("calibrate", tmp_path)
    assert done.returncode == 2 and "no study.db in it" in done.stderr
