"""Small pieces of sentences: numbers, counts, networks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pandas as pd

from stdc_lab.reporting.figure_data import (
    trial_name,
)


def between(low: float, high: float, show: Callable[[float], str] = "{:.3f}".format) -> str:
    """`95 % interval 0.412 to 0.450, `; nothing where there is none."""
    return "" if math.isnan(low) else f"95 % interval {show(low)} to {show(high)}, "


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, and a true minus: `+0.014`, `−0.046`, `±0`."""
    text = f"{value:+.{digits}f}"
    return f"±{abs(value):.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def without_paths(text: str) -> str:
    """Text with folders cut out of absolute paths, as a page that is passed on should not tell of a machine."""
    text = re.sub(r"(?<![\w./:<])(?:~|/[^\s/'\",:;<>]+)(?:/[^\s/'\",:;<>]+)*/([^\s/'\",:;<>]+)", r"…/\1", text)
    return re.sub(r"\b[A-Za-z]:\\(?:[^\\\s'\",;<>]+\\)*([^\\\s'\",;<>]+)", r"…\\\1", text)


def counted(count: int, what: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def network_in_words(trial: pd.Series) -> str:
    """`#12 (14.2 ms, mIoU 0.412 over 3 seeds)`."""
    over = f" over {int(trial['network_seeds'])} seeds" if trial["network_seeds"] > 1 else ""
    return f"{trial_name(trial)} ({trial['latency_ms']:.1f} ms, mIoU {trial['miou']:.3f}{over})"
