"""The named networks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from stdc_lab.arch.spec import ArchSpec
from stdc_lab.errors import SpecError

presets: Mapping[str, ArchSpec] = MappingProxyType(
    {
        "stdc1": ArchSpec(base_width=64, depths=(2, 2, 2)),
        "stdc2": ArchSpec(base_width=64, depths=(4, 5, 3)),
    }
)


def preset(name: str) -> ArchSpec:
    """The preset called `name`. Raises `SpecError` with the names there are."""
    if name in presets:
        return presets[name]
    close = difflib.get_close_matches(name, presets, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise SpecError(f"architecture: got {name!r}{hint}; allowed: {', '.join(presets)}")
