"""What a training depends on beside the architecture and the data: heads, losses, augmentation, schedule."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.config.values import Size, Value


class TrainingHeads(Value):
    """What only training needs. Without it, two networks share one `arch_id` and one profile."""

    auxiliary: bool = True
    """Two auxiliary heads on the decoder features at 1/8 and 1/16."""
    detail_strides: tuple[Literal[2, 4, 8, 16], ...] = (8,)
    """Strides at which a detail head sits; none without detail guidance."""

    @model_validator(mode="after")
    def _sorted_once(self) -> Self:
        if list(self.detail_strides) != sorted(set(self.detail_strides)):
            raise ValueError("detail_strides are given in ascending order, each once")
        return self


class LossWeights(Value):
    """Weights of the loss terms; the released recipe has 1 everywhere."""

    main: Annotated[float, Field(gt=0)] = 1.0
    auxiliary: Annotated[float, Field(ge=0)] = 1.0
    detail_bce: Annotated[float, Field(ge=0)] = 1.0
    detail_dice: Annotated[float, Field(ge=0)] = 1.0


class Augmentation(Value):
    """Random changes to a training image; all but colour act on the labels too."""

    flip: bool = True
    scale: tuple[Annotated[float, Field(ge=0.1, le=4)], Annotated[float, Field(ge=0.1, le=4)]] = (0.75, 1.5)
    """Range of the random resize, before the crop; (1, 1) switches it off."""
    crop: Size | None = None
    """Height x width of the training crop; the data's size if absent."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Strength of the jitter of brightness, contrast and saturation; 0 switches it off."""

    @model_validator(mode="after")
    def _scale_ascends(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError("scale is a range [lowest, highest]")
        return self


class TrainConfig(Value):
    """A training: its length, its steps and its losses."""

    iterations: Annotated[int, Field(ge=1, le=10_000_000)] = 600
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 8
    """At least 2: batch norm over a pooled feature has nothing to normalise over with one image."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.02
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    """Acts on convolutions, never on norms and biases."""
    warmup_iterations: Annotated[int, Field(ge=0)] = 50
    warmup_start: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """First rate of the exponential warm-up, as a share of `learning_rate`."""
    poly_power: Annotated[float, Field(ge=0, le=10)] = 0.9
    decoder_rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The rate of the fusion module and the heads, in multiples of `learning_rate` (the released recipe: 10)."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the averaged weights that are evaluated, shorter at the start; 0 evaluates the last weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the device computes it natively, else float32."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 4
    """How often the validation set is evaluated, evenly spread; the last one counts."""
    heads: TrainingHeads = TrainingHeads()
    loss: LossWeights = LossWeights()
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_iterations >= self.iterations:
            raise ValueError(
                f"warmup_iterations ({self.warmup_iterations}) must be fewer than iterations ({self.iterations})"
            )
        if self.evaluations > self.iterations:
            raise ValueError(f"evaluations ({self.evaluations}) cannot exceed iterations ({self.iterations})")
        return self
