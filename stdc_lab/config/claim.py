"""`ClaimConfig`: a design claim of the paper, with the experiment and the statistics that decide it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from stdc_lab.config.data import DataConfig, ScenesConfig
from stdc_lab.config.figures import FigureName, figure_of
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.plan import PlanConfig, Setting
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Name, Value, in_words

FIRST_LOOK = 4
"""A claim is judged from so many pairs on, after every pair."""
MAX_SEEDS = 64
WEIGHT_TOLERANCE = 1e-9
MAX_WEIGHT = 100

Asserts = Literal["better", "not_worse", "equal"]
Direction = Literal["maximize", "minimize"]
ClaimId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Weights = dict[Name, float]
"""Arm → its weight in a contrast; they sum to 0."""


class Replication(Value):
    """What it would take to put the claim to the test as the paper did."""

    recipe: str
    """The training, in words."""
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Of the authors' kind of GPU, all arms and seeds together; null where nobody has said how long one takes."""


class Range(Value):
    """What a claim says of a figure: within these bounds, either of which may be open."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least ({self.at_least}) exceeds at_most ({self.at_most})")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high); infinite where it is open."""
        low, high = self.at_least, self.at_most
        return (-math.inf if low is None else low, math.inf if high is None else high)

    def __str__(self) -> str:
        if self.at_least is None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_most is None else f"{self.at_least:g} to {self.at_most:g}"


class _Claim(Value):
    """What all claims have."""

    id: ClaimId
    title: str
    """A heading, a few words."""
    statement: str
    """What is claimed, so that it can be false."""
    source: str
    """Where it is claimed: section and table of the paper, the released code, or who else says so."""
    replication: Replication


class _StatedClaim(_Claim):
    """A claim of figures that are computed or measured."""

    computes: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """What gives the figures: a function of `stdc_lab.claims`."""
    stated: Annotated[dict[str, bool | float | Range], Field(min_length=1)]
    """Figure → what it is claimed to be: a number, or a range such as `{at_least: 1}`."""
    tolerance: Annotated[float, Field(ge=0)] | dict[str, Annotated[float, Field(ge=0)]] = 0.0
    """How far a figure may be from a stated number, for all figures or for each by name."""

    @model_validator(mode="after")
    def _tolerances_are_of_figures(self) -> Self:
        for name in self.tolerance if isinstance(self.tolerance, dict) else ():
            if name not in self.stated:
                raise ValueError(f"tolerance.{name}: no such figure; allowed: {', '.join(self.stated)}")
        return self

    def bounds(self, figure: str) -> tuple[float, float]:
        """Within which a stated figure has to lie, (low, high)."""
        stated = self.stated[figure]
        if isinstance(stated, Range):
            return stated.bounds
        tolerance = self.tolerance_of(figure)
        return float(stated) - tolerance, float(stated) + tolerance

    def tolerance_of(self, figure: str) -> float:
        """How far a figure may be from a stated number."""
        return self.tolerance.get(figure, 0.0) if isinstance(self.tolerance, dict) else self.tolerance


class ExactClaim(_StatedClaim):
    """A claim of arithmetic: computed, not estimated."""

    kind: Literal["exact"]


class MeasuredClaim(_StatedClaim):
    """A claim of cost: interleaved timings on one machine, whose intervals are those of the timer."""

    kind: Literal["measured"]
    latency: LatencyConfig = LatencyConfig()
    """The runtime, the size and the window that the claim is about."""


class ProtocolConfig(Value):
    """A data set and a training that a claim is tried on."""

    data: DataConfig = ScenesConfig()
    train: TrainConfig = TrainConfig()
    max_seeds: Annotated[int, Field(ge=FIRST_LOOK, le=MAX_SEEDS)] | None = None
    """The greatest number of seeds here, where it is not that of the claim."""
    frequent_classes: tuple[str, ...] = ()
    """Classes whose mean IoU is judged beside the claim's metric, declared before the first run."""
    explores: bool = False
    """Whether its verdict is told beside the claim's and never in its place: another length, another data set."""


class TrainedClaim(_Claim):
    """A claim of accuracy: arms that are trained with the same seeds, and one contrast that decides."""

    kind: Literal["trained"]
    arms: Annotated[dict[Name, dict[str, Setting]], Field(min_length=2)]
    """What each arm changes, in the keys of a search space; `base: stdc2` begins with another preset than stdc1."""
    control: Name
    """The arm that the others are compared with."""
    treatment: Name | None = None
    """The arm that decides, or `contrast` in its place."""
    contrast: Weights | None = None
    """The primary contrast where it is of more than two arms: weights that sum to 0, the positive ones to 1."""
    secondary: dict[Name, Weights] = Field(default_factory=dict)
    """Further contrasts: told with intervals that are Holm-adjusted, and never decisive."""
    metric: FigureName = "miou"
    direction: Direction = "maximize"
    asserts: Asserts = "better"
    """What is said of the treatment against the control."""
    margin: Annotated[float, Field(gt=0)]
    """The smallest difference that matters, in the unit of the metric."""
    assumed_sd: Annotated[float, Field(gt=0)]
    """Standard deviation of a pair's difference, as assumed before the first run."""
    max_seeds: Annotated[int, Field(ge=FIRST_LOOK, le=MAX_SEEDS)] = 16
    """The greatest number of seeds: the plan that the looks are calibrated for."""
    protocols: Annotated[dict[Name, ProtocolConfig], Field(min_length=1)]
    """The first decides the claim; others tell whether it carries over."""

    @field_validator("contrast")
    @classmethod
    def _contrast_is_one(cls, weights: Weights | None) -> Weights | None:
        if weights is not None:
            _check_weights(weights)
            positive = sum(weight for weight in weights.values() if weight > 0)
            if abs(positive - 1) > WEIGHT_TOLERANCE:
                raise ValueError(f"the positive weights sum to {positive:g}; allowed: 1")
        return weights

    @field_validator("secondary")
    @classmethod
    def _secondary_are_contrasts(cls, secondary: dict[str, Weights]) -> dict[str, Weights]:
        for name, weights in secondary.items():
            try:
                _check_weights(weights)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return secondary

    @model_validator(mode="after")
    def _arms_and_contrasts_fit(self) -> Self:
        if (self.treatment is None) == (self.contrast is None):
            raise ValueError("give one primary contrast: either treatment, or contrast")
        named = {"control": {self.control: 0.0}, "treatment": {} if self.treatment is None else {self.treatment: 0.0}}
        for what, weights in {**named, "contrast": self.contrast or {}, **self.secondary}.items():
            for arm in weights:
                if arm not in self.arms:
                    raise ValueError(f"{what}: got {arm!r}; allowed: one of the arms, {', '.join(self.arms)}")
        if self.treatment == self.control:
            raise ValueError(f"treatment: {self.treatment} is the control: a comparison with itself says nothing")
        if self.contrast is not None and self.contrast.get(self.control, 0) >= 0:
            raise ValueError(f"contrast: the control, {self.control}, has no negative weight")
        return self

    @field_validator("protocols")
    @classmethod
    def _the_first_decides(cls, protocols: dict[str, ProtocolConfig]) -> dict[str, ProtocolConfig]:
        first = next(iter(protocols), None)
        if first is not None and protocols[first].explores:
            raise ValueError(f"{first} explores, and the first one has to decide; allowed: explores in later ones")
        return protocols

    @model_validator(mode="after")
    def _arms_can_be_trained(self) -> Self:
        if not figure_of(self.metric).by_seed:
            raise ValueError(f"metric: {self.metric} is the same for every seed; allowed: miou, boundary_f, iou.CLASS")
        try:
            plan = self.plan((0,))
        except ValidationError as error:
            raise ValueError("; ".join(map(in_words, error.errors(include_url=False)))) from error
        for name, protocol in self.protocols.items():
            try:
                plan.refuse_repetition(protocol.train)
            except ValueError as error:
                raise ValueError(f"protocols.{name}: {error}") from error
        return self

    @property
    def weights(self) -> Weights:
        """The primary contrast: arm → weight."""
        if self.contrast is not None:
            return {arm: weight for arm, weight in self.contrast.items() if weight}
        return {cast("str", self.treatment): 1.0, self.control: -1.0}

    def seeds_of(self, protocol: str) -> int:
        """The greatest number of seeds of a protocol."""
        return self.protocols[protocol].max_seeds or self.max_seeds

    def plan(self, seeds: tuple[int, ...]) -> PlanConfig:
        """The arms with these seeds."""
        return PlanConfig(arms=self.arms, seeds=seeds, control=self.control)


ClaimConfig = Annotated[ExactClaim | MeasuredClaim | TrainedClaim, Field(discriminator="kind")]
KINDS: Mapping[str, type[BaseModel]] = {"exact": ExactClaim, "measured": MeasuredClaim, "trained": TrainedClaim}


def model_of(content: Any) -> type[BaseModel]:
    """The kind of claim that a file's content is of. Raises ValueError."""
    kind = content.get("kind") if isinstance(content, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}; allowed: {', '.join(KINDS)}")
    return KINDS[kind]


def _check_weights(weights: Weights) -> None:
    """Raise ValueError for weights that are no contrast."""
    if abs(sum(weights.values())) > WEIGHT_TOLERANCE:
        raise ValueError(f"the weights sum to {sum(weights.values()):g}; allowed: 0")
    if not any(weights.values()):
        raise ValueError("no arm has a weight")
    largest = max(weights.values(), key=abs)
    if abs(largest) > MAX_WEIGHT:
        raise ValueError(f"got a weight of {largest:g}; allowed: from -{MAX_WEIGHT} to {MAX_WEIGHT}")
