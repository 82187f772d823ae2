"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import sys
from pathlib import Path

from stdc_lab.errors import ConfigError

MIN_SIDE = 32
MAX_SIDE = 8192


def read_size(text: str) -> tuple[int, int]:
    """`512x1024` (height x width) as a pair. Raises `ConfigError`."""
    from stdc_lab.config.values import parse_size

    try:
        size: tuple[int, int] = parse_size(text)
    except ValueError as error:
        raise ConfigError(f"--size: got {text!r}; allowed: {error}") from error
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ConfigError(f"--size: got {text!r}; allowed: sides from {MIN_SIDE} to {MAX_SIDE} pixels")
    return size


def write_json(text: str, path: Path) -> None:
    """Write JSON to a file, or to standard output for `-`. Raises `ConfigError` if it cannot be written."""
    if str(path) == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json: {path}: cannot be written: {error.strerror}") from error
