"""Which released form a network's checkpoints have. A new one joins by being listed here."""

from __future__ import annotations

from stdc_lab.arch import ArchSpec, StdcSpec
from stdc_lab.errors import CheckpointError
from stdc_lab.nn.decoders.pp_liteseg_released import PpLiteSegReleased
from stdc_lab.nn.families.regseg_released import RegSegReleased
from stdc_lab.nn.families.stdc_released import StdcReleased
from stdc_lab.nn.released import ReleasedForm

_FORMS: dict[str, ReleasedForm] = {
    "stdc/bisenet": StdcReleased(),
    "stdc/pp_liteseg": PpLiteSegReleased(),
    "regseg": RegSegReleased(),
}


def released_form(spec: ArchSpec) -> ReleasedForm:
    """The form of the checkpoints of a network's family and decoder. Raises `CheckpointError` if none was released."""
    name = f"{spec.family}/{spec.decoder.kind}" if isinstance(spec, StdcSpec) else spec.family
    if name not in _FORMS:
        raise CheckpointError(f"no checkpoint of {name} was released; there are: {', '.join(_FORMS)}")
    return _FORMS[name]
