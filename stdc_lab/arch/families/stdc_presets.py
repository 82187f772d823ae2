"""STDC by name: the released networks, and an arm for every claim of the paper that is about architecture."""

from __future__ import annotations

from stdc_lab.arch.families.stdc import StdcSpec
from stdc_lab.arch.spec import ArchSpec

_STDC1 = StdcSpec(base_width=64, depths=(2, 2, 2))
_STDC2 = StdcSpec(base_width=64, depths=(4, 5, 3))
_SPATIAL_PATH = {"spatial_path": True}

# Name: (spec, what it is or which claim it is an arm of).
PRESETS: dict[str, tuple[ArchSpec, str]] = {
    "stdc1": (_STDC1, "STDC1-Seg as released (813M classifier)"),
    "stdc2": (_STDC2, "STDC2-Seg as released (1446M classifier)"),
    "stdc1_spatial_path": (
        _STDC1.replace(decoder=_SPATIAL_PATH),
        "BiSeNet's way: a spatial path, which detail guidance is to replace",
    ),
    "stdc2_spatial_path": (
        _STDC2.replace(decoder=_SPATIAL_PATH),
        "the same on STDC2",
    ),
    "stdc1_blocks2": (_STDC1.replace(num_blocks=2), "two blocks in a module; four are claimed to be best"),
    "stdc1_blocks3": (_STDC1.replace(num_blocks=3), "three blocks in a module"),
    "stdc1_blocks5": (_STDC1.replace(num_blocks=5), "five blocks in a module"),
    "stdc1_blocks6": (_STDC1.replace(num_blocks=6), "six blocks in a module"),
    "stdc2_blocks2": (_STDC2.replace(num_blocks=2), "two blocks in a module; four are claimed to be best"),
    "stdc2_blocks3": (_STDC2.replace(num_blocks=3), "three blocks in a module"),
    "stdc2_blocks5": (_STDC2.replace(num_blocks=5), "five blocks in a module"),
    "stdc2_blocks6": (_STDC2.replace(num_blocks=6), "six blocks in a module"),
    "stdc1_uniform": (
        _STDC1.replace(channel_ratio=1.0),
        "equal channels in all blocks, not halved from block to block",
    ),
    "stdc1_growing": (_STDC1.replace(channel_ratio=2.0), "more channels in higher blocks, claimed to be redundant"),
    "stdc1_add": (_STDC1.replace(fusion="add"), "the released residual; concatenation is claimed to be efficient"),
    "stdc2_add": (_STDC2.replace(fusion="add"), "the same on STDC2"),
    "stdc1_strided": (_STDC1.replace(downsample="strided"), "stride on block 2, as the paper draws it"),
    "stdc2_strided": (_STDC2.replace(downsample="strided"), "the same on STDC2"),
    "stdc1_stem2": (_STDC1.replace(stem_depths=(2, 2)), "two convolutions in stages 1 and 2; one is claimed enough"),
    "stdc1_conv_last": (_STDC1.replace(conv_last=True), "the classifier's last convolution in the segmenter"),
    "pp_liteseg_t": (
        _STDC1.replace(pool_counts_padding=False, decoder={"kind": "pp_liteseg"}),
        "PP-LiteSeg-T: STDC1's backbone with pyramid pooling and spatial attention",
    ),
    "pp_liteseg_b": (
        _STDC2.replace(
            pool_counts_padding=False, decoder={"kind": "pp_liteseg", "widths": [64, 96, 128], "head_width": 64}
        ),
        "PP-LiteSeg-B: the same on STDC2, with a wider decoder",
    ),
}
