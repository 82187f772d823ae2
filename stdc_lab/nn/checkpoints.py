"""Weights in and out: the released networks' names for tensors, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn.segmenter import StdcSegmenter

FORMAT = "stdc_lab segmenter 1"

_PREFIXES = (
    ("decoder.global_context.", "cp.conv_avg."),
    ("decoder.refine32.attention_bn.", "cp.arm32.bn_atten."),
    ("decoder.refine32.attention.", "cp.arm32.conv_atten."),
    ("decoder.refine32.", "cp.arm32."),
    ("decoder.refine16.attention_bn.", "cp.arm16.bn_atten."),
    ("decoder.refine16.attention.", "cp.arm16.conv_atten."),
    ("decoder.refine16.", "cp.arm16."),
    ("decoder.smooth32.", "cp.conv_head32."),
    ("decoder.smooth16.", "cp.conv_head16."),
    ("decoder.fusion.conv.", "ffm.convblk."),
    ("decoder.fusion.squeeze.", "ffm.conv1."),
    ("decoder.fusion.excite.", "ffm.conv2."),
    ("head.classes.", "conv_out.conv_out."),
    ("head.", "conv_out."),
    ("auxiliary_heads.8.classes.", "conv_out16.conv_out."),
    ("auxiliary_heads.8.", "conv_out16."),
    ("auxiliary_heads.16.classes.", "conv_out32.conv_out."),
    ("auxiliary_heads.16.", "conv_out32."),
)


def released_name(name: str, depths: tuple[int, ...]) -> str:
    """The released segmenter's name for one of our tensors.

    The released code numbers all layers of the backbone through (`features.0` …), so the number of a module
    depends on the depths of the stages before it.
    """
    backbone = re.fullmatch(r"backbone\.stages\.(\d)\.(\d+)\.(.+)", name)
    if backbone:
        stage, index, rest = int(backbone[1]), int(backbone[2]), backbone[3]
        position = stage - 1 + index if stage <= 2 else 2 + sum(depths[: stage - 3]) + index
        rest = re.sub(r"^blocks\.", "conv_list.", rest)
        rest = rest.replace("downsample.conv.", "avd_layer.0.").replace("downsample.bn.", "avd_layer.1.")
        return f"cp.backbone.features.{position}.{rest}"
    detail = re.fullmatch(r"detail_heads\.(\d+)\.(.+)", name)
    if detail:
        return f"conv_out_sp{detail[1]}." + detail[2].replace("classes.", "conv_out.")
    for ours, theirs in _PREFIXES:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


def load_released(network: StdcSegmenter, state: Mapping[str, Tensor]) -> None:
    """Fill a segmenter with the state dict of the released segmentation network.

    Keys that this network has no use for (training heads it lacks, the classifier, second names) are left.
    Raises `StdcLabError` naming what is missing or has another shape; the network is then unchanged.
    """
    renamed, problems = {}, []
    for name, tensor in network.state_dict().items():
        theirs = released_name(name, network.spec.depths)
        if theirs not in state:
            problems.append(f"{theirs} is missing")
        elif state[theirs].shape != tensor.shape:
            problems.append(f"{theirs} has shape {tuple(state[theirs].shape)}, not {tuple(tensor.shape)}")
        else:
            renamed[name] = state[theirs]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise StdcLabError(f"released checkpoint: does not fit this architecture: {shown}")
    network.load_state_dict(renamed)


def save_checkpoint(path: Path, network: StdcSegmenter, heads: TrainingHeads | None) -> None:
    """Write weights with all that is needed to build the network again; the file appears whole or not at all."""
    content = {
        "format": FORMAT,
        "arch": network.spec.to_dict(),
        "num_classes": network.num_classes,
        "heads": None if heads is None else heads.model_dump(mode="json"),
        "state": network.state_dict(),
    }
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)
