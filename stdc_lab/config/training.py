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


class LossConfig(Value):
    """The loss terms, their forms and their weights; the released recipe has weight 1 everywhere."""

    main: Annotated[float, Field(gt=0)] = 1.0
    auxiliary: Annotated[float, Field(ge=0)] = 1.0
    detail_bce: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the details' binary cross-entropy; 0 leaves dice alone."""
    detail_dice: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the details' dice loss; 0 leaves binary cross-entropy alone."""
    cross_entropy: Literal["mean", "ohem"] = "mean"
    """Over all labelled pixels, or over the hard ones (online hard example mining), as the released recipe."""
    ohem_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """A pixel is hard if its own class gets a probability below this."""
    ohem_min_kept: Annotated[float, Field(gt=0, le=1)] = 1 / 16
    """At least this share of a batch's pixels counts, the hardest first."""
    class_weights: Literal["none", "enet"] = "none"
    """`enet`: each pixel's cross-entropy is weighted by 1/ln(1.02 + share of its class in the training labels), as ENet
    did on CamVid (arXiv 1606.02147), and the mean is over the weights: rare classes are found sooner."""
    detail_target: Literal["released", "corrected"] = "released"
    """`corrected`: edges on both sides, none at ignored pixels, none at the image's border."""
    detail_target_strides: tuple[Literal[1, 2, 4], ...] = (1, 2, 4)
    """Strides at which the target looks for edges."""
    detail_fusion: Literal["fixed", "decaying"] = "fixed"
    """Weights that fuse the strides: fixed, or trainable as released, which means that weight decay shrinks them."""
    detail_weighting: Literal["none", "balanced"] = "none"
    """`balanced`: each pixel's binary cross-entropy weighted by the share of the other class."""

    @model_validator(mode="after")
    def _one_choice_of_pixels(self) -> Self:
        if self.class_weights != "none" and self.cross_entropy == "ohem":
            raise ValueError("class_weights: enet goes with cross_entropy: mean; ohem chooses pixels by their loss")
        return self

    @model_validator(mode="after")
    def _strides_once(self) -> Self:
        strides = self.detail_target_strides
        if not strides or list(strides) != sorted(set(strides)):
            raise ValueError("detail_target_strides are given in ascending order, each once, at least one")
        return self


class Augmentation(Value):
    """Random changes to a training image; all but colour act on the labels too."""

    flip: bool = True
    scale: tuple[Annotated[float, Field(ge=0.1, le=4)], Annotated[float, Field(ge=0.1, le=4)]] = (0.75, 1.5)
    """Range of the random resize, before the crop; (1, 1) switches it off."""
    scale_step: Annotated[float, Field(gt=0)] | None = None
    """Scales are drawn from `scale` in steps of this size; evenly over the range if absent."""
    cover: bool = False
    """An image smaller than the crop is enlarged to cover it, once and from the original, instead of being padded."""
    crop: Size | None = None
    """Height x width of the training crop; the data's size if absent."""
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Strength of the jitter of brightness, contrast and saturation; 0 switches it off."""
    form: Literal["fast", "released"] = "fast"
    """`fast`: the crop is resized once and recoloured once. `released`: brightness, contrast and saturation of the
    whole image one after another, then resized by the scale, and resized again to cover the crop where it has become
    smaller, so that detail is lost as in the released training; several times as slow."""

    @model_validator(mode="after")
    def _released_covers(self) -> Self:
        if self.form == "released" and not self.cover:
            raise ValueError("form released enlarges a smaller image to cover the crop: it needs cover: true")
        return self

    @model_validator(mode="after")
    def _scale_ascends(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError("scale is a range [lowest, highest]")
        return self


class OptimisationConfig(Value):
    """How any network is trained here: its length and its steps."""

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
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the averaged weights that are evaluated, shorter at the start; 0 evaluates the last weights."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 where the device computes it natively, else float32."""
    accumulation: Annotated[int, Field(ge=1, le=256)] = 1
    """A batch passes the network in so many parts, one after the other, where it does not fit the memory as a whole."""
    compile: bool = False
    """Whether `torch.compile` makes the training step."""
    norms: Literal["trained", "untrained_backbone", "frozen"] = "trained"
    """`untrained_backbone`: its affine parameters keep their first values, as in the released code, where no optimiser
    group holds them. `frozen`: all norms keep parameters and statistics."""
    data_workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads that make batches ahead."""
    evaluations: Annotated[int, Field(ge=1, le=1000)] = 4
    """How often the validation set is evaluated, evenly spread; the last one counts."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.batch_size % self.accumulation or self.batch_size // self.accumulation < 2:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of accumulation ({self.accumulation}), with at "
                "least two images in a part"
            )
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_iterations >= self.iterations:
            raise ValueError(
                f"warmup_iterations ({self.warmup_iterations}) must be fewer than iterations ({self.iterations})"
            )
        if self.evaluations > self.iterations:
            raise ValueError(f"evaluations ({self.evaluations}) cannot exceed iterations ({self.iterations})")
        return self


class TrainConfig(OptimisationConfig):
    """A segmenter's training: its length, its steps and its losses."""

    decoder_rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The rate of the fusion module and the heads, in multiples of `learning_rate` (the released recipe: 10)."""
    evaluation_scale: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Images are resized by this before the network when they are evaluated, and the logits brought back (the paper:
    0.5 and 0.75)."""
    heads: TrainingHeads = TrainingHeads()
    loss: LossConfig = LossConfig()
    augmentation: Augmentation = Augmentation()
