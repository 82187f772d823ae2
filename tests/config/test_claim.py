"""Claim files: what they may say, and that a claim which compares nothing is refused."""

from pathlib import Path

import pytest

from stdc_lab.config.claim import ExactClaim, MeasuredClaim, TrainedClaim
from stdc_lab.config.reading import read_claim
from stdc_lab.errors import ConfigError

HEAD = "title: A title\nstatement: What is claimed\nsource: section 3\nreplication: {recipe: none}\n"
EXACT = f"id: counts\nkind: exact\n{HEAD}computes: counts\nstated: {{params: 10, same: true, rise: {{at_least: 0}}}}\n"
TRAINED = f"""
id: details
kind: trained
{HEAD}
arms:
  neither: {{heads.detail_strides: [], heads.auxiliary: false}}
  detail: {{heads.detail_strides: [8], heads.auxiliary: false}}
  auxiliary: {{heads.detail_strides: []}}
  both: {{heads.detail_strides: [8]}}
control: neither
contrast: {{detail: 0.5, both: 0.5, neither: -0.5, auxiliary: -0.5}}
secondary: {{interaction: {{both: 1, neither: 1, detail: -1, auxiliary: -1}}}}
margin: 0.01
assumed_sd: 0.008
protocols: {{scenes: {{max_seeds: 8}}, longer: {{explores: true, train: {{iterations: 2400}}}}}}
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "claim.yaml"
    file.write_text(text)
    return file


def read_trained(tmp_path: Path, old: str = "", new: str = "") -> TrainedClaim:
    assert old in TRAINED
    claim = read_claim(write(tmp_path, TRAINED.replace(old, new, 1) if old else TRAINED))
    assert isinstance(claim, TrainedClaim)
    return claim


def test_a_trained_claim_is_read(tmp_path: Path) -> None:
    claim = read_trained(tmp_path)
    assert claim.weights == {"detail": 0.5, "both": 0.5, "neither": -0.5, "auxiliary": -0.5}
    assert (claim.seeds_of("scenes"), claim.seeds_of("longer")) == (8, 16)
    assert (claim.metric, claim.direction, claim.asserts) == ("miou", "maximize", "better")


def test_a_treatment_is_a_contrast_of_two_arms(tmp_path: Path) -> None:
    contrast = "contrast: {detail: 0.5, both: 0.5, neither: -0.5, auxiliary: -0.5}"
    assert read_trained(tmp_path, contrast, "treatment: both").weights == {"both": 1.0, "neither": -1.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("control: neither", "control: none", "control: got 'none'; allowed: one of the arms, neither, detail"),
        ("neither: -0.5, ", "", r"the weights sum to 0.5; allowed: 0"),
        ("detail: 0.5, both: 0.5", "detail: 1, both: 1", "the weights sum to 1; allowed: 0"),
        ("{detail: 0.5, both: 0.5, neither: -0.5, auxiliary: -0.5}", "{both: 2, neither: -2}", "positive weights sum"),
        ("neither: -0.5, auxiliary: -0.5", "auxiliary: -1", "the control, neither, has no negative weight"),
        ("interaction: {both: 1", "interaction: {bath: 1", "interaction: got 'bath'; allowed"),
        ("both: 1, neither: 1", "both: 1", "interaction: the weights sum to -1; allowed: 0"),
        ("control:", "treatment: both\ncontrol:", "give one primary contrast"),
        ("margin: 0.01", "margin: 0", "margin"),
        ("margin: 0.01", "margin: 0.01\nmetric: macs", "metric: macs is the same for every seed"),
        ("margin: 0.01", "margin: 0.01\nasserts: best", "asserts: got 'best'; allowed"),
        ("margin: 0.01", "margin: 0.01\nmax_seeds: 3", "max_seeds: got 3; allowed: .*4"),
        ("both: {heads.detail_strides: [8]}", "both: {heads.detail_strides: []}", "both: the same as arms.auxiliary"),
        ("both: {heads.detail_strides: [8]}", "both: {heads.detail: []}", "heads.detail: no such training setting"),
        ("kind: trained", "kind: tried", "kind: got 'tried'; allowed: exact, measured, trained"),
        ("control:", "controls:", "no such key .did you mean control."),
        ("both: 1, neither: 1, detail: -1", "both: .nan, neither: 1, detail: -1", "both: got NaN; allowed: .*finite"),
        ("{both: 1, neither: 1, detail: -1, auxiliary: -1}", "{both: 1.0e300, detail: -1.0e300}", "weight of 1e.300"),
        ("{scenes: {", "{../scenes: {", "protocols"),
        (
            "{scenes: {",
            "{scenes: {explores: true, ",
            "scenes explores, and the first one has",
        ),
    ],
)
def test_a_trained_claim_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"claim.yaml.*{said}"):
        read_trained(tmp_path, old, new)


def test_both_contrast_and_treatment_or_neither_is_refused(tmp_path: Path) -> None:
    contrast = "contrast: {detail: 0.5, both: 0.5, neither: -0.5, auxiliary: -0.5}\n"
    with pytest.raises(ConfigError, match="give one primary contrast"):
        read_trained(tmp_path, contrast, "")
    with pytest.raises(ConfigError, match="neither is the control: a comparison with itself"):
        read_trained(tmp_path, contrast, "treatment: neither\n")


def test_bounds_follow_from_figure_and_tolerance(tmp_path: Path) -> None:
    claim = read_claim(write(tmp_path, EXACT + "tolerance: {params: 2}\n"))
    assert isinstance(claim, ExactClaim)
    assert claim.bounds("params") == (8, 12)
    assert claim.bounds("same") == (1, 1)
    assert claim.bounds("rise") == (0, float("inf"))


def test_one_tolerance_is_of_all_figures(tmp_path: Path) -> None:
    claim = read_claim(write(tmp_path, EXACT.replace("exact", "measured") + "tolerance: 0.5\n"))
    assert isinstance(claim, MeasuredClaim)
    assert claim.bounds("params") == (9.5, 10.5)
    assert claim.latency.runtime == "eager"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tolerance: {parms: 2}", "tolerance.parms: no such figure; allowed: params, same, rise"),
        ("tolerance: -1", "tolerance"),
        ("margin: 0.1", "margin: no such key"),
    ],
)
def test_a_stated_claim_that_cannot_be_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_claim(write(tmp_path, f"{EXACT}{line}\n"))


def test_ranges_need_a_bound_in_order(tmp_path: Path) -> None:
    for range_, said in (("{}", "give at_least"), ("{at_least: 2, at_most: 1}", "exceeds")):
        with pytest.raises(ConfigError, match=said):
            read_claim(write(tmp_path, EXACT.replace("{at_least: 0}", range_)))
