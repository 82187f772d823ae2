"""`ArchSpec`: what the specs of all families promise."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Self, cast

from stdc_lab.arch.checks import check_choice, check_keys, field_names
from stdc_lab.arch.graph import Tensor, Tracer, trace_head
from stdc_lab.errors import SpecError

TaskName = Literal["seg", "cls"]
"""The segmenter, or the classifier that its backbone is pretrained in."""
TRAINING_HEAD_WIDTH = 64
"""Channels of the 3×3 ConvX in auxiliary and detail heads, as STDC's code has it."""


class Traced(NamedTuple):
    """What a segmenter has before its logits go up to the image's size.

    contexts: what auxiliary heads read; stages: outputs of the backbone, which detail heads read; both by stride.
    """

    logits: Tensor
    contexts: Mapping[int, Tensor]
    stages: Mapping[int, Tensor]


class ArchSpec(ABC):
    """The network that is deployed as a frozen value, and nothing else: no classes, no input size, no training.

    A family's spec is a frozen dataclass below this; it is valid once it is made. See `families`.
    """

    family: ClassVar[str]
    classifies: ClassVar[bool]
    """Whether its backbone also is a classifier, for pretraining."""
    shorthand: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Arguments that stand for a field, and which: STDC's `base_width` for its `widths`."""
    stages: ClassVar[Mapping[str, tuple[int, ...]]] = MappingProxyType({})
    """Fields with a value for each stage, and the stages' numbers: a search may vary `depths.stage3` alone."""
    schedules: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a schedule of kernels."""

    @cached_property
    def arch_id(self) -> str:
        """Twelve hexadecimal digits: equal for equal networks, however they were written down."""
        canonical = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What the network is, shorthand resolved, in plain values: `arch_id` is a digest of it."""

    @property
    def auxiliary_strides(self) -> tuple[int, ...]:
        """At which strides auxiliary heads sit in training, in the released order; none where a family has none."""
        return ()

    @property
    @abstractmethod
    def detail_widths(self) -> Mapping[int, int]:
        """At which strides a detail head can sit in training, and the channels of the features there."""

    @abstractmethod
    def trace_segmenter(self, run: Tracer, images: Tensor, num_classes: int) -> Traced:
        """Call the tracer as the deployed network calls torch, once for each operation in order, up to the logits
        before they go up to the image's size."""

    def trace_classifier(self, run: Tracer, images: Tensor, num_classes: int) -> None:
        """The same of the classifier. Raises `SpecError` where the family has none."""
        raise SpecError(f"task: got cls, but the family {self.family} has no classifier; allowed: seg")

    def trace(
        self,
        run: Tracer,
        images: Tensor,
        num_classes: int,
        *,
        task: TaskName = "seg",
        auxiliary: bool = False,
        detail_strides: Collection[int] = (),
    ) -> None:
        """Every operation of a forward pass, in order.

        task: the segmenter ("seg") or the classifier ("cls"). auxiliary, detail_strides: of the segmenter's training
        form. Raises `SpecError` for a classifier or a stride that the family does not have.
        """
        if task == "cls":
            self.trace_classifier(run, images, num_classes)
            return
        traced = self.trace_segmenter(run, images, num_classes)
        run("bilinear upsampling", "head", traced.logits, size=images.size)
        for stride in self.auxiliary_strides if auxiliary else ():
            path = f"auxiliary head at 1/{stride}"
            logits = trace_head(run, path, traced.contexts[stride], TRAINING_HEAD_WIDTH, num_classes)
            run("bilinear upsampling", path, logits, size=images.size)
        for stride in detail_strides:
            if stride not in traced.stages:
                raise SpecError(f"detail_strides: got {stride}; allowed: {', '.join(map(str, self.detail_widths))}")
            trace_head(run, f"detail head at 1/{stride}", traced.stages[stride], TRAINING_HEAD_WIDTH, 1)

    @abstractmethod
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What there is to say of the network: titles and texts, for a terminal or a page."""

    def derived(self) -> dict[str, Any]:
        """What follows from the fields and tells two networks apart more plainly, in plain values."""
        return {}

    @property
    def unused_classifier_params(self) -> int:
        """Parameters that the released classifier registers and never runs."""
        return 0

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """What a search may vary: fields, single stages (`depths.stage3`), the decoder's (`decoder.head_width`)."""
        fields = tuple(name for name in field_names(cls) if name != "decoder")
        return (*cls.shorthand, *fields, *cls._single_stages(), *cls.decoder_keys())

    @classmethod
    def decoder_keys(cls) -> tuple[str, ...]:
        """Of `keys`, those of the decoder; none where a family has no choice of it."""
        return ()

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """The network with the values of some `keys` put in. Raises `SpecError` if there is no such network."""
        single = self._single_stages()
        changes = {key: value for key, value in values.items() if key not in single and not key.startswith("decoder.")}
        for key, (field, index) in single.items():
            if key in values:
                stages = list(changes.get(field, getattr(self, field)))
                stages[index] = values[key]
                changes[field] = stages
        decoder = {key.removeprefix("decoder."): values[key] for key in values if key.startswith("decoder.")}
        return self.replace(**changes, **({"decoder": decoder} if decoder else {}))

    def value_at(self, key: str) -> Any:
        """What the network has at one of its `keys`; None where it cannot tell."""
        field, index = self._single_stages().get(key, (key, None))
        value: Any = self
        for name in field.split("."):
            value = getattr(value, name, None)
        return value if index is None else value[index]

    @classmethod
    def _single_stages(cls) -> dict[str, tuple[str, int]]:
        return {
            f"{field}.stage{stage}": (field, index)
            for field, stages in cls.stages.items()
            for index, stage in enumerate(stages)
        }

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises `SpecError` for what no such network has."""
        return type(self).from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and dictionaries, with shorthand resolved; `from_dict` reads it back."""
        values = {name: getattr(self, name) for name in field_names(type(self))}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"family": self.family, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The spec that a mapping of field names describes; its `family` is STDC unless it says otherwise.

        Raises `SpecError` for a family that there is none of, a key that no field has, or a value that no network can
        have.
        """
        allowed: Mapping[str, type[ArchSpec]] = {} if cls is ArchSpec else {cls.family: cls}
        if not allowed:
            from stdc_lab.arch.families import FAMILIES  # each of which is an ArchSpec

            allowed = FAMILIES
        family = values.get("family", next(iter(allowed)))
        check_choice("family", family, tuple(allowed))
        fields = {name: value for name, value in values.items() if name != "family"}
        return cast(Self, allowed[family].from_fields(fields))

    @classmethod
    def from_fields(cls, values: Mapping[str, Any]) -> Self:
        """The spec of this family with these fields; the others have their defaults. Raises `SpecError`."""
        check_keys("", values, [*cls.shorthand, *field_names(cls)])
        return cls(**values)
