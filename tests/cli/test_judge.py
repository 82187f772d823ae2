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


CLAIM = """
id: guided
kind: trained
title: t
statement: s
source: x
replication: {recipe: r}
arms: {plain: {heads.detail_strides: []}, guided: {heads.detail_strides: [8]}}
control: plain
treatment: guided
margin: 0.5
assumed_sd: 0.5
max_seeds: 16
protocols: {scenes: {}}
"""


def test_a_claims_file_asks_the_question(tmp_path: Path) -> None:
    table, claim = write(tmp_path / "results.csv"), tmp_path / "claim.yaml"
    claim.write_text(CLAIM)
    by_claim = stdc_lab("judge", table, "--claim", claim, "--metric", "val/mIoU", "--json", "-")
    by_options = stdc_lab("judge", table, *ASKED, "--max-seeds", 16, "--json", "-")
    assert by_claim.returncode == 0, by_claim.stderr
    assert json.loads(by_claim.stdout) == json.loads(by_options.stdout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--claim", "claim.yaml", "--margin", "1"), "--margin: the claim's file says this"),
        (("--claim", "claim.yaml"), "no column 'miou'"),
        (("--claim", "exact.yaml"), "exact.yaml: got a claim of kind exact; allowed: trained"),
        (("--control", "plain"), "--treatment, --margin, --metric missing"),
        ((*ASKED[:2], "--treatment", "plain", *ASKED[4:]), "are both 'plain'; allowed: two arms"),
    ],
)
def test_a_question_that_is_none_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "claim.yaml").write_text(CLAIM)
    head = CLAIM.split("arms:")[0].replace("trained", "exact")
    (tmp_path / "exact.yaml").write_text(head + "computes: counts\nstated: {a: 1}\n")
    given = [tmp_path / one if one.endswith(".yaml") else one for one in options]
    done = stdc_lab("judge", write(tmp_path / "results.csv"), *given)
    assert done.returncode == 2
    assert said in done.stderr
