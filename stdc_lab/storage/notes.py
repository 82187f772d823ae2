"""What a trial and a study carry beside their values: one frozen value each, and where Optuna keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol, Self

from pydantic import ConfigDict, Field, ValidationError

from stdc_lab.config.figures import FIGURES
from stdc_lab.config.values import Value
from stdc_lab.errors import StudyError


class Noted(Protocol):
    """What has attributes of a user's: a study of Optuna's, a trial of its, or a finished one."""

    @property
    def user_attrs(self) -> dict[str, Any]: ...


class NumberedTrial(Noted, Protocol):
    """A trial of Optuna's, under way or finished."""

    @property
    def number(self) -> int: ...


class Writable(Protocol):
    """What takes attributes of a user's: a study of Optuna's, or a trial under way."""

    def set_user_attr(self, key: str, value: Any) -> None: ...


class Notes(Value):
    """Notes whose fields have the names of the stored attributes; what is not noted is None."""

    model_config = ConfigDict(strict=True, allow_inf_nan=True)

    def attributes(self) -> dict[str, Any]:
        """What is noted, as it is stored."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}

    def write(self, to: Writable) -> None:
        """Store what is noted; what is not stays as it was."""
        for name, value in self.attributes().items():
            to.set_user_attr(name, value)

    @classmethod
    def _read(cls, values: Mapping[str, Any], whose: str) -> Self:
        """The notes among some values. Raises `StudyError` for one of another type than it has."""
        try:
            return cls.model_validate({name: values[name] for name in cls.model_fields if name in values})
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(str(part) for part in wrong["loc"])
            raise StudyError(
                f"{whose}: its note {where} cannot be read: got {wrong['input']!r}; {wrong['msg'].lower()}; put back a "
                "copy of the storage, or run the study anew in another folder"
            ) from error


_MEASURED = tuple(one.name for one in FIGURES.values() if one.source != "derived")
_SCATTERS = tuple(one.name for one in FIGURES.values() if one.scatters)


class TrialNotes(Notes):
    """What a trial carries beside its parameters, values and constraints."""

    arch: dict[str, Any] | None = None
    """For `ArchSpec.from_dict`."""
    arch_id: str | None = None
    seed: int | None = None
    trial_key: str | None = None
    reference: str | None = None
    """The name of the network that the study asks for."""
    arm: str | None = None
    """Of a plan."""
    confirms: int | None = None
    """The number of the trial that this one trains once more."""
    control: bool | None = None
    """Whether a fresh training's network was drawn by lot, whatever its score."""
    duplicate_of: int | None = None
    """The number of the trial whose training was proposed again."""
    screened: bool | None = None
    """Whether it was not trained, because of what theory or its profile says."""
    screened_before: int | None = None
    """The number of the screened-out trial that was queued again after retiming."""
    failed_at_its_point: bool | None = None
    """Whether its network or training is the reason of its failure, and not the machine."""
    reason: str | None = None
    """Why it failed, was stopped or screened out."""
    retried: str | None = None
    """Why it was trained otherwise than the study says."""
    in_smaller_parts: str | None = None
    """The same, while it is under way."""
    lost_workers: Annotated[tuple[int, int] | None, Field(strict=False)] = None
    """How many workers it has lost without getting any further, and how far it had got."""
    train_seconds: float | None = None
    fingerprint: str | None = None
    """Of the machine that measured its latency."""
    latency_spread: float | None = None
    latency_noisy: bool | None = None
    latency_note: str | None = None
    class_iou: dict[str, float] | None = None
    """The IoU of each class that occurs."""
    figures: dict[str, int | float] = Field(default_factory=dict)
    """What was measured, by the figures' names, under which they are stored."""
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """The 95 % intervals of figures that scatter, stored as `latency_ms_low` and `latency_ms_high`."""

    @property
    def named(self) -> bool:
        """Whether the study asks for it by name, and no sampler proposed it. Two such trials may share a training, as a
        reference that equals an arm; both are asked for, so both count."""
        return self.reference is not None or self.arm is not None

    @classmethod
    def read(cls, trial: NumberedTrial) -> TrialNotes:
        """A trial's notes; other attributes are passed over. Raises `StudyError` for a note of a wrong type."""
        stored = trial.user_attrs
        figures = {name: value for name in _MEASURED if (value := stored.get(name)) is not None}
        ends = {name: (stored.get(f"{name}_low"), stored.get(f"{name}_high")) for name in _SCATTERS}
        intervals = {name: pair for name, pair in ends.items() if None not in pair}
        return cls._read({**stored, "figures": figures, "intervals": intervals}, f"trial {trial.number}")

    def attributes(self) -> dict[str, Any]:
        """What is noted, as it is stored."""
        flat = super().attributes()
        flat |= flat.pop("figures")
        for name, (low, high) in flat.pop("intervals").items():
            flat |= {f"{name}_low": low, f"{name}_high": high}
        return flat


class StudyNotes(Notes):
    """What a study carries beside its trials."""

    objectives: list[str] | None = None
    """What the values of its trials are."""
    num_classes: int | None = None
    """How many classes its networks tell apart."""
    data_set: dict[str, Any] | None = None
    """Which images and labels it was begun with."""
    retimed: dict[str, Any] | None = None
    """Latencies that were measured anew, by `arch_id`."""
    retimed_on: dict[str, Any] | None = None
    """The machine that measured them."""
    retimed_at: str | None = None

    @classmethod
    def read(cls, study: Noted) -> StudyNotes:
        """A study's notes; other attributes are passed over. Raises `StudyError` for a note of a wrong type."""
        return cls._read(study.user_attrs, "the study")
