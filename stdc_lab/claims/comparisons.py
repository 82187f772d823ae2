"""What each measured claim times: the networks that take turns, and the figures that their timings give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from scipy import special, stats

from stdc_lab.arch import ArchSpec, preset, total_cost
from stdc_lab.config.choosers import RandomChooser
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn import build_classifier, build_model, strip_heads
from stdc_lab.profiling.baselines import build_baseline, stages_of
from stdc_lab.profiling.intervals import is_noisy, median_interval
from stdc_lab.profiling.side_by_side import Sized
from stdc_lab.profiling.timing import Turns

Size = tuple[int, int]
CLASSES = {"seg": 19, "cls": 1000}
BLOCKS = (2, 3, 4, 5, 6)
DRAWN, DRAWN_BY = 16, 0
"""How many networks are drawn, and the seed."""
SPACE = {
    "base_width": {"type": "choice", "values": [16, 24, 32, 48, 64]},
    "depths.stage3": {"type": "int", "low": 1, "high": 4},
    "depths.stage4": {"type": "int", "low": 1, "high": 5},
    "depths.stage5": {"type": "int", "low": 1, "high": 3},
    "num_blocks": {"type": "int", "low": 2, "high": 6},
    "kernels": {"type": "choice", "values": [[1, 3], [3], [1, 5, 3], [1, 1, 3]]},
    "channel_ratio": {"type": "choice", "values": [0.35, 0.5, 0.7, 1.0, 1.4]},
    "decoder.head_width": {"type": "choice", "values": [64, 128, 256]},
}
"""What is drawn from: that of `search_spaces/stdc_core.yaml` that changes the network."""
OF_TURNS = "of the median over turns, blocks of turns as clusters (Woodruff)"
OF_NETWORKS = "of Kendall's τ over networks drawn from the space, by Fisher's z with variance 0.437 / (n − 4) (Fieller)"


@dataclass(frozen=True)
class Found:
    """A figure with its interval, and how that was made; `noisy` as a latency is."""

    value: float
    low: float
    high: float
    networks: tuple[str, ...]
    interval_is: str
    noisy: bool | None = None


Figure = Callable[[Turns, float, float], Found]
"""Timings, the precision that is asked for, and the confidence of the interval → what was found."""


@dataclass(frozen=True)
class Comparison:
    """Networks side by side.

    networks: by name, from the size that the claim names. figures: what timings give. counted: what needs no clock,
    from the same networks.
    """

    networks: Callable[[Size], Mapping[str, Sized]]
    figures: Mapping[str, Figure]
    counted: Callable[[Mapping[str, Sized]], Mapping[str, float]] = field(default=lambda networks: {})


def time_ratio(network: str, reference: str) -> Figure:
    """The time of a network over that of another in the same turn: their median."""

    def figure(turns: Turns, precision: float, confidence: float) -> Found:
        ratios = turns.of(network) / turns.of(reference)
        low, high = median_interval(ratios, turns.blocks, confidence)
        noisy = is_noisy(ratios, precision, turns.blocks, confidence)
        return Found(float(np.median(ratios)), low, high, (network, reference), OF_TURNS, noisy)

    return figure


def median_ms(network: str) -> Figure:
    """The latency of a network."""

    def figure(turns: Turns, precision: float, confidence: float) -> Found:
        times = turns.of(network)
        low, high = median_interval(times, turns.blocks, confidence)
        noisy = is_noisy(times, precision, turns.blocks, confidence)
        return Found(float(np.median(times)), low, high, (network,), OF_TURNS, noisy)

    return figure


def rank_correlation(macs: Mapping[str, float]) -> Figure:
    """Kendall's τ between the networks' multiply-accumulates and their median latencies."""

    def figure(turns: Turns, precision: float, confidence: float) -> Found:
        times = [float(np.median(turns.of(name))) for name in macs]
        tau = float(stats.kendalltau(list(macs.values()), times).statistic)
        low, high = kendall_interval(tau, len(macs), confidence)
        noisy = any(is_noisy(turns.of(name), precision, turns.blocks, confidence) for name in macs)
        return Found(tau, low, high, tuple(macs), OF_NETWORKS, noisy)

    return figure


def kendall_interval(tau: float, count: int, confidence: float) -> tuple[float, float]:
    """Interval of Kendall's τ of so many pairs of values (more than four), after Fieller, Hartley and Pearson (1957).

    Of a perfect order, which would have an interval without width, one pair of networks is taken to be out of it.
    """
    closest = 1 - 4 / (count * (count - 1))
    half = float(special.ndtri((1 + confidence) / 2)) * math.sqrt(0.437 / (count - 4))
    centre = math.atanh(min(max(tau, -closest), closest))
    return min(math.tanh(centre - half), tau), max(math.tanh(centre + half), tau)


def drawn_networks() -> dict[str, ArchSpec]:
    """Networks drawn from the space, all unlike each other: always the same ones."""
    space = SearchSpace.model_validate({"name": "drawn_from", "base": "stdc1", "vary": SPACE})
    chooser, specs = RandomChooser(DRAWN_BY), dict[str, ArchSpec]()
    while len(specs) < DRAWN:
        spec = space.spec_of(space.choose(chooser))
        specs.setdefault(spec.arch_id, spec)
    return {f"network_{number:02d}": spec for number, spec in enumerate(specs.values())}


def _segmenter(spec: ArchSpec, size: Size) -> Sized:
    return Sized(build_model(spec, CLASSES["seg"], seed=0), size)


def _macs(networks: Mapping[str, Sized], specs: Mapping[str, ArchSpec]) -> dict[str, int]:
    return {name: total_cost(spec, networks[name].size, CLASSES["seg"]).macs for name, spec in specs.items()}


def _block_specs() -> dict[str, ArchSpec]:
    return {f"{blocks}_blocks": preset("stdc2").replace(num_blocks=blocks) for blocks in BLOCKS}


def _counted_blocks(networks: Mapping[str, Sized]) -> dict[str, float]:
    macs = _macs(networks, _block_specs())
    return {f"macs_{name}_over_4": count / macs["4_blocks"] for name, count in macs.items() if name != "4_blocks"}


def _path_specs() -> dict[str, ArchSpec]:
    plain = preset("stdc1")
    return {"plain": plain, "spatial_path": plain.replace(decoder={"spatial_path": True})}


def _path_networks(size: Size) -> dict[str, Sized]:
    networks = {name: _segmenter(spec, size) for name, spec in _path_specs().items()}
    guided = build_model(preset("stdc1"), CLASSES["seg"], TrainingHeads(detail_strides=(8,)), seed=0)
    return {**networks, "detail_guidance": Sized(strip_heads(guided), size)}


def _counted_path(networks: Mapping[str, Sized]) -> dict[str, float]:
    macs = _macs(networks, _path_specs())
    return {"macs_spatial_path_over_plain": macs["spatial_path"] / macs["plain"]}


def _order_networks(size: Size) -> dict[str, Sized]:
    """STDC1 and STDC2 on images of half and three quarters of a size."""
    shares = {"seg50": 0.5, "seg75": 0.75}
    return {
        f"{name}_{title}": _segmenter(preset(name), (round(size[0] * share), round(size[1] * share)))
        for title, share in shares.items()
        for name in ("stdc1", "stdc2")
    }


def _resnet_networks(size: Size) -> dict[str, Sized]:
    resnet = build_baseline("resnet50", CLASSES["cls"])
    return {
        "stdc2": Sized(build_classifier(preset("stdc2"), CLASSES["cls"], seed=0), size),
        "resnet50": Sized(resnet, size),
    }


def _counted_resnet(networks: Mapping[str, Sized]) -> dict[str, float]:
    resnet = networks["resnet50"]
    theirs = sum(stage.macs for stage in stages_of(resnet.network, resnet.size).values())
    ours = total_cost(preset("stdc2"), resnet.size, CLASSES["cls"], task="cls").macs
    return {"macs_share": ours / theirs, "gmacs_stdc2": ours / 1e9, "gmacs_resnet50": theirs / 1e9}


def _rank_figure(turns: Turns, precision: float, confidence: float) -> Found:
    # All is drawn at one size, and MACs grow with it alike, but for what depends on rounding.
    macs = {name: total_cost(spec, num_classes=CLASSES["seg"]).macs for name, spec in drawn_networks().items()}
    return rank_correlation(macs)(turns, precision, confidence)


COMPARISONS: Mapping[str, Comparison] = MappingProxyType(
    {
        "latency_over_blocks": Comparison(
            lambda size: {name: _segmenter(spec, size) for name, spec in _block_specs().items()},
            {f"latency_{n}_blocks_over_4": time_ratio(f"{n}_blocks", "4_blocks") for n in BLOCKS if n != 4},
            _counted_blocks,
        ),
        "spatial_path_cost": Comparison(
            _path_networks,
            {
                "latency_spatial_path_over_plain": time_ratio("spatial_path", "plain"),
                "latency_detail_guidance_over_plain": time_ratio("detail_guidance", "plain"),
            },
            _counted_path,
        ),
        "speed_order": Comparison(
            _order_networks,
            {
                f"latency_{faster}_over_{slower}": time_ratio(faster, slower)
                for faster, slower in pairwise(("stdc1_seg50", "stdc2_seg50", "stdc1_seg75", "stdc2_seg75"))
            },
        ),
        "stdc2_against_resnet50": Comparison(
            _resnet_networks, {"times_as_fast": time_ratio("resnet50", "stdc2")}, _counted_resnet
        ),
        "macs_predict_latency": Comparison(
            lambda size: {name: _segmenter(spec, size) for name, spec in drawn_networks().items()},
            {"kendall_tau": _rank_figure},
            lambda networks: {f"gmacs_{name}": n / 1e9 for name, n in _macs(networks, drawn_networks()).items()},
        ),
    }
)
"""By what a claim's `computes` says."""
