"""Measured claims by a timer that is made up; and once by the clock, on tiny networks."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stdc_lab.analysis.stated import judge_stated
from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec
from stdc_lab.claims import comparisons
from stdc_lab.claims.comparisons import COMPARISONS, Comparison, kendall_interval, time_ratio
from stdc_lab.claims.measured import NotRunHereError, confidence_of, measure
from stdc_lab.config.claim import MeasuredClaim
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.reading import find_claims, read_claim
from stdc_lab.errors import ConfigError
from stdc_lab.nn import build_model
from stdc_lab.profiling.side_by_side import Sized
from stdc_lab.profiling.timing import OnProgress, Turns

CPU = torch.device("cpu")
FOLDER = Path(__file__).parents[2] / "studies" / "claims"
CLAIMS = {
    name: claim
    for name, path in find_claims(FOLDER).items()
    if isinstance(claim := read_claim(path), MeasuredClaim)
}  # fmt: skip
BLOCKS, ROUNDS = 10, 40


class Simulated:
    """A timer that knows how long each network takes, and what it was asked."""

    def __init__(self, milliseconds: Mapping[str, float], scatter: float = 0.002) -> None:
        self.milliseconds, self.scatter = milliseconds, scatter
        self.sizes: dict[str, tuple[int, int]] = {}

    def __call__(
        self,
        networks: Mapping[str, Sized],
        config: LatencyConfig,
        device: torch.device,
        on_progress: OnProgress | None = None,
    ) -> Turns:
        self.sizes = {name: one.size for name, one in networks.items()}
        rng = np.random.default_rng(0)
        drift = rng.lognormal(0, 0.05, (ROUNDS, 1))  # of the machine: the same for all of a turn
        own = rng.lognormal(0, self.scatter, (ROUNDS, len(networks)))
        times = np.array([self.milliseconds[name] for name in networks]) * drift * own
        blocks = np.repeat(np.arange(BLOCKS), ROUNDS // BLOCKS)
        return Turns(tuple(networks), times, blocks, np.ones(ROUNDS, bool), (3,) * len(networks), 1, 0.95)


def eager(name: str) -> MeasuredClaim:
    """A shipped claim, to be timed by what is always there."""
    claim = CLAIMS[name]
    return claim.replace(latency=claim.latency.replace(runtime="eager"))


def simulated(name: str, milliseconds: Mapping[str, float], scatter: float = 0.002) -> tuple[str, pd.DataFrame]:
    claim = eager(name)
    with torch.device("meta"):
        table = measure(claim, CPU, timer=Simulated(milliseconds, scatter))
    return judge_stated(claim, table).verdict, table


BLOCKS_AS_CLAIMED = {"2_blocks": 130.0, "3_blocks": 110.0, "4_blocks": 100.0, "5_blocks": 104.0, "6_blocks": 108.0}
ORDER_AS_CLAIMED = {"stdc1_seg50": 40.0, "stdc2_seg50": 53.0, "stdc1_seg75": 79.0, "stdc2_seg75": 103.0}
PATHS_AS_CLAIMED = {"plain": 100.0, "spatial_path": 112.0, "detail_guidance": 100.0}


@pytest.mark.parametrize(
    ("name", "milliseconds", "verdict"),
    [
        ("latency_over_blocks", BLOCKS_AS_CLAIMED, "supported"),
        ("latency_over_blocks", BLOCKS_AS_CLAIMED | {"6_blocks": 98.0}, "contradicted"),
        ("latency_over_blocks", BLOCKS_AS_CLAIMED | {"5_blocks": 100.0}, "undecided"),
        ("speed_order", ORDER_AS_CLAIMED, "supported"),
        ("speed_order", ORDER_AS_CLAIMED | {"stdc2_seg50": 80.0}, "contradicted"),
        ("spatial_path_cost", PATHS_AS_CLAIMED, "supported"),
        ("spatial_path_cost", PATHS_AS_CLAIMED | {"spatial_path": 105.0}, "undecided"),
        ("spatial_path_cost", PATHS_AS_CLAIMED | {"detail_guidance": 104.0}, "contradicted"),
    ],
)
def test_the_verdict_follows_the_timings(name: str, milliseconds: dict[str, float], verdict: str) -> None:
    assert simulated(name, milliseconds)[0] == verdict


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs the extra baselines")
@pytest.mark.parametrize(("resnet", "verdict"), [(25.0, "supported"), (18.0, "contradicted"), (27.5, "undecided")])
def test_resnet_by_ratio_and_macs(resnet: float, verdict: str) -> None:
    found, table = simulated("stdc2_against_resnet50", {"stdc2": 10.0, "resnet50": resnet})
    assert found == verdict
    figures = table.set_index("figure")["value"]
    assert figures["gmacs_resnet50"] == pytest.approx(4.09, abs=0.01)
    assert figures["macs_share"] == pytest.approx(1.437 / 4.09, abs=0.002)


def test_ranks_are_judged_by_an_interval_over_networks() -> None:
    specs = comparisons.drawn_networks()
    names = list(specs)
    macs = {name: comparisons.total_cost(spec).macs for name, spec in specs.items()}
    assert len({spec.arch_id for spec in specs.values()}) == len(names) == 16
    verdict, table = simulated("macs_predict_latency", {name: count / 1e8 for name, count in macs.items()}, 1e-6)
    row = table.set_index("figure").loc["kendall_tau"]
    assert (verdict, row["value"], row["high"]) == ("supported", 1.0, 1.0)
    assert 0.8 < row["low"] < 1 and "Fieller" in row["interval_is"]
    backwards = {name: 1e10 / count for name, count in macs.items()}
    assert simulated("macs_predict_latency", backwards, 1e-6)[0] == "contradicted"


def test_the_table_says_how_each_figure_came_about() -> None:
    claim = eager("speed_order")
    timer = Simulated(ORDER_AS_CLAIMED)
    with torch.device("meta"):
        table = measure(claim, CPU, timer=timer).set_index("figure")
    assert timer.sizes["stdc1_seg50"] == (512, 1024) and timer.sizes["stdc2_seg75"] == (768, 1536)
    ratio = table.loc["latency_stdc2_seg50_over_stdc1_seg75"]
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["value"] == pytest.approx(53 / 79, rel=0.01)  # though the machine drifts by 5 %
    assert (ratio["size"], ratio["networks"]) == ("512x1024 768x1536", "stdc2_seg50 stdc1_seg75")
    assert (ratio["runtime"], ratio["dtype"], ratio["batch"]) == ("eager", "float32", 1)
    assert ratio["confidence"] == pytest.approx(1 - 0.05 / 6)
    assert len(ratio["fingerprint"]) == 10 and ratio["threads"] >= 1 and (ratio["blocks"], ratio["rounds"]) == (10, 40)
    assert "Woodruff" in ratio["interval_is"] and not ratio["noisy"]
    assert table.loc["median_ms_stdc1_seg50", "value"] == pytest.approx(40, rel=0.1)
    assert table.loc["median_ms_stdc1_seg50", "size"] == "512x1024"


def test_what_was_counted_has_no_interval_and_is_not_noisy() -> None:
    table = simulated("latency_over_blocks", BLOCKS_AS_CLAIMED)[1].set_index("figure")
    row = table.loc["macs_6_blocks_over_4"]
    assert row["low"] == row["value"] == row["high"] and row["noisy"] is None and math.isnan(row["confidence"])


def test_a_noisy_figure_is_marked() -> None:
    table = simulated("speed_order", ORDER_AS_CLAIMED, scatter=0.3)[1].set_index("figure")
    assert table.loc["latency_stdc1_seg50_over_stdc2_seg50", "noisy"]


def test_more_figures_and_more_looks_make_wider_intervals() -> None:
    assert confidence_of(1, 1) == pytest.approx(0.95)
    assert confidence_of(3, 2) == pytest.approx(1 - 0.05 / 6)
    claim = eager("speed_order")
    one = claim.replace(stated={"latency_stdc1_seg50_over_stdc2_seg50": {"at_most": 1}})
    with torch.device("meta"):
        wide, narrow = (
            measure(each, CPU, timer=Simulated(ORDER_AS_CLAIMED, 0.05)).set_index("figure") for each in (claim, one)
        )
    width = (wide["high"] - wide["low"]) / (narrow["high"] - narrow["low"])
    assert width["latency_stdc1_seg50_over_stdc2_seg50"] > 1.1


def test_kendalls_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    rho, tau, inside = 0.9, 2 / math.pi * math.asin(0.9), 0
    for _ in range(400):
        x = rng.standard_normal(16)
        y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal(16)
        low, high = kendall_interval(float(comparisons.stats.kendalltau(x, y).statistic), 16, 0.95)
        inside += low <= tau <= high
    assert 0.92 <= inside / 400 <= 0.99


def never(*_: object) -> Turns:
    raise AssertionError("it was timed")


def test_what_cannot_be_measured_is_refused_before_the_clock_starts() -> None:
    claim = eager("spatial_path_cost")
    with pytest.raises(ConfigError, match=r"computes: got 'speed'; allowed: latency_over_blocks, .*speed_order"):
        measure(claim.replace(computes="speed"), CPU, timer=never)
    wrong = claim.replace(stated={"latency_spatial_path": 1.0}, tolerance=0.1)
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match=r"stated.latency_spatial_path: .*allowed: .*over_plain"),
    ):
        measure(wrong, CPU, timer=never)


def test_what_is_not_to_be_had_here_is_not_run_and_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = eager("speed_order")
    with pytest.raises(NotRunHereError, match=r"speed_order: not run: .*got 'nothing'.*allowed here"):
        measure(claim.replace(latency=claim.latency.replace(runtime="nothing")), CPU, timer=never)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    with pytest.raises(
        NotRunHereError, match=r"not run: resnet50: transformers is not installed: pip install .*baselines"
    ):
        measure(eager("stdc2_against_resnet50"), CPU, timer=never)


SMALL = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 32, 16))


def sized(spec: ArchSpec, size: tuple[int, int]) -> Sized:
    return Sized(build_model(spec, 3, seed=0), size)


def test_by_the_clock_networks_of_two_sizes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {"small": sized(SMALL, (32, 64)), "large": sized(SMALL, (256, 256))}
    tiny = Comparison(lambda size: networks, {"latency_large_over_small": time_ratio("large", "small")})
    monkeypatch.setattr("stdc_lab.claims.measured.COMPARISONS", {**COMPARISONS, "tiny": tiny})
    config = LatencyConfig(threads=1, warmup_s=0, measure_s=1e-6, min_repeats=6, attempts=1)
    claim = eager("speed_order").replace(
        computes="tiny", stated={"latency_large_over_small": {"at_least": 1}}, tolerance=0.0, latency=config
    )
    heard: list[float] = []
    table = measure(claim, CPU, heard.append).set_index("figure")
    assert table.loc["latency_large_over_small", "value"] > 1
    assert heard == sorted(heard) and heard[-1] == 1.0
    assert table.loc["latency_large_over_small", "rounds"] == 6
