"""PaddleSeg's names for PP-LiteSeg over an STDC backbone."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from stdc_lab.arch import StdcSpec
from stdc_lab.arch.decoders import PpLiteSegDecoder
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn.families.stdc_released import feature_name
from stdc_lab.nn.released import Network, Renamed

_FUSIONS = {"8": "0", "16": "1", "32": "2"}
_SKIPPED = re.compile(r"seg_heads\.[12]\.|seg_head_sp(2|4|8|16)\.|ppseg_head\.arm_list\.\d\._scale$")
"""Training heads, and a scale of one that a spatial attention carries and never uses."""
_PADDLE_NORM = (("running_mean", "_mean"), ("running_var", "_variance"))


class PpLiteSegReleased(Renamed):
    """PaddleSeg's state dicts, as tensors by name: its own file format is a pickle and is not read."""

    every_head = TrainingHeads(auxiliary=True, detail_strides=())
    classes_key = "seg_heads.0.conv_out.weight"
    counts_batches = False

    def name_of(self, name: str, network: Network) -> str:
        theirs = feature_name(name, network)
        if theirs is not None:
            theirs = f"backbone.{theirs}"
        else:
            theirs = _outside(name).replace("conv.conv.", "conv._conv.").replace(".bn.", "._batch_norm.")
        for ours, paddle in _PADDLE_NORM:
            theirs = theirs.replace(ours, paddle)
        return theirs

    def unused(self, network: Network) -> dict[str, Tensor]:
        numbers = _FUSIONS.values() if _is_spatial(network) else ()
        return {f"ppseg_head.arm_list.{number}._scale": torch.ones(1) for number in numbers}

    def departures(self, network: Network) -> list[str]:
        spec = network.spec
        assert isinstance(spec, StdcSpec)
        if spec.pool_counts_padding:
            return ["pool_counts_padding is true, there false"]
        return []

    def skips(self, key: str) -> bool:
        return bool(_SKIPPED.match(key))


def _is_spatial(network: Network) -> bool:
    decoder = network.spec.decoder if isinstance(network.spec, StdcSpec) else None
    return isinstance(decoder, PpLiteSegDecoder) and decoder.attention == "spatial"


def _outside(name: str) -> str:
    """Of a layer outside the backbone; its convolution and norm still have our names."""
    for pattern, theirs in (
        (r"decoder\.pyramid\.branches\.(\d+)\.conv\.", r"ppseg_head.cm.stages.\1.1._conv."),
        (r"decoder\.pyramid\.branches\.(\d+)\.", r"ppseg_head.cm.stages.\1.1."),
        (r"decoder\.pyramid\.conv\.conv\.", "ppseg_head.cm.conv_out._conv."),
        (r"decoder\.pyramid\.conv\.", "ppseg_head.cm.conv_out."),
        (r"head\.conv\.conv\.", "seg_heads.0.conv._conv."),
        (r"head\.conv\.", "seg_heads.0.conv."),
        (r"head\.classes\.", "seg_heads.0.conv_out."),
    ):
        if re.match(pattern, name):
            return re.sub(pattern, theirs, name, count=1)
    fusion = re.fullmatch(r"decoder\.fusions\.(\d+)\.(detail|attention\.\d|conv)\.(.+)", name)
    if fusion:
        part = {"detail": "conv_x", "conv": "conv_out"}.get(fusion[2]) or fusion[2].replace(
            "attention", "conv_xy_atten"
        )
        rest = re.sub(r"^conv\.", "_conv.", fusion[3]).replace("bn.", "_batch_norm.")
        return f"ppseg_head.arm_list.{_FUSIONS[fusion[1]]}.{part}.{rest}"
    auxiliary = re.fullmatch(r"auxiliary_heads\.(16|32)\.(.+)", name)
    if auxiliary:
        rest = auxiliary[2].replace("conv.conv.", "conv._conv.").replace("classes.", "conv_out.")
        return f"seg_heads.{_FUSIONS[auxiliary[1]]}.{rest}"
    detail = re.fullmatch(r"detail_heads\.(\d+)\.(.+)", name)
    assert detail is not None, name
    return f"seg_head_sp{detail[1]}.{detail[2].replace('classes.', 'conv_out.')}"
