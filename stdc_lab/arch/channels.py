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
    shares, total = _shares(num_blocks, ratio)
    exact = [divmod(units * share, total) for share in shares]
    split = [given or 1 for given, _ in exact]
    missing = units - sum(split)
    if missing > 0:
        # The sort is stable: of equal remainders the first comes first.
        remainders = [rest if given else rest - total for given, rest in exact]
        for place in sorted(range(num_blocks), key=remainders.__getitem__, reverse=True)[:missing]:
            split[place] += 1
    for _ in range(-missing):
        split[split.index(max(split))] -= 1
    return tuple([given * multiple for given in split])


@lru_cache(maxsize=4096)
def _shares(num_blocks: int, ratio: float) -> tuple[list[int], int]:
    """The blocks' shares in whole numbers, and their sum: the same for modules of any width."""
    over, under = float(ratio).as_integer_ratio()
    shares = [over**i * under ** (num_blocks - 2 - i) for i in range(num_blocks - 1)]
    shares.append(shares[-1])
    return shares, sum(shares)
