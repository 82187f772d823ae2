"""The named networks of all families: the released ones, and an arm for every claim that is about architecture."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from stdc_lab.arch.families import PRESETS
from stdc_lab.arch.spec import ArchSpec
from stdc_lab.errors import SpecError

presets: Mapping[str, ArchSpec] = MappingProxyType({name: spec for name, (spec, _) in PRESETS.items()})
preset_notes: Mapping[str, str] = MappingProxyType({name: note for name, (_, note) in PRESETS.items()})


def preset(name: str) -> ArchSpec:
    """The preset called `name`. Raises `SpecError` with the names there are."""
    if name in presets:
        return presets[name]
    close = difflib.get_close_matches(name, presets, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise SpecError(f"architecture: got {name!r}{hint}; allowed: {', '.join(presets)}")
