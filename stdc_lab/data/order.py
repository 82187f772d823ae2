"""In which order a training goes through its images: a function of the seed, so that nothing need be remembered."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_ORDER_STREAM = 0


def place_in_order(number: int, length: int, seed: int) -> int:
    """Which of `length` images is number `number` (from 0) of a training: each once an epoch, then in a new order."""
    epoch, place = divmod(number, length)
    return int(_order(seed, epoch, length)[place])


@lru_cache(maxsize=4)  # a batch may lie in two epochs, and several are made at once
def _order(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(length)
