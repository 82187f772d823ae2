"""RegSeg's released names (exp48_decoder26, exp53_decoder29)."""

from __future__ import annotations

import re

from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn.released import Network, Renamed, translated

_IN_BLOCK = (
    ("widen.conv.", "conv1."),
    ("widen.bn.", "bn1."),
    ("mix.near.", "conv2.convs.0."),
    ("mix.far.", "conv2.convs.1."),
    ("mix.", "conv2."),
    ("mix_norm.", "bn2."),
    ("squeeze.", "se.conv1."),
    ("excite.", "se.conv2."),
    ("project.conv.", "conv3."),
    ("project.bn.", "bn3."),
)
_ELSEWHERE = (
    ("backbone.stages.1.", "stem."),
    ("decoder.lateral", "decoder.head"),
    ("decoder.fusion8.", "decoder.conv8."),
    ("head.conv.", "decoder.conv4."),
    ("head.classes.", "decoder.classifier."),
)


class RegSegReleased(Renamed):
    """The author's state dicts."""

    every_head = TrainingHeads(auxiliary=False, detail_strides=())
    classes_key = "decoder.classifier.weight"

    def name_of(self, name: str, network: Network) -> str:
        block = re.fullmatch(r"backbone\.stages\.([234])\.(\d+)\.(.+)", name)
        if not block:
            return translated(name, _ELSEWHERE)
        stride = 2 ** int(block[1])
        alone = len(network.backbone.stages[block[1]]) == 1  # type: ignore[index]
        number = "" if alone else f"{block[2]}."
        return f"body.stage{stride}.{number}{translated(block[3], _IN_BLOCK)}"

    def skips(self, key: str) -> bool:
        return False
