"""The machine and the versions behind a figure, with its fingerprint."""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from stdc_lab.arithmetic import Arithmetic, describe
from stdc_lab.hardware.processor import cpu_lines, cpu_name
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.records import Environment

RUNTIME_PACKAGES = ("onnxruntime", "openvino")


def environment(device: torch.device, threads: int, computed: Arithmetic | None = None) -> Environment:
    """The machine and the versions behind a figure measured on `device` with so many CPU threads, computed so."""
    processor = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    parts = {
        "device": device.type,
        "processor": processor,
        "cores": usable_cores(),
        "system": platform.system(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    return Environment(
        device=str(device),
        processor=processor,
        threads=threads,
        python=platform.python_version(),
        torch=torch.__version__,
        fingerprint=digest,
        clock_mhz=_clock_mhz(device),
        versions=_versions(),
        arithmetic=None if computed is None else describe(computed, device),
    )


def _clock_mhz(device: torch.device) -> float | None:
    """The clock as the system tells it at this moment: of the GPU, or the fastest of the cores."""
    if device.type == "cuda":
        with suppress(Exception):  # without NVIDIA's library for it there is none to be had
            return float(torch.cuda.clock_rate(device))
        return None
    clocks = [float(line.partition(":")[2]) for line in cpu_lines() if line.startswith("cpu MHz")]
    return max(clocks) if clocks else None


def _versions() -> dict[str, str]:
    installed = {}
    for name in RUNTIME_PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed
