"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stdc_lab import files
from stdc_lab.errors import ConfigError

if TYPE_CHECKING:
    from stdc_lab.arch import ArchSpec
    from stdc_lab.nn import OwnNetwork

MIN_SIDE = 32
MAX_SIDE = 8192


def read_size(text: str) -> tuple[int, int]:
    """`512x1024` (height x width) as a pair. Raises `ConfigError`."""
    match = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", text)
    if match is None:
        raise ConfigError(f"--size: got {text!r}; allowed: a size is HEIGHTxWIDTH in pixels, such as 512x1024")
    size = int(match[1]), int(match[2])
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ConfigError(f"--size: got {text!r}; allowed: sides from {MIN_SIDE} to {MAX_SIDE} pixels")
    return size


NETWORK = (
    "Your own network: the function that builds it, as mymodels:build, from the current folder or the environment. Its "
    "code is run."
)
NETWORK_OF_FILE = "For a checkpoint of your own network: what builds it, as mymodels:build. Its code is run."


def read_network(path: str | None) -> OwnNetwork | None:
    """The function that `--network` names, imported; None without one. Raises `ConfigError`."""
    if path is None:
        return None

    from stdc_lab.nn.own import find_own

    return find_own(path)


def read_architecture(name: str) -> ArchSpec:
    """A preset by name, or the architecture of a YAML or JSON file. Raises `SpecError` or `ConfigError`."""
    from stdc_lab.arch import preset

    if not name.endswith((".yaml", ".yml", ".json")):
        return preset(name)

    from stdc_lab.config.reading import read_arch

    return read_arch(Path(name))


def read_data_option(given: list[str] | None, name: str, what: str = "the data set of this study") -> Path | None:
    """The path that `--data NAME=PATH` gives for the data set `name`; None if none is given.

    `what` says what else that name is. Raises `ConfigError`.
    """
    path = None
    for item in given or []:
        key, separator, value = item.partition("=")
        if not separator or not value:
            raise ConfigError(f"--data: got {item!r}; allowed: NAME=PATH, such as {name}=path/to/{name}")
        if key != name:
            raise ConfigError(f"--data: got {key!r}; allowed: {name}, {what}")
        path = Path(value)
    return path


def write_json(text: str, path: Path) -> None:
    """Write JSON to a file, or to standard output for `-`. Raises `ConfigError` if it cannot be written."""
    write_text(text, path, "--json")


def write_text(text: str, path: Path, option: str) -> None:
    """Write to the file of an option, or to standard output for `-`. Raises `ConfigError` if it cannot be written."""
    if str(path) == "-":
        sys.stdout.write(text + "\n")
        return
    files.write_text(path, text + "\n", lambda said: ConfigError(f"{option}: {said}"))
