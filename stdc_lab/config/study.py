"""`StudyConfig`: a question put to a search space."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from stdc_lab.arch import ArchSpec, preset
from stdc_lab.config.bounds import ConstraintText
from stdc_lab.config.data import DataConfig, ScenesConfig
from stdc_lab.config.figures import figure_of
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.objectives import DEFAULT_OBJECTIVES, ObjectiveText
from stdc_lab.config.plan import PlanConfig
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Arch, Name, Value


class SamplerConfig(Value):
    """What proposes the next architecture."""

    name: Literal["tpe", "nsga2", "random"] = "tpe"
    """`tpe` learns from trained, screened-out and infeasible trials alike, and from those that diverged or did not fit
    into memory; `nsga2` breeds from complete ones. After three repeats in a row either draws at random."""
    startup_trials: Annotated[int, Field(ge=1)] = 8
    """tpe only: how many networks are drawn at random and trained before the model of the space is used; references
    and what is screened out are none of them."""
    population: Annotated[int, Field(ge=2, le=10_000)] = 16
    """nsga2 only: how many complete trials make a generation."""


class ScorerConfig(Value):
    """What tells how well a candidate does."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")] = "training"
    """`training` trains each candidate for itself, as `train` says: the proxy training."""


class StudyConfig(Value):
    """A search over one or several objectives, or an ablation plan; everything that is measured is recorded."""

    name: Name
    title: str = ""
    """A heading for the report."""
    space: SearchSpace
    """In a study's YAML: the name of a file in `search_spaces/`, or the space itself. A plan needs none."""
    objectives: Annotated[tuple[ObjectiveText, ...], Field(min_length=1, max_length=5)] = DEFAULT_OBJECTIVES
    """Figures of which the front is made: `miou`, `latency_ms` …, each in its usual direction."""
    constraints: tuple[ConstraintText, ...] = ()
    """What a trial has to meet to be on the front: `latency_ms <= 20`. What is known to break one is not trained."""
    trials: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """How many trials are trained in all, references included; a plan has as many as it has."""
    stale_trials: Annotated[int, Field(ge=1)] | None = None
    """Ends before `trials` once so many trained trials in a row have not made the front's hypervolume grow by 0.1 %."""
    known_training: Literal["another_proposal", "new_seed"] = "another_proposal"
    """When the sampler proposes a training that was done before: its result is told again, which counts as no trial,
    and another proposal is asked for, after three such in a row a random one; or it is trained once more with the next
    seed."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of every training (so that trials are paired) and of the sampler; the trainings of a plan have the plan's."""
    references: tuple[str, ...] = ("stdc1", "stdc2")
    """Presets that are trained first, whether or not the space contains them; in a plan, none unless given."""
    networks: dict[Name, Arch] = Field(default_factory=dict)
    """Networks of your own that are trained after the references: a mapping of fields, such as `base: stdc1`."""
    sampler: SamplerConfig = SamplerConfig()
    plan: PlanConfig | None = None
    """In place of a sampler: every arm with every seed, and nothing else."""
    pruning: PruningConfig | None = None
    """Whether trainings are stopped on the way that others dominate; what the study names is never stopped."""
    scorer: ScorerConfig = ScorerConfig()
    """What gives a candidate its scores; left out of study.yaml where it is the default."""
    data: DataConfig = ScenesConfig()
    train: TrainConfig = TrainConfig()
    latency: LatencyConfig = LatencyConfig()

    @model_serializer(mode="wrap")
    def _without_the_default_scorer(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if self.scorer == ScorerConfig():
            content.pop("scorer", None)
        return content

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        if self.plan is not None and "references" not in self.model_fields_set:
            object.__setattr__(self, "references", ())
        for name in self.references:
            preset(name)
        if len(set(self.references)) != len(self.references):
            raise ValueError("references: the same preset twice")
        twice = next((name for name in self.networks if name in self.references), None)
        if twice is not None:
            raise ValueError(f"networks.{twice}: a reference has this name; give it another")
        return self

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        figures = [objective.figure for objective in self.objectives]
        if len(set(figures)) != len(figures):
            raise ValueError("objectives: the same figure twice")
        if self.pruning is not None and not self.can_prune:
            raise ValueError(
                "pruning: needs miou among the objectives, and beside it what a profile tells: other scores, such as "
                "boundary_f, are known only at the end"
            )
        if self.pruning is not None and self.plan is not None:
            raise ValueError("pruning: a plan is complete, so its trainings are not stopped; leave pruning out")
        if "latency_ratio" in self.figures and not self.known_networks:
            raise ValueError("latency_ratio: needs a network to compare with; name one in references or networks")
        return self

    @model_validator(mode="after")
    def _space_fits_the_training(self) -> Self:
        if self.plan is not None:  # nothing is drawn from its space
            self.plan.refuse_repetition(self.train)
            return self
        for point in self.space.samples():
            self.space.training_of(point, self.train)
        return self

    @property
    def can_prune(self) -> bool:
        """Whether the objectives are known on the way: more mIoU, and what a profile tells."""
        figures = {one.figure: one.maximize for one in self.objectives}
        others = [figure_of(name).source for name in figures if name != "miou"]
        return figures.get("miou", False) and "training" not in others

    @property
    def figures(self) -> set[str]:
        """What a trial has to measure beside mIoU and latency."""
        return {one.figure for one in self.objectives} | {one.figure for one in self.constraints}

    @property
    def known_networks(self) -> dict[str, ArchSpec]:
        """Reference networks, then networks of the user's own, by name: each is run once."""
        return {name: preset(name) for name in self.references} | self.networks

    @property
    def latency_reference(self) -> tuple[str, ArchSpec] | None:
        """The network that all are timed beside, by its name, where the study asks for `latency_ratio`: the first that
        it names."""
        return next(iter(self.known_networks.items())) if "latency_ratio" in self.figures else None

    @property
    def total_trials(self) -> int:
        """How many trials are to be trained in all."""
        if self.plan is None:
            return self.trials
        return len(self.plan.arms) * len(self.plan.seeds) + len(self.known_networks)
