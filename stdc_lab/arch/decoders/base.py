"""What every decoder promises: a part of a network's spec, between the backbone and the head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from stdc_lab.arch.checks import field_names
from stdc_lab.arch.graph import Tensor, Tracer


class Decoder(ABC):
    """A frozen dataclass below this is valid once it is made. Widths are in channels."""

    kind: ClassVar[str]
    auxiliary_strides: ClassVar[tuple[int, ...]]
    """Where auxiliary heads sit in training, in the released order."""
    head_width: int
    """Of the 3×3 ConvX before the classes."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What enters the network's identity, in plain values."""

    @abstractmethod
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What there is to say of it: titles and texts."""

    @abstractmethod
    def trace(self, run: Tracer, images: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """From the features at 1/8, 1/16 and 1/32 to what the head reads, and what auxiliary heads read, by stride."""

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and texts."""
        values = {name: getattr(self, name) for name in field_names(type(self))}
        return {"kind": self.kind, **{k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}}
