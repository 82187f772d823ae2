"""The learning rate over a training."""

from __future__ import annotations

from stdc_lab.config.training import OptimisationConfig


def rate_at(iteration: int, config: OptimisationConfig) -> float:
    """Share of the full learning rate at an iteration (from 0): exponential warm-up, then polynomial decay.

    The polynomial spans the iterations after warm-up, as in the released recipe.
    """
    if iteration < config.warmup_iterations:
        return float(config.warmup_start ** (1 - iteration / config.warmup_iterations))
    span = config.iterations - config.warmup_iterations
    return float((1 - (iteration - config.warmup_iterations) / span) ** config.poly_power)
