"""`PretrainConfig`: the training of a classifier on a folder of images, whose backbone a segmenter begins with."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.arch import presets
from stdc_lab.config.training import OptimisationConfig
from stdc_lab.config.values import Arch, Name, Size, Value


class ImagesConfig(Value):
    """Which images, at which size."""

    name: Literal["images"] = "images"
    """A folder given by `--data images=PATH`, with train/CLASS/… and val/CLASS/… in it."""
    size: Size = (224, 224)
    """Height x width of what the network sees."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read, with a warning that names each."""


class ImageAugmentation(Value):
    """Random changes to a training image."""

    area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.08, 1.0)
    """Which share of the image's area the random part has that is resized to the data's size."""
    flip: bool = True
    colour: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Strength of the jitter of brightness, contrast and saturation; 0 switches it off."""

    @model_validator(mode="after")
    def _area_ascends(self) -> Self:
        if self.area[0] > self.area[1]:
            raise ValueError("area is a range [smallest, largest]")
        return self


class ClassifierTrainConfig(OptimisationConfig):
    """A classifier's training: its length, its steps and its loss."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    augmentation: ImageAugmentation = ImageAugmentation()


class PretrainConfig(Value):
    """One backbone, as a classifier, on a folder of images."""

    name: Name
    title: str = ""
    arch: Arch = presets["stdc1"]
    """A preset's name, or fields; `base: stdc1` and what differs."""
    data: ImagesConfig = ImagesConfig()
    train: ClassifierTrainConfig = ClassifierTrainConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """After how many iterations the training's state is written, beside the times when it is evaluated."""

    @property
    def training(self) -> ClassifierTrainConfig:
        """As `train`: nothing changes it."""
        return self.train
