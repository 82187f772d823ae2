"""The figures of exact claims: arithmetic on networks as built, and nothing that a clock or a seed could change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from stdc_lab.config.claim import ExactClaim
from stdc_lab.errors import ConfigError


def compute(claim: ExactClaim) -> dict[str, float]:
    """All figures that the claim's computation gives, by name; a truth is 1 or 0.

    Raises `ConfigError` for a computation that there is none of, or a stated figure that it does not give.
    """
    known = computations()
    if claim.computes not in known:
        raise ConfigError(f"{claim.id}: computes: got {claim.computes!r}; allowed: {', '.join(known)}")
    figures = {name: float(value) for name, value in known[claim.computes]().items()}
    check_figures(claim.id, claim.stated, figures)
    return figures


def computations() -> Mapping[str, Callable[[], Mapping[str, float]]]:
    """What an exact claim may compute, by name. PyTorch is loaded here, and not with this module."""
    from stdc_lab.claims import details, modules

    return {
        "parameter_formula": modules.parameter_formula,
        "stdc1_counts": lambda: modules.counts("stdc1"),
        "stdc2_counts": lambda: modules.counts("stdc2"),
        "block_saturation": modules.block_saturation,
        "receptive_fields": modules.receptive_fields_of_blocks,
        "detail_fusion_gradient": details.fusion_gradient,
        "detail_costs_nothing": details.deployed_cost,
    }


def check_figures(claim: str, stated: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ConfigError` for a stated figure that is none of the known ones."""
    known = list(known)
    for name in stated:
        if name not in known:
            raise ConfigError(f"{claim}: stated.{name}: there is no such figure; allowed: {', '.join(known)}")
