"""The released networks' forward pass, written from the facts of the paper's page over a released state dict.

It knows tensors by their released names only and nothing of our modules: an independent computation to agree with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
PLAIN = ("cp.backbone.", "features.", "conv_last.")
"""Where norms are plain ones: in a backbone, of a segmenter or of a classifier."""


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    scale = weight if name.startswith(PLAIN) else weight.abs() + 1e-5
    return F.batch_norm(x, mean, variance, scale, bias, training=False)


def convx(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    return F.relu(norm(state, f"{name}.bn", F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)))


def depthwise(state: State, name: str, conv: int, x: Tensor) -> Tensor:
    weight = state[f"{name}.{conv}.weight"]
    x = F.conv2d(x, weight, stride=2, padding=1, groups=x.shape[1])
    return norm(state, f"{name}.{conv + 1}", x)


def module(state: State, name: str, x: Tensor, fusion: str) -> Tensor:
    halves = f"{name}.avd_layer.0.weight" in state
    count = len([key for key in state if key.startswith(f"{name}.conv_list.") and key.endswith("conv.weight")])
    one = convx(state, f"{name}.conv_list.0", x)
    current = depthwise(state, f"{name}.avd_layer", 0, one) if halves else one
    if not halves:
        outputs = [one]
    elif fusion == "cat":
        outputs = [F.avg_pool2d(one, 3, 2, 1)]
    else:
        outputs = [current]
    for index in range(1, count):
        current = convx(state, f"{name}.conv_list.{index}", current)
        outputs.append(current)
    fused = torch.cat(outputs, 1)
    if fusion == "cat":
        return fused
    if halves:
        x = depthwise(state, f"{name}.skip", 0, x)
        x = norm(state, f"{name}.skip.3", F.conv2d(x, state[f"{name}.skip.2.weight"]))
    return fused + x


def backbone(
    state: State, prefix: str, x: Tensor, depths: tuple[int, ...], fusion: str, conv_last: bool
) -> list[Tensor]:
    features = []
    for position in (0, 1):
        x = convx(state, f"{prefix}features.{position}", x, stride=2)
        features.append(x)
    position = 2
    for depth in depths:
        for _ in range(depth):
            x = module(state, f"{prefix}features.{position}", x, fusion)
            position += 1
        features.append(x)
    if conv_last:
        features[-1] = convx(state, f"{prefix}conv_last", features[-1])
    return features


def classifier(state: State, x: Tensor, depths: tuple[int, ...], fusion: str = "cat") -> Tensor:
    x = backbone(state, "", x, depths, fusion, conv_last=True)[-1]
    x = F.relu(F.linear((x * x).mean((2, 3)), state["fc.weight"]))
    return F.linear(x, state["linear.weight"])


def output_head(state: State, name: str, x: Tensor) -> Tensor:
    return F.conv2d(convx(state, f"{name}.conv", x), state[f"{name}.conv_out.weight"])


def refine(state: State, name: str, x: Tensor) -> Tensor:
    x = convx(state, f"{name}.conv", x)
    mean = x.mean((2, 3), keepdim=True)
    return x * torch.sigmoid(norm(state, f"{name}.bn_atten", F.conv2d(mean, state[f"{name}.conv_atten.weight"])))


def segmenter(
    state: State, images: Tensor, depths: tuple[int, ...], fusion: str = "cat", conv_last: bool = False
) -> dict[str, Tensor]:
    """All outputs: main, both auxiliary ones, and the detail logits at 1/2 … 1/16."""
    two, four, eight, sixteen, thirtytwo = backbone(state, "cp.backbone.", images, depths, fusion, conv_last)
    mean = convx(state, "cp.conv_avg", thirtytwo.mean((2, 3), keepdim=True))
    x = refine(state, "cp.arm32", thirtytwo) + F.interpolate(mean, thirtytwo.shape[2:], mode="nearest")
    context16 = convx(state, "cp.conv_head32", F.interpolate(x, sixteen.shape[2:], mode="nearest"))
    x = refine(state, "cp.arm16", sixteen) + context16
    context8 = convx(state, "cp.conv_head16", F.interpolate(x, eight.shape[2:], mode="nearest"))
    x = convx(state, "ffm.convblk", torch.cat([eight, context8], 1))
    mean = F.relu(F.conv2d(x.mean((2, 3), keepdim=True), state["ffm.conv1.weight"]))
    fused = x * torch.sigmoid(F.conv2d(mean, state["ffm.conv2.weight"])) + x

    def up(logits: Tensor) -> Tensor:
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True)

    return {
        "main": up(output_head(state, "conv_out", fused)),
        "auxiliary 8": up(output_head(state, "conv_out16", context8)),
        "auxiliary 16": up(output_head(state, "conv_out32", context16)),
        "detail 2": output_head(state, "conv_out_sp2", two),
        "detail 4": output_head(state, "conv_out_sp4", four),
        "detail 8": output_head(state, "conv_out_sp8", eight),
        "detail 16": output_head(state, "conv_out_sp16", sixteen),
    }
