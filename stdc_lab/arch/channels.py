"""How channels are shared out: over the stages of a network, and over the blocks of a module."""

from __future__ import annotations

from functools import lru_cache


def widths_of_base(base_width: int) -> tuple[int, ...]:
    """Widths of stages 1 to 5 for a base width, as the released networks relate them (64: 32 … 1024)."""
    return (base_width // 2, base_width, 4 * base_width, 8 * base_width, 16 * base_width)


@lru_cache(maxsize=4096)
def split_channels(width: int, num_blocks: int, ratio: float, multiple: int = 1) -> tuple[int, ...]:
    """Output channels of a module's blocks: multiples of `multiple` in geometric proportion, exactly `width` in all.

    Each block is `ratio` times as wide as the one before, except the last, which is as wide as the one before
    (section 3.1). Ratio 0.5 gives N/2, N/4, N/8, N/8 for four blocks, 1 gives equal widths. Shares are rounded by
    largest remainder; every block keeps at least `multiple` channels. `width` must be a multiple of `multiple`, and
    large enough for that. Whole numbers all the way: the answer, and with it `arch_id`, is the same on every machine.
    """
    units = width // multiple
    over, under = float(ratio).as_integer_ratio()
    shares = [over**i * under ** (num_blocks - 2 - i) for i in range(num_blocks - 1)]
    shares.append(shares[-1])
    total = sum(shares)
    split = [max(1, units * share // total) for share in shares]
    remainders = [units * share - total * given for share, given in zip(shares, split, strict=True)]
    by_remainder = sorted(range(num_blocks), key=lambda i: (-remainders[i], i))
    missing = units - sum(split)
    for i in range(missing):
        split[by_remainder[i % num_blocks]] += 1
    for _ in range(-missing):
        split[split.index(max(split))] -= 1
    return tuple(given * multiple for given in split)
