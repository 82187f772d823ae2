"""Kinds of data sets: each is described in the module of its name, `stdc_lab/data/<name>.py`, by its `KIND`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from stdc_lab.config.data import DATA_NAMES, DataConfig, FilesConfig
from stdc_lab.data.classes import Pixels
from stdc_lab.data.files import shown
from stdc_lab.data.source import FileSource, Source
from stdc_lab.errors import DataError

Config = TypeVar("Config", bound=DataConfig)
OfFiles = TypeVar("OfFiles", bound=FilesConfig)


@dataclass(frozen=True)
class Kind(Generic[Config]):
    """A kind of data set."""

    open: Callable[[Config, Path | None], Source]
    """From its settings and the folder that was given. Raises DataError if nothing can be made of them."""
    describe: Callable[[Config], str]
    """What `describe` says."""
    class_names: tuple[str, ...] | None = None
    """None where only its files say."""
    class_colours: Pixels | None = None
    """Classes×3, RGB."""


def kind_of(name: str) -> Kind[Any]:
    """The kind of this name, one of `DATA_NAMES`."""
    kind: Kind[Any] = import_module(f"stdc_lab.data.{name}").KIND
    return kind


def describe(config: DataConfig) -> str:
    """Which images, in a few words, for a report."""
    return kind_of(config.name).describe(config)


def num_classes(config: DataConfig) -> int | None:
    """How many classes a data set has; None where only its files say."""
    names = kind_of(config.name).class_names
    return None if names is None else len(names)


def named_classes() -> dict[str, tuple[tuple[str, ...], Pixels]]:
    """Names and colours of the classes, for each kind of data set that has its own."""
    kinds = {name: kind_of(name) for name in DATA_NAMES}
    return {
        name: (kind.class_names, kind.class_colours)
        for name, kind in kinds.items()
        if kind.class_names is not None and kind.class_colours is not None
    }


def in_folder(find: Callable[[Path, OfFiles], FileSource]) -> Callable[[OfFiles, Path | None], Source]:
    """How a kind of files is opened. find: what is in a folder that is there."""

    def opened(config: OfFiles, path: Path | None) -> Source:
        name = config.name
        if path is None:
            raise DataError(f"{name}: no folder was given; say where it is with --data {name}=PATH")
        folder = path.expanduser()
        if not folder.is_dir():
            raise DataError(f"{name}: {shown(folder)} is no folder; say where it is with --data {name}=PATH")
        return replace(find(folder, config), may_skip=config.skip_unreadable)

    return opened
