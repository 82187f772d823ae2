"""Which data a training or an evaluation is about."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stdc_lab.config.values import Size, Value

_SCENES_ONLY = ("train_images", "val_images", "seed")
_CAMVID_ONLY = ("split", "held_out")


class DataConfig(Value):
    """Which data set, at which size, split how."""

    name: Literal["scenes", "camvid", "cityscapes", "folder"] = "scenes"
    """`scenes`: synthetic street scenes made here. `camvid`, `cityscapes`: real ones. `folder`: your own images and
    masks with a `classes.yaml`. All but `scenes` are in a folder given by `--data NAME=PATH`."""
    size: Size = (96, 128)
    """Height x width that images and labels are resized to, once."""
    split: Literal["usual", "drive"] = "usual"
    """camvid only. `usual`: train.txt and val.txt. `drive`: all frames of one drive held out for validation."""
    held_out: Literal["0001TP", "0006R0", "0016E5", "Seq05VD"] = "0006R0"
    """camvid with `split: drive` only: the drive held out."""
    skip_unreadable: bool = False
    """Leave out images whose file, or whose labels' file, cannot be read, with a warning that names each."""
    train_images: Annotated[int, Field(ge=1, le=100_000)] = 400
    """scenes only: how many training scenes are made."""
    val_images: Annotated[int, Field(ge=1, le=100_000)] = 100
    """scenes only: how many validation scenes are made."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """scenes only: another seed makes another town."""

    @model_validator(mode="after")
    def _nothing_ignored(self) -> Self:
        idle: tuple[str, ...] = _CAMVID_ONLY + _SCENES_ONLY
        if self.name in ("scenes", "camvid"):
            idle = (*_CAMVID_ONLY, "skip_unreadable") if self.name == "scenes" else _SCENES_ONLY
        if self.split == "usual":
            idle += ("held_out",)
        for field in idle:
            default = type(self).model_fields[field].default
            if getattr(self, field) != default:
                raise ValueError(f"{field} ({getattr(self, field)}) says nothing of {self.name}, split {self.split}")
        return self

    @property
    def num_classes(self) -> int | None:
        """How many classes the data set has; None where only its files say."""
        return {"scenes": 11, "camvid": 11, "cityscapes": 19}.get(self.name)
