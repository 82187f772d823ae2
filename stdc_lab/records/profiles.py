"""What comes back from profiling: a network's costs, its latencies, and the machine behind them."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.arch.costs import Part
from stdc_lab.config.training import TrainingHeads
from stdc_lab.config.values import Arch, Extent, Size, Value


class Environment(Value):
    """The machine and the versions behind a figure."""

    device: str
    """`cpu` or `cuda:0` …"""
    processor: str
    """The processor's or the GPU's name."""
    threads: int
    python: str
    torch: str
    fingerprint: str
    """Digest of all that makes latencies of two machines unlike; unlike fingerprints never share an axis."""
    clock_mhz: float | None = None
    """As the system told it when this was written; null where it does not."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of further runtimes, as far as they are installed."""
    arithmetic: str | None = None
    """What float32 meant and how convolutions were chosen ; null in older records, and where nothing was computed."""


class LatencyResult(Value):
    """Latency of a call of one network in one runtime, for one shape of input; of a batch, that of all its images."""

    median_ms: float
    p95_ms: float
    ci95_ms: tuple[float, float]
    """95 % confidence interval of the median of the process, under drift of the window; see `interval_is`."""
    spread: float
    """Interquartile range over median: above 0.1 the machine was not quiet."""
    repeats: int
    warmup_repeats: int
    runtime: str
    device: str
    dtype: str
    threads: int
    input_shape: tuple[int, int, int, int]
    layout: str = "channels-last"
    """Of images and feature maps as the runtime is given them; what it does with them inside is its own affair."""
    precision: float | None = None
    """How far the farther end of the interval is from the median, over the median."""
    noisy: bool | None = None
    """The interval is wider than was asked for, or the timings scatter, after all attempts; null in older records."""
    note: str | None = None
    """What else keeps one from believing it, in words: it is then noisy too."""
    attempts: int = 1
    """How many windows were timed: a noisy one is followed by another, and all are pooled."""
    blocks: int | None = None
    """Of timings, spread over the windows: the interval counts blocks, since calls in a row resemble each other. Null
    in older records, whose interval took every call for independent: it is too narrow."""
    interval_is: str | None = None
    """How the interval came about; null in older records."""
    arithmetic: str | None = None
    """What float32 meant and how convolutions were chosen; null in older records."""
    making_s: float | None = None
    """Seconds until the runtime first answered: its graph, session or compilation. Null for eager PyTorch as it comes,
    and in older records."""
    reference: str | None = None
    """What `times_as_fast` compares with, timed in the same rounds."""
    times_as_fast: float | None = None
    """Median over the rounds of the reference's time over this one's."""
    times_as_fast_ci95: tuple[float, float] | None = None
    peak_memory_bytes: int | None = None
    """High-water mark of memory during a call, above what was in use before it: feature maps and workspace, no
    weights. Null where a runtime keeps that memory between calls, or the system does not tell."""


class StageLatency(Value):
    """How long a part of the network takes within a call; the name is theory's."""

    name: str
    median_ms: float
    ci95_ms: tuple[float, float]


class StageLatencies(Value):
    """A call taken apart: the parts in order, and how closely they add up to a call that nobody watches."""

    stages: tuple[StageLatency, ...]
    sum_ms: float
    """Of the parts' medians."""
    whole_ms: float
    """Median of undisturbed calls, taking turns with those that were watched."""
    closure: float
    """Sum over whole: above 1 by what watching costs, and by medians not adding up."""
    repeats: int
    runtime: str
    threads: int
    device: str
    input_shape: tuple[int, int, int, int]


class Agreement(Value):
    """How far a runtime's logits are from those of the float32 eager network, on the same weights and images."""

    max_abs_error: float
    max_rel_error: float
    """Largest error over the largest logit."""
    argmax_share: float
    """Share of pixels (of images, for a classifier) with the same best class."""
    weights: Literal["trained", "random"]
    """random: their norms have the statistics of the images, so that activations have a sane size."""


class RuntimeResult(Value):
    """What one runtime makes of a network; `latency` and `agreement` are null where it did not run."""

    network: str
    """The name that it was profiled under."""
    runtime: str
    dtype: str
    """What it rounds to: a runtime that computed in another dtype than its own was not timed."""
    emulated: bool | None = None
    """Whether the device has no instructions for the dtype; null in older records."""
    layout: str
    what: str
    batch: int
    size: Size
    latency: LatencyResult | None = None
    agreement: Agreement | None = None
    reason: str | None = None
    """Why it did not run: not installed, out of memory at this batch size, outputs that do not agree …"""


class StageCost(Value):
    """A part of the network: one of the five stages, the decoder, the head; or what such a part is made of."""

    name: str
    output_channels: int
    output_size: Extent
    num_params: int
    macs: int
    activations: int | None = None
    """Elements that its convolutions and linear layers put out."""
    peak_activations: int | None = None
    """The most elements of feature maps alive at once while it runs, see `arch.operations.peak`."""
    receptive_field: int | None = None
    """Side in pixels of what its convolutional path sees of the image; null where all comes from a global mean."""
    whole_image: bool | None = None
    """Whether a global pooling lies behind it."""
    parts: tuple[StageCost, ...] = ()

    @classmethod
    def of(cls, part: Part) -> StageCost:
        """What theory says of a part of a network, without what it is made of."""
        return cls(
            name=part.name,
            output_channels=part.output_channels,
            output_size=part.output_size,
            num_params=part.cost.num_params,
            macs=part.cost.macs,
            activations=part.cost.activations,
            receptive_field=part.receptive_field,
            whole_image=part.whole_image,
        )


class MacCounters(Value):
    """Multiply-accumulates by different counters, each by its own convention; null where it has no answer."""

    theory: int | None = None
    fvcore: int | None = None
    thop: int | None = None
    torch: int | None = None
    """Half of the FLOPs that it reports."""


CounterName = Literal["torch", "fvcore", "thop", "ptflops"]


class AccountRow(Value):
    """Something that a counter counts: `times` for each of `elements` where it is no multiply-accumulate of theory."""

    name: str
    count: int
    times: int | None = None
    elements: int | None = None


class CounterAccount(Value):
    """What a counter's answer is made of, in its own unit: the rows and what they leave add up to the total."""

    counter: CounterName
    unit: str
    total: int
    """As the counter reports it."""
    rows: tuple[AccountRow, ...]
    """From the spec and the counter's rules, not from its answer."""
    unaccounted: int
    """Zero, unless the installed counter follows other rules than those known here."""
    rounded_to: int = 1
    """What the total is a multiple of: a published figure is rounded."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(row.count for row in self.rows) + self.unaccounted != self.total:
            raise ValueError("the rows and what is unaccounted must add up to the total")
        return self

    @property
    def closes(self) -> bool:
        """Whether everything is accounted for, as far as the total is given."""
        return 2 * abs(self.unaccounted) < self.rounded_to


class TrainingCost(Value):
    """What the training form of a network costs: the deployed one and the heads that only training needs."""

    heads: TrainingHeads
    num_params: int
    macs: int
    activations: int
    peak_activations: int
    """Of a forward pass in evaluation mode; training keeps feature maps for the way back."""
    head_costs: tuple[StageCost, ...]
    """The training heads alone."""
    counters: MacCounters
    accounts: tuple[CounterAccount, ...]
    """All heads run; only the main logits are returned, so a counter that traces the graph drops the others."""


class ProfileResult(Value):
    """What a network costs in its inference form."""

    network: str | None = None
    """The name that it was profiled under."""
    arch: Arch | None
    """Null for a baseline and a user's own network, which no spec describes."""
    arch_id: str | None
    task: Literal["seg", "cls"] = "seg"
    """The segmenter, or the classifier that its backbone is pretrained in."""
    num_classes: int
    size: Size
    num_params: int
    macs: int
    """Multiply-accumulates of convolutions and linear layers at `size`, batch 1: by theory; of a baseline, from the
    shapes that its layers meet; of a user's own network, half the FLOPs of PyTorch's counter."""
    activations: int | None = None
    """Elements that convolutions and linear layers put out."""
    peak_activations: int | None = None
    """The most elements of feature maps alive at once, see `arch.operations.peak`."""
    peak_at: str | None = None
    """The operation during which that is."""
    counters: MacCounters
    accounts: tuple[CounterAccount, ...] = ()
    not_counted: dict[str, dict[str, int]]
    """Operations that a counter met and did not count: counter → operation → how often."""
    released_form: CounterAccount | None = None
    """thop on the classifier as the released code arranges it, stages registered twice."""
    published: CounterAccount | None = None
    """How a published count of this network comes about; what is unaccounted is what its rounding leaves out."""
    stages: tuple[StageCost, ...]
    training: TrainingCost | None = None
    latency: LatencyResult | None = None
    stage_latencies: StageLatencies | None = None
    runtimes: tuple[RuntimeResult, ...] = ()
    """Every runtime and batch size that was asked for, the fastest of a batch size first."""
    environment: Environment | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_todays_names(cls, content: Any) -> Any:
        """Older records call the task `head`."""
        if isinstance(content, dict) and "head" in content:
            content = {"task" if name == "head" else name: value for name, value in content.items()}
        return content
