"""`ArchSpec` → `ProfileResult`: what a network costs in its inference form."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stdc_lab.arch import ArchSpec, analyse
from stdc_lab.arch.costs import peak
from stdc_lab.arch.graph import Operation
from stdc_lab.arch.spec import TaskName
from stdc_lab.arithmetic import TIMING
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.hardware.environment import environment
from stdc_lab.hardware.threads import default_threads
from stdc_lab.nn import Classifier, FamilySegmenter, build_classifier, build_model
from stdc_lab.profiling.counters import Counted, check_size, count_macs
from stdc_lab.profiling.parts import stage_cost
from stdc_lab.profiling.published import count_released_form, published_account
from stdc_lab.profiling.ranking import measure_latency
from stdc_lab.records import LatencyResult, MacCounters, ProfileResult, TrainingCost

CLASSES = {"seg": 19, "cls": 1000}
"""How many, unless said: Cityscapes' and ImageNet's."""


def profile(
    spec: ArchSpec,
    *,
    num_classes: int | None = None,
    task: TaskName = "seg",
    heads: TrainingHeads | None = None,
    depth: int = 1,
    latency: LatencyConfig | None = None,
    timed: bool = True,
    counters: bool = True,
    device: torch.device | None = None,
    reference: tuple[str, ArchSpec] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ProfileResult:
    """Parameters, MACs by several counters, feature maps, part by part, and (if `timed`) the latency.

    `task`: the segmenter or the classifier. `heads`: also what the segmenter with these training heads costs; it is
    counted, the deployed network is timed. `depth`: 1 stages, 2 modules, 3 blocks as well. The latency is of untrained
    weights, which cost the same. Size, batch, runtime, threads and duration are in `latency`. `reference`: a
    segmenter by name that is timed in turns with this one, in the same runtime; the result says how many times as fast
    as it this one is. `counters`: whether fvcore, thop and PyTorch's counter run too; theory always does.

    Raises `StdcLabError` for training heads on a classifier, and as `measure_latency` does.
    """
    if heads is not None and task != "seg":
        raise StdcLabError("heads: training heads belong to the segmenter; a classifier (task cls) has none")
    config = latency or LatencyConfig()
    device = device or torch.device("cpu")
    network = build(spec, task, num_classes)
    result = count(network, config.size, heads=heads, depth=depth, counters=counters)
    if not timed:
        return result
    measured = _measured(network, spec, reference, config, device, on_progress)
    threads = config.threads or default_threads()
    return result.replace(latency=measured, environment=environment(device, threads, TIMING))


def _measured(
    network: FamilySegmenter | Classifier,
    spec: ArchSpec,
    reference: tuple[str, ArchSpec] | None,
    config: LatencyConfig,
    device: torch.device,
    on_progress: Callable[[float], None] | None,
) -> LatencyResult:
    if reference is None or reference[1].arch_id == spec.arch_id:
        alone = measure_latency({"network": network}, config, device, on_progress)["network"]
        same = {} if reference is None else {"reference": reference[0], "times_as_fast": 1.0}
        return alone.replace(**same)
    name, other = reference
    networks = {"network": network, name: build_model(other, network.num_classes)}
    return measure_latency(networks, config, device, on_progress, reference=name)["network"]


def build(spec: ArchSpec, task: TaskName, num_classes: int | None = None) -> FamilySegmenter | Classifier:
    """The deployed segmenter (default 19 classes), or the classifier (1,000)."""
    classes = CLASSES[task] if num_classes is None else num_classes
    return build_model(spec, classes) if task == "seg" else build_classifier(spec, classes)


def count(
    network: FamilySegmenter | Classifier,
    size: tuple[int, int],
    *,
    heads: TrainingHeads | None = None,
    depth: int = 1,
    counters: bool = True,
) -> ProfileResult:
    """All of a profile that needs no clock, of a deployed network; see `profile`."""
    spec, classes = network.spec, network.num_classes
    task: TaskName = "seg" if isinstance(network, FamilySegmenter) else "cls"
    check_size(size)
    theory = analyse(spec, size, classes, task=task)
    done = theory.operations
    counted = count_macs(network, size) if counters else Counted(MacCounters(theory=theory.cost.macs))
    most = peak(done)
    return ProfileResult(
        arch=spec,
        arch_id=spec.arch_id,
        task=task,
        num_classes=classes,
        size=size,
        num_params=theory.cost.num_params,
        macs=theory.cost.macs,
        activations=theory.cost.activations,
        peak_activations=most.elements,
        peak_at=_where(most.operation),
        counters=counted.counters,
        accounts=counted.accounts,
        not_counted=counted.not_counted,
        released_form=count_released_form(network, size) if counters else None,
        published=published_account(spec, size, classes) if task == "cls" else None,
        stages=tuple(stage_cost(part, done, depth) for part in theory.parts),
        training=None if heads is None else _training_cost(spec, classes, heads, size),
    )


def _training_cost(spec: ArchSpec, num_classes: int, heads: TrainingHeads, size: tuple[int, int]) -> TrainingCost:
    network = build_model(spec, num_classes, heads)
    counted = count_macs(network, size)
    theory = analyse(spec, size, num_classes, auxiliary=heads.auxiliary, detail_strides=heads.detail_strides)
    done = theory.operations
    return TrainingCost(
        heads=heads,
        num_params=theory.cost.num_params,
        macs=theory.cost.macs,
        activations=theory.cost.activations,
        peak_activations=peak(done).elements,
        head_costs=tuple(stage_cost(part, done, 1) for part in theory.parts if part.name.startswith(_HEADS)),
        counters=counted.counters,
        accounts=counted.accounts,
    )


_HEADS = ("auxiliary head", "detail head")


def _where(operation: Operation) -> str:
    return f"{operation.part}: {operation.kind}"
