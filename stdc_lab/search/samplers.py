"""What Optuna's samplers are shown of a study, and the points that are drawn at random in their place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from stdc_lab.config.choosers import RandomChooser, Scalar
from stdc_lab.config.ranges import IntRange, Varied, is_active, label
from stdc_lab.config.space import SearchSpace
from stdc_lab.storage import as_lessons

MOST_POINTS = 20_000
"""Of a space with no more points than this all are known, and each is drawn once."""
DRAWS, FEW_DRAWS = 10_000, 100
"""So many points are drawn for a new one: of a large space, and of one whose points are known, to be taken in turn."""

Point = Mapping[str, Scalar]


class RandomPoints:
    """Points of a space at random, the new ones alone. Of a small space the end is known for certain."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space, self.seed = space, seed
        self.points: int | None = None
        """How many there are, once it was asked; None where the space is too large to be listed."""

    @cached_property
    def left(self) -> list[dict[str, Any]] | None:
        """What was not found to be old so far, the next one last; None where the space is too large."""
        listed = known_points(self.space)
        if listed is not None:
            self.points = len(listed)
            random.Random(self.seed).shuffle(listed)
        return listed

    def draw(self, count: int, is_new: Callable[[Mapping[str, Any]], bool]) -> Point | None:
        """A point, as the storage names its values; None if there is no new one, or none was found.

        count: how many trials there are: the same count gives the same point, also in a later call. is_new: whether
        chosen values can be made, keep to the limits and were not tried. What once was not is not asked about again.
        """
        chooser = RandomChooser((self.seed * 1_000_003 + count) % 2**32)
        drawn = (self.space.choose(chooser) for _ in range(DRAWS if self.left is None else FEW_DRAWS))
        chosen = next((chosen for chosen in drawn if is_new(chosen)), None)
        while chosen is None and self.left:
            if is_new(self.left[-1]):
                chosen = self.left[-1]  # it stays: once it is tried, it is old
            else:
                self.left.pop()
        return None if chosen is None else {key: label(value) for key, value in chosen.items()}

    @property
    def what_was_looked_at(self) -> str:
        """In words, of what `draw` found nothing new."""
        return f"{DRAWS:,} points drawn at random" if self.points is None else f"its {self.points:,} points"


def known_points(space: SearchSpace) -> list[dict[str, Any]] | None:
    """Every point of a space; None for a continuum, or where there are more than `MOST_POINTS`."""
    parameters = list(space.parameters.items())
    if any((varied.count() or MOST_POINTS + 1) > MOST_POINTS for _, varied in parameters):
        return None

    def extended(chosen: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        if index == len(parameters):
            yield chosen
            return
        key, varied = parameters[index]
        if not is_active(varied, chosen):
            yield from extended(chosen, index + 1)
            return
        for value in _values(varied):
            yield from extended({**chosen, key: value}, index + 1)

    points = list(islice(extended({}, 0), MOST_POINTS + 1))
    return points if len(points) <= MOST_POINTS else None


def _values(varied: Varied) -> Iterable[Any]:
    if isinstance(varied, IntRange):
        return range(varied.low, varied.high + 1, varied.step)
    return dict.fromkeys(varied.every())


class PointSampler(optuna.samplers.RandomSampler):
    """Answers with a point that was drawn before. `beside`: the sampler whose accounts the trial is to be in."""

    def __init__(self, point: Point, beside: optuna.samplers.BaseSampler) -> None:
        super().__init__(seed=0)
        self.point, self.beside = point, beside

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.beside.sample_relative(study, trial, {})  # NSGA-II counts the trials of a generation here
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.point[param_name]


class Tpe(optuna.samplers.TPESampler):
    """TPE that is shown what a study has learnt, see `as_lessons`. One is made for every proposal."""

    _shown: optuna.Study | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._view(study), trial, param_name, param_distribution)

    def _view(self, study: optuna.Study) -> optuna.Study:
        if self._shown is None:
            self._shown = as_lessons(study)
        return self._shown
