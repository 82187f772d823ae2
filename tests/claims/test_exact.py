"""The exact claims that are shipped, each computed from the networks as built; and that a false one is found out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from stdc_lab.analysis.stated import StatedVerdict, frame_of, judge_stated
from stdc_lab.claims import details, exact
from stdc_lab.config.claim import ExactClaim
from stdc_lab.config.reading import find_claims, read_claim
from stdc_lab.config.training import OptimisationConfig
from stdc_lab.errors import ConfigError
from stdc_lab.training.schedule import rate_at

FOLDER = Path(__file__).parents[2] / "studies" / "claims"
EXACT = {
    "block_saturation": "supported",
    "detail_costs_nothing": "supported",
    "detail_fusion_gradient": "supported",
    "detail_fusion_trainable": "contradicted",
    "parameter_formula": "supported",
    "receptive_fields": "supported",
    "stdc1_counts": "supported",
    "stdc2_counts": "supported",
}
"""Of each shipped claim, what it comes to."""
FALSE = {
    "block_saturation": ("macs_millions_4_blocks", 1450),
    "detail_costs_nothing": ("same_operations", False),
    "detail_fusion_gradient": ("pixels_stride_4_decides", 1),
    "parameter_formula": ("largest_error_weights", 1),
    "receptive_fields": ("drawn_block_4", 15),
    "stdc1_counts": ("num_params", 8441504),
    "stdc2_counts": ("params_millions", 12.48),
}


def judged(path: Path) -> StatedVerdict:
    claim = read_claim(path)
    assert isinstance(claim, ExactClaim)
    return judge_stated(claim, frame_of(exact.compute(claim)))


def changed(tmp_path: Path, name: str, figure: str, stated: object) -> Path:
    """A copy of a claim's file that states something else of a figure."""
    yaml = YAML()
    content = yaml.load((FOLDER / f"{name}.yaml").read_text())
    content["stated"][figure] = stated
    path = tmp_path / f"{name}.yaml"
    yaml.dump(content, path)
    return path


def test_every_shipped_claim_reads_and_is_named_after_its_file() -> None:
    claims = {name: read_claim(path) for name, path in find_claims(FOLDER).items()}
    assert {name: claim.id for name, claim in claims.items()} == {name: name for name in claims}
    assert {name for name, claim in claims.items() if isinstance(claim, ExactClaim)} == set(EXACT)


@pytest.mark.parametrize("name", EXACT)
def test_a_shipped_claim_comes_out_as_known(name: str) -> None:
    assert judged(FOLDER / f"{name}.yaml").verdict == EXACT[name]


@pytest.mark.parametrize("name", FALSE)
def test_a_false_statement_is_contradicted_by_name(name: str, tmp_path: Path) -> None:
    figure, stated = FALSE[name]
    found = judged(changed(tmp_path, name, figure, stated))
    assert (found.verdict, found.against) == ("contradicted", (figure,))


def test_the_papers_words_on_the_detail_target_fail_in_every_figure() -> None:
    found = judged(FOLDER / "detail_fusion_trainable.yaml")
    assert found.against == ("largest_gradient", "combinations_stride_4_decides", "pixels_stride_4_decides")


def test_the_released_network_runs_its_training_heads_all_the_same() -> None:
    assert details.deployed_cost()["released_macs_share"] == pytest.approx(23.08 / 16.86, abs=1e-3)


def test_all_exact_claims_together_take_seconds() -> None:
    started = time.process_time()
    for name in EXACT:
        judged(FOLDER / f"{name}.yaml")
    assert time.process_time() - started < 60


def test_an_unknown_computation_is_refused_with_what_there_is(tmp_path: Path) -> None:
    claim = read_claim(FOLDER / "stdc1_counts.yaml")
    assert isinstance(claim, ExactClaim)
    with pytest.raises(
        ConfigError, match=r"stdc1_counts: computes: got 'stdc3_counts'; allowed: .*stdc1_counts, stdc2"
    ):
        exact.compute(claim.replace(computes="stdc3_counts"))


def test_an_unknown_figure_is_refused_with_what_there_is(tmp_path: Path) -> None:
    claim = read_claim(changed(tmp_path, "stdc1_counts", "num_parms", 3))
    assert isinstance(claim, ExactClaim)
    with pytest.raises(ConfigError, match=r"stated.num_parms: there is no such figure; allowed: .*num_params"):
        exact.compute(claim)


def test_decay_is_what_pytorchs_own_optimiser_does() -> None:
    config = OptimisationConfig(iterations=300, learning_rate=0.5, weight_decay=0.02, warmup_iterations=30)
    weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    weight.grad = torch.zeros_like(weight)
    optimiser = torch.optim.SGD([weight], lr=1.0, momentum=config.momentum, weight_decay=config.weight_decay)
    for iteration in range(config.iterations):
        optimiser.param_groups[0]["lr"] = config.learning_rate * rate_at(iteration, config)
        optimiser.step()
    assert details.weight_left(config) == pytest.approx(weight.item(), rel=1e-9)
    assert weight.item() < 0.9


def test_a_target_in_which_stride_4_decides_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that 0 pixels means something: with a little more weight there are some."""
    monkeypatch.setattr(details, "_first_weights", lambda: torch.tensor([0.6, 0.3, 0.11]))
    found = details.fusion_gradient()
    assert found["combinations_stride_4_decides"] == 1
    assert found["pixels_stride_4_decides"] == found["pixels_seen_at_stride_4_only"] > 0
