"""What the system tells of the CPU."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """What the maker calls it."""
    for line in cpu_lines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Its instruction sets by their names in Linux; empty elsewhere."""
    for line in cpu_lines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def cpu_lines() -> list[str]:
    """Lines of what Linux says of each core; empty elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
