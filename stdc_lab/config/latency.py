"""How a latency is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stdc_lab.config.values import Size, Value

TITLES = {"eager": "eager PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""How runtimes are written for people; others as they are called."""


class LatencyConfig(Value):
    """The inference graph, warmed up until steady, timed in windows that are fixed before."""

    size: Size = (512, 1024)
    """Height x width of the input."""
    runtime: Annotated[str, Field(min_length=1)] = "eager"
    """What runs the network: `eager` (channels-last), `folded`, `compile`, `onnxruntime`, `openvino` …; which of them
    can is for the machine to say, see `deploy.runtimes.check_runtime`."""
    dtype: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    """What the runtime computes in."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 1
    """Images of a call: a latency is always that of a call, however many images there are in it."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; if absent one for each core, or OMP_NUM_THREADS if that is fewer."""
    warmup_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    """Seconds of untimed calls at most, for each network: they end once the median no longer falls by more than 1 %
    (at least three calls, or one where three take longer)."""
    measure_s: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Seconds of a window for each network, or longer if `min_repeats` calls take longer. Half of the calls in it
    count: they come in ten blocks with gaps between them, since calls in a row resemble each other."""
    min_repeats: Annotated[int, Field(ge=5, le=100_000)] = 15
    precision: Annotated[float, Field(gt=0, le=1)] = 0.02
    """A timing is noisy unless the 95 % interval of its median lies within this share of it, to either side."""
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    """How many windows there are at most: another one if some network is noisy, and all are pooled. What is then still
    noisy is marked so. The interval pays for every look that may end the timing: one more costs about a tenth of it."""

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """Of a call, N×3×H×W."""
        return (self.batch, 3, *self.size)

    @property
    def is_usual(self) -> bool:
        """Whether a call is of one image in eager float32, which a table's heading need not say."""
        return (self.runtime, self.dtype, self.batch) == ("eager", "float32", 1)

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", {self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{TITLES.get(self.runtime, self.runtime)} {self.dtype}, batch {self.batch}{threads}"
