"""The families of networks: each a spec that fills a graph, with its presets. A new one joins by being listed here."""

from collections.abc import Mapping
from types import MappingProxyType

from stdc_lab.arch.families import regseg, stdc, stdc_presets
from stdc_lab.arch.spec import ArchSpec

FAMILIES: Mapping[str, type[ArchSpec]] = MappingProxyType(
    {spec.family: spec for spec in (stdc.StdcSpec, regseg.RegSegSpec)}
)
PRESETS: Mapping[str, tuple[ArchSpec, str]] = MappingProxyType({**stdc_presets.PRESETS, **regseg.PRESETS})
"""Networks by name, each with a note of what it is."""

__all__ = ["FAMILIES", "PRESETS"]
