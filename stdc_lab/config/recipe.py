"""`RecipeConfig`: a whole training of one network, as a file."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stdc_lab.arch import presets
from stdc_lab.config.data import DataConfig, ScenesConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.config.values import Arch, Name, Value


class RecipeConfig(Value):
    """One network, its data and its training, from random weights or a pretrained backbone."""

    name: Name
    title: str = ""
    arch: Arch | None = presets["stdc1"]
    """A preset's name, or fields; `base: stdc1` and what differs."""
    own_network: str | None = None
    """In place of `arch`: what `--network` named on the command line. A file records it; reading that runs nothing."""
    data: DataConfig = ScenesConfig()
    train: TrainConfig = TrainConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    faithful: bool = False
    """Quirks of the released code too: norms of the backbone that are never trained, weights of the detail targets
    that weight decay shrinks, and augmentation of the form `released`, which covers the crop."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """After how many iterations the training's state is written, beside the times when it is evaluated."""

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if (self.arch is None) == (self.own_network is None):
            raise ValueError("either arch, or own_network with arch: null, which is what train --network writes")
        return self

    @property
    def training(self) -> TrainConfig:
        """The training with the quirks that `faithful` asks for."""
        if not self.faithful:
            return self.train
        loss = self.train.loss.replace(detail_fusion="decaying")
        augmentation = self.train.augmentation.replace(form="released", cover=True)
        return self.train.replace(norms="untrained_backbone", loss=loss, augmentation=augmentation)
