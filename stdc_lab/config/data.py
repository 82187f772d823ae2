"""Which data a training or an evaluation is about: a value for each kind of data set, told apart by `name`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from stdc_lab.config.values import Size, Value

_DEFAULT = "scenes"
_KINDS: dict[str, type[DataConfig]] = {}
"""By name; filled at the end of this file."""


class DataConfig(Value):
    """Which data set, at which size: what all kinds have.

    Made by name, or read from a file, it is a value of that kind, which has its own settings and no others:
    `DataConfig(name="camvid", split="drive")` is a `CamvidConfig`, and `DataConfig()` a `ScenesConfig`.
    """

    made_here: ClassVar[bool] = False
    """Whether there are no files: others are in a folder given by `--data NAME=PATH`."""

    name: str
    size: Size = (96, 128)
    """Height x width that images and labels are resized to, once."""

    def __new__(cls, **settings: Any) -> Self:
        # With an unknown name this raises, and says which there are.
        kind = type(DataConfig.model_validate(settings)) if cls is DataConfig else cls
        return cast("Self", super().__new__(kind))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not _KINDS or cls is not DataConfig:
            return handler(source)
        choices: dict[Any, CoreSchema] = {_tag(name): handler.generate_schema(kind) for name, kind in _KINDS.items()}
        names = core_schema.typed_dict_field(core_schema.literal_schema(list(_KINDS)))
        choices[_tag("")] = core_schema.typed_dict_schema({"name": names}, extra_behavior="ignore")
        return core_schema.tagged_union_schema(choices, _tag_of)

    @model_validator(mode="before")
    @classmethod
    def _nothing_ignored(cls, content: Any) -> Any:
        """Leave out what another kind has, where it has its default there: earlier versions wrote all of it."""
        if not isinstance(content, dict):
            return content
        elsewhere = {key: field.default for kind in _KINDS.values() for key, field in kind.model_fields.items()}
        idle = [key for key in content if key in elsewhere and key not in cls.model_fields]
        for key in idle:
            if content[key] != elsewhere[key]:
                name, allowed = content.get("name", _DEFAULT), ", ".join(cls.model_fields)
                raise ValueError(f"{key} ({content[key]}) says nothing of {name}; allowed: {allowed}")
        return {key: value for key, value in content.items() if key not in idle}

    @property
    def variant(self) -> dict[str, str]:
        """What of it was chosen where there is a choice, such as its split: what is chosen, and how."""
        return {}


class ScenesConfig(DataConfig):
    """Synthetic street scenes, made here."""

    made_here = True

    name: Literal["scenes"] = "scenes"
    train_images: Annotated[int, Field(ge=1, le=100_000)] = 400
    """How many training scenes are made."""
    val_images: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many validation scenes are made."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Another seed makes another town."""

    @property
    def variant(self) -> dict[str, str]:
        return {"seed": str(self.seed)}


class FilesConfig(DataConfig):
    """What all data sets of files have."""

    skip_unreadable: bool = False
    """Leave out images whose file, or whose labels' file, cannot be read, with a warning that names each."""


class CamvidConfig(FilesConfig):
    """CamVid, which can be split in two ways."""

    name: Literal["camvid"]
    split: Literal["usual", "drive"] = "usual"
    """`usual`: train.txt and val.txt. `drive`: all frames of one drive held out for validation."""
    held_out: Literal["0001TP", "0006R0", "0016E5", "Seq05VD"] = "0006R0"
    """With `split: drive` only: the drive held out."""

    @model_validator(mode="after")
    def _held_out_by_drive(self) -> Self:
        if self.split == "usual" and self.held_out != type(self).model_fields["held_out"].default:
            raise ValueError(f"held_out ({self.held_out}) says nothing of camvid, split usual; allowed: split: drive")
        return self

    @property
    def variant(self) -> dict[str, str]:
        return {"split": f"{self.held_out} held out" if self.split == "drive" else self.split}


class PlainConfig(FilesConfig):
    """A data set that has no settings of its own. `folder`: your own images and masks with a `classes.yaml`."""

    name: Literal[
        "cityscapes",
        "folder",
    ]


def kind_with(tag: str) -> type[DataConfig] | None:
    """The kind that a part of an error's location stands for; None if it is none."""
    return _KINDS.get(tag[1:-1], DataConfig) if tag.startswith("[") else None


def _tag(name: str) -> str:
    return f"[{name}]"  # which is no key of a file


def _tag_of(content: Any) -> str:
    name = content.get("name", _DEFAULT) if isinstance(content, dict) else getattr(content, "name", "")
    return _tag(name if isinstance(name, str) and name in _KINDS else "")


for _kind in (ScenesConfig, CamvidConfig, PlainConfig):
    _KINDS |= dict.fromkeys(get_args(_kind.model_fields["name"].annotation), _kind)
DataConfig.model_rebuild(force=True)
DATA_NAMES = tuple(_KINDS)
