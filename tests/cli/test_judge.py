"""`stdc-lab judge` on tables that come from elsewhere."""

import json
from pathlib import Path

import pytest

from tests.cli.in_process import stdc_lab

ASKED = ("--control", "plain", "--treatment", "guided", "--metric", "val/mIoU", "--margin", "0.5")


def write(path: Path, effect: float = 3.0, header: str = "Name,arm,seed,State,val/mIoU") -> Path:
    noise = [0.1, -0.2, 0.3, 0.05, -0.15, 0.2, -0.1, 0.25]
    lines = [header]
    for seed, one in enumerate(noise):
        lines.append(f"run-{seed}a,plain,{seed},finished,{70 + seed}")
        lines.append(f"run-{seed}b,guided,{seed},finished,{70 + seed + effect + one}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_export_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "wandb.csv")
    done = stdc_lab("judge", path, *ASKED, "--max-seeds", 16, "--json", tmp_path / "verdict.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("supported: the interval lies above 0, at pair 4")
    found = json.loads((tmp_path / "verdict.json").read_text())
    assert found["verdict"] == "supported" and found["metric"] == "val/mIoU" and found["margin"] == 0.5
    assert found["interval"][0] > 0 and found["seeds"] == 4 and found["more_seeds"] == 0


def test_a_contradicted_claim_is_an_answer_and_json_goes_to_standard_output(tmp_path: Path) -> None:
    path = write(tmp_path / "results.csv")
    done = stdc_lab("judge", path, *ASKED, "--direction", "minimize", "--asserts", "not_worse", "--json", "-")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["verdict"] == "contradicted" and found["max_seeds"] is None and "one look" in found["method"]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "mmseg.csv", header="Name,config,random seed,State,val/mIoU")
    done = stdc_lab("judge", path, *ASKED, "--arm-column", "config", "--seed-column", "random seed", "--max-seeds", 8)
    assert done.returncode == 0 and done.stdout.startswith("supported")
    without = stdc_lab("judge", path, *ASKED, "--arm-column", "config")
    assert without.returncode == 0 and "Welch" in without.stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ",73.1",
            ',"73,1"',
            "column 'val/mIoU', arm guided, seed 0: got '73,1'; allowed: a number with a",
        ),
        (",73.1", ",", r"column 'val/mIoU', arm guided, seed 0: no value (NaN)"),
        ("guided,0,", "guided,1,", "two rows of arm 'guided' and seed 1"),
        ("guided,0,finished", "guided,0,crashed", "arm guided, seed 0: State is 'crashed'"),
        ("val/mIoU", "val", "no column 'val/mIoU'; got Name, arm, seed, State, val"),
    ],
)
def test_bad_input_is_one_message_with_the_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path / "results.csv")
    path.write_text(path.read_text().replace(old, new, 1))
    done = stdc_lab("judge", path, *ASKED, "--max-seeds", 16)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {path}: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = stdc_lab("judge", tmp_path / "nothing.csv", *ASKED)
    assert done.returncode == 2 and "nothing.csv: cannot be read: No such file" in done.stderr
