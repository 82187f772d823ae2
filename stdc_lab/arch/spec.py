"""`ArchSpec`: what the specs of all families promise."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

from stdc_lab.arch.graph import Tensor, Tracer
from stdc_lab.errors import SpecError

HeadName = Literal["seg", "cls"]
"""The segmenter, or the classifier that its backbone is pretrained in."""


class ArchSpec(ABC):
    """The network that is deployed as a frozen value, and nothing else: no classes, no input size, no training.

    A family's spec is a frozen dataclass below this; it is valid once it is made. See `families`.
    """

    family: ClassVar[str]
    auxiliary_strides: ClassVar[tuple[int, ...]]
    """At which strides auxiliary heads sit in training, in the released order."""
    classifies: ClassVar[bool]
    """Whether its backbone also is a classifier, for pretraining."""

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
    @abstractmethod
    def detail_widths(self) -> Mapping[int, int]:
        """At which strides a detail head can sit in training, and the channels of the features there."""

    @abstractmethod
    def trace(
        self,
        run: Tracer,
        images: Tensor,
        num_classes: int,
        *,
        head: HeadName = "seg",
        auxiliary: bool = False,
        detail_strides: Collection[int] = (),
    ) -> None:
        """Call the tracer as the network calls torch: once for every operation of a forward pass, in order.

        head: the segmenter ("seg") or the classifier ("cls"). auxiliary, detail_strides: of the segmenter's training
        form.
        """

    @abstractmethod
    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed. Raises `SpecError` for what no such network has."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and dictionaries, with shorthand resolved; `from_dict` reads it back."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ArchSpec:
        """The spec that a mapping of field names describes; its `family` is STDC unless it says otherwise.

        Raises `SpecError` for a family that there is none of, a key that no field has, or a value that no network can
        have.
        """
        from stdc_lab.arch.families import FAMILIES  # each of which is an ArchSpec

        plain = dict(values)
        family = plain.pop("family", "stdc")
        if family not in FAMILIES:
            raise SpecError(f"family: got {family!r}; allowed: {', '.join(FAMILIES)}")
        return FAMILIES[family].from_dict(plain)
