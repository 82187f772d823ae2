"""The families of networks: each a spec that fills a graph, with its presets. A new one joins by being listed here."""

from collections.abc import Mapping
from types import MappingProxyType

from stdc_lab.arch.families import regseg, stdc, stdc_presets
from stdc_lab.arch.spec import ArchSpec

LISTED: tuple[tuple[type[ArchSpec], Mapping[str, tuple[ArchSpec, str]]], ...] = (
    (stdc.StdcSpec, stdc_presets.PRESETS),
    (regseg.RegSegSpec, regseg.PRESETS),
)
"""A line a family. The first is meant where nothing else is said."""
FAMILIES: Mapping[str, type[ArchSpec]] = MappingProxyType({spec.family: spec for spec, _ in LISTED})
PRESETS: Mapping[str, tuple[ArchSpec, str]] = MappingProxyType(
    {name: preset for _, presets in LISTED for name, preset in presets.items()}
)
"""Networks by name, each with a note of what it is."""

__all__ = ["FAMILIES", "PRESETS"]
