"""Several networks profiled together: counted each, timed taking turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stdc_lab.arch import ArchSpec
from stdc_lab.arch.spec import TaskName
from stdc_lab.arithmetic import TIMING
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy.runtimes import Runtime
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.nn import (
    Classifier,
    FamilySegmenter,
    OwnNetwork,
    OwnSegmenter,
    Segmenter,
    build_own,
    load_checkpoint,
    strip_heads,
)
from stdc_lab.nn.own import check_no_heads
from stdc_lab.profiling.baselines import CLASSES, build_baseline, count_baseline, parts_of_baseline
from stdc_lab.profiling.forecast import forecast_s
from stdc_lab.profiling.latency import measure_eager
from stdc_lab.profiling.own import count_own
from stdc_lab.profiling.profile import CLASSES as DEFAULT_CLASSES
from stdc_lab.profiling.profile import build, count
from stdc_lab.profiling.ranking import measure_runtimes
from stdc_lab.profiling.stages import measure_stages
from stdc_lab.records import ProfileResult

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Subject:
    """A deployed network under the name that it was asked for by."""

    name: str
    network: nn.Module
    trained: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it says what its parts are."""
        return isinstance(self.network, Segmenter | Classifier)


def subject_of_spec(name: str, spec: ArchSpec, task: TaskName, num_classes: int | None = None) -> Subject:
    """An architecture with fresh weights, which cost what trained ones do."""
    return Subject(name, build(spec, task, num_classes))


def subject_of_own(own: OwnNetwork, num_classes: int | None = None) -> Subject:
    """A user's own segmenter, with the weights that its code gives it. Raises `ConfigError`."""
    return Subject(own.path, build_own(own, num_classes or DEFAULT_CLASSES["seg"], seed=0))


def subject_of_checkpoint(path: Path, task: TaskName, own: OwnNetwork | None = None) -> Subject:
    """The deployed network of one of our checkpoints. own: see `load_checkpoint`.

    Raises `CheckpointError`, `StdcLabError` for the other task.
    """
    network = load_checkpoint(path, own).network
    held: TaskName = "seg" if isinstance(network, Segmenter) else "cls"
    if held != task:
        raise StdcLabError(f"{path}: holds a {'segmenter' if held == 'seg' else 'classifier'}: use --task {held}")
    return Subject(path.stem, strip_heads(network) if isinstance(network, Segmenter) else network, trained=True)


def subject_of_baseline(name: str, num_classes: int | None = None) -> Subject:
    """A classifier of others, with fresh weights. Raises `StdcLabError`."""
    return Subject(name, build_baseline(name, num_classes or CLASSES))


@dataclass(frozen=True)
class Request:
    """What to measure beside counting.

    timed: latency at batch 1, eager. stages: of the parts as well. runtimes, batches: every combination, see
    `measure_runtimes`. reference: the name that ratios are to. heads, depth: see `profile`.
    """

    sizes: Sequence[tuple[int, int]]
    timed: bool = True
    stages: bool = False
    runtimes: Sequence[Runtime] = ()
    batches: Iterable[int] = (1,)
    reference: str | None = None
    heads: TrainingHeads | None = None
    depth: int = 1


def profile_together(
    subjects: Sequence[Subject],
    request: Request,
    config: LatencyConfig,
    device: torch.device,
    on_progress: Tell | None = None,
    on_forecast: Callable[[float, float], None] | None = None,
) -> list[ProfileResult]:
    """A profile a network and size, in this order; what was timed took turns with the others of its size.

    Ratios are to the reference; with runtimes, to the reference in the first of them. `on_forecast` hears, once every
    network was timed in eager PyTorch, how many seconds the runtimes of all sizes will take, and at most on a busy
    machine. Raises `StdcLabError`.
    """
    tell = on_progress or (lambda _what, _share: None)
    results = []
    for size in request.sizes:
        for subject in subjects:
            tell(f"counting {subject.name}", 0.0)
            results.append(_count(subject, size, request))
    if not request.timed:
        return results
    where = environment(device, config.threads or default_threads(), TIMING)
    for start, size in zip(range(0, len(results), len(subjects)), request.sizes, strict=True):
        found = results[start : start + len(subjects)]
        here = config.replace(size=size)
        timed = _time(subjects, found, request, here, device, tell, on_forecast if start == 0 else None)
        results[start : start + len(subjects)] = [one.replace(environment=where) for one in timed]
    return results


def _count(subject: Subject, size: tuple[int, int], request: Request) -> ProfileResult:
    network = subject.network
    if isinstance(network, OwnSegmenter):
        check_no_heads(network.path, request.heads)
        return count_own(network, size).replace(network=subject.name)
    if isinstance(network, FamilySegmenter | Classifier):
        found = count(network, size, heads=request.heads, depth=request.depth)
        return found.replace(network=subject.name)
    return count_baseline(subject.name, network, size)


def _time(
    subjects: Sequence[Subject],
    counted: Sequence[ProfileResult],
    request: Request,
    config: LatencyConfig,
    device: torch.device,
    tell: Tell,
    on_forecast: Callable[[float, float], None] | None,
) -> list[ProfileResult]:
    networks = {subject.name: subject.network for subject in subjects}
    latencies = measure_eager(
        networks, config, device, lambda share: tell("timing", share), reference=request.reference
    )
    if request.runtimes and on_forecast is not None:
        calls = [latencies[subject.name].median_ms / 1000 for subject in subjects]
        areas = [height * width / math.prod(config.size) for height, width in request.sizes]
        on_forecast(*forecast_s(calls, request.runtimes, sorted(set(request.batches)), config, areas=areas))
    stages = {}
    for index, subject in enumerate(subjects if request.stages else ()):
        tell(f"timing the parts of {subject.name}", index / len(subjects))
        parts = None if subject.is_ours else parts_of_baseline(subject.network, config.size)
        stages[subject.name] = measure_stages(subject.network, config, device, parts)
    ranked = []
    if request.runtimes:
        reference = None if request.reference is None else (request.reference, request.runtimes[0].name)
        ranked = measure_runtimes(
            networks,
            request.runtimes,
            config,
            device,
            trained={subject.name for subject in subjects if subject.trained},
            batches=request.batches,
            reference=reference,
            on_progress=tell,
        )
    return [
        result.replace(
            latency=latencies[subject.name],
            stage_latencies=stages.get(subject.name),
            runtimes=tuple(one for one in ranked if one.network == subject.name),
        )
        for subject, result in zip(subjects, counted, strict=True)
    ]
