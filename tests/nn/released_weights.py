"""Names, shapes, weights and reference outputs of released networks, by the rules of tests/nn/parity/README.md.

Names and shapes are written down here from the keys of the stored networks, so that networks of other sizes can be
made whose names come from no code of ours.
"""

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stdc_lab.arch import StdcSpec
from stdc_lab.config.training import TrainingHeads

DEPTHS = (1, 2, 1)
SPEC = StdcSpec(base_width=16, depths=DEPTHS)
ALL_HEADS = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))

PARITY = Path(__file__).parent / "parity"
NEGATIVE_GAMMA = "_negative_gamma"
Shapes = dict[str, tuple[int, ...]]


def values_of(key: str, shape: tuple[int, ...], negative_gamma: bool = False) -> torch.Tensor:
    z = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        z = np.exp(0.2 * z)
    elif key.endswith(("running_mean", "bias")):
        z = 0.1 * z
    elif key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    elif len(shape) == 1:
        z = z if negative_gamma and not key.startswith("cp.backbone.") else 1 + 0.1 * z
    else:
        z = z * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(z, np.float32))


def weights(shapes: Shapes, *, negative_gamma: bool = False) -> dict[str, torch.Tensor]:
    """Values for all keys; a second name has the tensor that it names again.

    negative_gamma: half of the weights of a segmenter's norms outside the backbone are negative.
    """
    state = {}
    for key, shape in shapes.items():
        first = re.sub(r"x(2|4|8|16|32)\.0\.", "features.", key)
        state[key] = state[first] if first != key else values_of(key, shape, negative_gamma)
    return state


def stored_shapes(name: str) -> Shapes:
    """Keys and shapes of `stdc1_seg`, `stdc2_classifier` …, as stored."""
    stored = PARITY / f"{name.removesuffix(NEGATIVE_GAMMA)}_keys.json"
    return {key: tuple(shape) for key, shape in json.loads(stored.read_text()).items()}


def released_state(name: str) -> dict[str, torch.Tensor]:
    """The released state dict of `stdc1_seg`, `stdc2_classifier` …, second names included."""
    return weights(stored_shapes(name), negative_gamma=name.endswith(NEGATIVE_GAMMA))


def reference(name: str) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """The input images, and the released outputs as they are stored (every fourth row and column if large)."""
    with np.load(PARITY / f"{name}.npz") as stored:
        images = np.random.default_rng(int(stored["x_seed"])).standard_normal(stored["x_shape"]).astype(np.float32)
        outputs = {key: stored[key] for key in stored.files if not key.startswith("x_")}
        return torch.from_numpy(images), outputs


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)
    yield f"{name}.num_batches_tracked", ()


def _convx(name: str, wide: int, out: int, kernel: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.conv.weight", (out, wide, kernel, kernel)
    yield from _norm(f"{name}.bn", out)


def _features(
    prefix: str, base: int, depths: tuple[int, ...], blocks: int, fusion: str
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from _convx(f"{prefix}features.0", 3, base // 2, 3)
    yield from _convx(f"{prefix}features.1", base // 2, base, 3)
    position, wide = 2, base
    for stage, depth in enumerate(depths):
        out = base * 4 * 2**stage
        for index in range(depth):
            name = f"{prefix}features.{position}"
            widths = [out // 2 ** min(i + 1, blocks - 1) for i in range(blocks)]
            for i, (before, after) in enumerate(zip([wide, *widths], widths, strict=False)):
                yield from _convx(f"{name}.conv_list.{i}", before, after, 3 if i else 1)
            if index == 0:
                yield f"{name}.avd_layer.0.weight", (out // 2, 1, 3, 3)
                yield from _norm(f"{name}.avd_layer.1", out // 2)
                if fusion == "add":
                    yield f"{name}.skip.0.weight", (wide, 1, 3, 3)
                    yield from _norm(f"{name}.skip.1", wide)
                    yield f"{name}.skip.2.weight", (out, wide, 1, 1)
                    yield from _norm(f"{name}.skip.3", out)
            position, wide = position + 1, out


def backbone_shapes(
    prefix: str, base: int, depths: tuple[int, ...], blocks: int, fusion: str, classes: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A released classifier, in a segmenter behind `cp.backbone.`; second names at the end."""
    features = dict(_features(prefix, base, depths, blocks, fusion))
    yield from features.items()
    last = max(1024, base * 16)
    yield from _convx(f"{prefix}conv_last", base * 16, last, 1)
    yield f"{prefix}fc.weight", (last, last)
    yield from _norm(f"{prefix}bn", last)
    yield f"{prefix}linear.weight", (classes, last)
    ends = {2: 1, 4: 2, 8: 2 + depths[0], 16: 2 + sum(depths[:2]), 32: 2 + sum(depths)}
    for key, shape in features.items():
        position = int(key.removeprefix(f"{prefix}features.").split(".")[0])
        stride = next(stride for stride, end in ends.items() if position < end)
        yield key.replace("features.", f"x{stride}.0."), shape


def classifier_shapes(
    base: int, depths: tuple[int, ...], blocks: int = 4, fusion: str = "cat", classes: int = 1000
) -> Shapes:
    return dict(backbone_shapes("", base, depths, blocks, fusion, classes))


def segmenter_shapes(
    base: int,
    depths: tuple[int, ...],
    blocks: int = 4,
    fusion: str = "cat",
    classes: int = 19,
    conv_last: bool = False,
) -> Shapes:
    """A released segmenter; at another base width than 64 what its code would be with the numbers put in."""
    shapes = dict(backbone_shapes("cp.backbone.", base, depths, blocks, fusion, 1000))
    deepest = max(1024, base * 16) if conv_last else base * 16
    for name, wide in (("arm16", base * 8), ("arm32", deepest)):
        shapes |= _convx(f"cp.{name}.conv", wide, 128, 3)
        shapes[f"cp.{name}.conv_atten.weight"] = (128, 128, 1, 1)
        shapes |= _norm(f"cp.{name}.bn_atten", 128)
    shapes |= _convx("cp.conv_head32", 128, 128, 3)
    shapes |= _convx("cp.conv_head16", 128, 128, 3)
    shapes |= _convx("cp.conv_avg", deepest, 128, 1)
    shapes |= _convx("ffm.convblk", base * 4 + 128, 256, 1)
    shapes |= {"ffm.conv1.weight": (64, 256, 1, 1), "ffm.conv2.weight": (256, 64, 1, 1)}
    heads = {"": (256, 256, classes), "16": (128, 64, classes), "32": (128, 64, classes)}
    heads |= {f"_sp{stride}": (width, 64, 1) for stride, width in ((16, base * 8), (8, base * 4))}
    heads |= {f"_sp{stride}": (width, 64, 1) for stride, width in ((4, base), (2, base // 2))}
    for name, (wide, width, outputs) in heads.items():
        shapes |= _convx(f"conv_out{name}.conv", wide, width, 3)
        shapes[f"conv_out{name}.conv_out.weight"] = (outputs, width, 1, 1)
    return shapes
