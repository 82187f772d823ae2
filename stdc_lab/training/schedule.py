"""The learning rate, and the decay of the averaged weights, over a training."""

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


def average_decay_at(iteration: int, decay: float) -> float:
    """What an `ema_decay` acts as at an iteration (from 0): it grows with the updates, so that a short training is
    not an average of its first steps. 0 at first, where the average begins as a copy of the weights."""
    return min(decay, (1 + iteration) / (10 + iteration)) if iteration else 0.0


def average_warmup(decay: float) -> int:
    """From which iteration (from 1) an `ema_decay` acts as it is said."""
    iteration = max(2, round(9 * decay / (1 - decay)) - 1)
    while average_decay_at(iteration - 1, decay) < decay:
        iteration += 1
    return iteration
