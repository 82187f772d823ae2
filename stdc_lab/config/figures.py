"""Every figure that can be measured, once: objectives, bounds, columns, tables, axes and words follow from it.

Another figure is a line here and its reader in `stdc_lab.records.figures`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import AfterValidator

SHARE = "validation, 0–1"
"""The unit of a score."""
CLASS_IOU = "iou."
"""Begins the name of a class's IoU: `iou.pedestrian`."""


@dataclass(frozen=True)
class Figure:
    """What is known of a figure, whatever its value."""

    name: str
    title: str
    """Heads a column, with the unit behind it."""
    unit: str
    """Of what is shown, the value over `divisor`."""
    meaning: str
    source: Literal["theory", "profile", "training", "derived"]
    """What tells it first. A study may ask for any but a derived one, which another figure tells already."""
    maximize: bool = False
    """Its usual direction."""
    digits: int = 2
    divisor: float = 1
    words: str = ""
    """What a sentence calls it; the title if nothing else is said."""
    axis: str = ""
    """What an axis calls it, with its unit; title and unit if nothing else is said."""
    by_seed: bool = False
    """Whether it depends on the training's seed: it is then averaged over them."""
    scatters: bool = False
    """From one timing to another."""
    whole: bool = False
    """Whether its value is a whole number."""
    sized: bool = True
    """Of theory: whether it depends on the size of the image."""
    usual: bool = False
    """Whether every report shows it; others are shown where they are objectives."""
    missing: str = "its network was not timed"
    """Why it may be unknown."""

    @property
    def heading(self) -> str:
        """At the head of a column: `Latency ms`."""
        return self.title if self.unit in ("", SHARE) else f"{self.title} {self.unit}"

    @property
    def short_axis_title(self) -> str:
        """Beside one of many small axes: `Latency (ms)`."""
        return f"{self.title} ({self.unit})" if self.unit not in ("", SHARE) else self.title

    @property
    def axis_title(self) -> str:
        """Beside an axis: `MACs (10⁹)`."""
        return self.axis or (f"{self.title} ({self.unit})" if self.unit else self.title)

    @property
    def in_words(self) -> str:
        """In a sentence: `feature maps alive at once`."""
        return self.words or self.title

    def show(self, value: float) -> str:
        """A value in the figure's unit, without naming it."""
        return f"{value / self.divisor:.{self.digits}f}"


_MEMORY_IS_NOT_TOLD = (
    "this system does not tell how much memory a call needs at its highest, as Linux does where /proc/self/clear_refs "
    "can be written, and CUDA; choose another figure, such as peak_activations"
)
_NO_BOUNDARY = "no class has a boundary in the validation labels; choose another figure"
_NO_PIXEL = "the class occurs in neither labels nor predictions of the validation images; choose another figure"
# fmt: off
_ALL = (
    Figure("miou", "mIoU", SHARE, "mean IoU over the classes, validation, 0 to 1", "training", True, 3, by_seed=True,
           usual=True),
    Figure("boundary_f", "Boundary F", SHARE, "boundary F-score, validation, 0 to 1", "training", True, 3,
           words="boundary F-score", by_seed=True, missing=_NO_BOUNDARY),
    Figure("latency_ms", "Latency", "ms", "of a call, median, inference graph", "profile", words="latency",
           axis="Latency at batch 1 (ms, median)", scatters=True, usual=True),
    Figure("latency_p95_ms", "p95", "ms", "95th percentile of the latency", "profile",
           words="95th percentile of latency", scatters=True, usual=True),
    Figure("fps", "FPS", "", "images a second: 1000 × batch / latency in ms", "derived", True, 1, usual=True),
    Figure("latency_ratio", "Latency ratio", "", "over the reference network’s, timed in turns with it", "profile",
           digits=3, words="latency over the reference’s", scatters=True),
    Figure("macs", "MACs", "10⁹", "multiply-accumulates of convolutions and linear layers", "theory", divisor=1e9,
           whole=True, usual=True),
    Figure("gflops", "GFLOPs", "", "2 × MACs / 10⁹", "derived", usual=True),
    Figure("num_params", "Params", "10⁶", "parameters of the inference graph", "theory", divisor=1e6,
           words="parameters", whole=True, sized=False, usual=True),
    Figure("activations", "Activations", "10⁶", "elements that convolutions and linear layers put out", "theory",
           divisor=1e6, words="activations", whole=True),
    Figure("peak_activations", "Peak", "10⁶", "elements of feature maps alive at once, by theory", "theory",
           divisor=1e6, words="feature maps alive at once",
           axis="Feature maps alive at once (10⁶ elements)", whole=True),
    Figure("peak_memory_bytes", "Memory", "MiB", "of a call, measured", "profile", digits=1, divisor=2**20,
           words="memory", axis="Memory of a call, measured (MiB)", whole=True, missing=_MEMORY_IS_NOT_TOLD),
)
# fmt: on
FIGURES = {figure.name: figure for figure in _ALL}
_CLASS = Figure(CLASS_IOU, "IoU", SHARE, "", "training", True, 3, by_seed=True, missing=_NO_PIXEL)


def figure_of(name: str) -> Figure:
    """A figure by its name. Raises ValueError for one that a study cannot ask for."""
    one = FIGURES.get(name)
    if one is not None and one.source != "derived":
        return one
    of_class = name.removeprefix(CLASS_IOU)
    if of_class in ("", name):
        askable = (one.name for one in FIGURES.values() if one.source != "derived")
        raise ValueError(f"got {name!r}; allowed: {', '.join(askable)}, or {CLASS_IOU}CLASS, such as iou.pedestrian")
    title = f"IoU of {of_class}"
    return replace(_CLASS, name=name, title=title, meaning=f"{title}, validation, 0 to 1")


def _known(name: str) -> str:
    return figure_of(name).name


FigureName = Annotated[str, AfterValidator(_known)]
