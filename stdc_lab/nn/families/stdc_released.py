"""The released networks' names for tensors, ours for theirs, and what a released state dict holds.

The released code registers its stages twice, as `features.N` and as `x2` … `x32` (second names of the same tensors),
and every network of it carries layers that its forward pass never runs: a batch norm in the classifier, and the whole
classifier in the segmenter. Importing accounts for every key; exporting writes every key. Norms outside a segmenter's
backbone are converted on both ways, see `released_norms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from stdc_lab.arch import StdcSpec, presets
from stdc_lab.arch.families.stdc import default_kernels
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import CheckpointError
from stdc_lab.nn.families.stdc_released_norms import as_ours, as_released
from stdc_lab.nn.network import Classifier, Segmenter
from stdc_lab.nn.released import SHOWN, LoadReport, Network, State, shortened
from stdc_lab.nn.segmenter import build_classifier, build_model

BACKBONE = "cp.backbone."
IMAGENET_CLASSES = 1000
_SECOND_NAME = re.compile(r"^((?:cp\.backbone\.)?)x(?:2|4|8|16|32)\.0\.(\d+\..+)$")
_FEATURE = re.compile(r"^(?:cp\.backbone\.)?features\.(\d+)\.(.+)$")
# Layers that the released networks have and ours may lack: training heads and (parts of) the classifier.
_OPTIONAL = re.compile(r"^(conv_out(16|32|_sp(2|4|8|16))\.|(cp\.backbone\.)?(conv_last|fc|bn|linear)\.)")
_IN_MODULE = (
    ("blocks.", "conv_list."),
    ("downsample.conv.", "avd_layer.0."),
    ("downsample.bn.", "avd_layer.1."),
    ("residual.smaller.conv.", "skip.0."),
    ("residual.smaller.bn.", "skip.1."),
    ("residual.wider.conv.", "skip.2."),
    ("residual.wider.bn.", "skip.3."),
)
_ELSEWHERE = (
    ("hidden.", "fc."),
    ("classes.", "linear."),
    ("decoder.global_context.", "cp.conv_avg."),
    ("decoder.refine32.attention.conv.", "cp.arm32.conv_atten."),
    ("decoder.refine32.attention.bn.", "cp.arm32.bn_atten."),
    ("decoder.refine32.", "cp.arm32."),
    ("decoder.refine16.attention.conv.", "cp.arm16.conv_atten."),
    ("decoder.refine16.attention.bn.", "cp.arm16.bn_atten."),
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


def released_name(name: str, network: Network) -> str | None:
    """The released network's name for one of our tensors; None if it has no such layer.

    The released code numbers all layers of the backbone through (`features.0` …), so the number of a module depends
    on the depths of the stages before it.
    """
    prefix = BACKBONE if isinstance(network, Segmenter) else ""
    if re.match(r"backbone\.stages\.[12]\.[1-9]", name):
        return None  # the released stages 1 and 2 have one convolution each
    feature = feature_name(name, network)
    if feature is not None:
        return f"{prefix}{feature}"
    if name.startswith("backbone.conv_last."):
        return prefix + name.removeprefix("backbone.")
    detail = re.fullmatch(r"detail_heads\.(\d+)\.(.+)", name)
    if detail:
        return f"conv_out_sp{detail[1]}." + detail[2].replace("classes.", "conv_out.")
    return _translated(name, _ELSEWHERE)


def feature_name(name: str, network: Network) -> str | None:
    """The released name of a tensor of stages 1 to 5, from `features` on; None of another."""
    in_stage = re.fullmatch(r"backbone\.stages\.(\d)\.(\d+)\.(.+)", name)
    if not in_stage:
        return None
    stage, index, rest = int(in_stage[1]), int(in_stage[2]), in_stage[3]
    position = stage - 1 if stage <= 2 else 2 + sum(_stdc(network).depths[: stage - 3]) + index
    return f"features.{position}.{_translated(rest, _IN_MODULE) or rest}"


def fill(network: Network, state: State, source: str = "released checkpoint") -> LoadReport:
    """Fill a network with a released state dict; outputs are the released network's, with its own norms.

    Raises `CheckpointError` if the dict is another network's, contradicts itself, lacks a tensor or holds one that no
    such network has; the network is then unchanged. `source` begins the message.
    """
    state, second_names = _first_names(_without_module_prefix(state), source)
    holds = kind_of(state, source)
    wanted = "seg" if isinstance(network, Segmenter) else "cls"
    if holds != wanted:
        words = {"seg": "a segmentation network", "cls": "a classifier"}
        raise CheckpointError(f"{source}: holds {words[holds]}, not {words[wanted]}")
    renamed, used = {}, set()
    problems: dict[str, list[str]] = {"missing": [], "of another shape": [], "left over": []}
    for name, tensor in network.state_dict().items():
        theirs = released_name(name, network)
        if theirs is None:
            problems["missing"].append(f"{name}, which no released network has")
        elif theirs in state:
            used.add(theirs)
            renamed[name] = state[theirs]
            if state[theirs].shape != tensor.shape:
                shapes = f"{tuple(state[theirs].shape)}, not {tuple(tensor.shape)}"
                problems["of another shape"].append(f"{theirs} ({shapes})")
        elif not theirs.endswith("num_batches_tracked"):
            problems["missing"].append(theirs)
        else:
            # Files from before PyTorch 0.4.1 lack this counter, which says nothing of the weights.
            renamed[name] = tensor
    rest = [key for key in state if key not in used]
    problems["left over"] = [key for key in rest if not _OPTIONAL.match(key)]
    if any(problems.values()):
        raise CheckpointError(f"{source}: {_mismatch(_stdc(network), state, problems)}")
    network.load_state_dict(renamed | as_ours(network, renamed))
    return LoadReport(len(used), second_names, tuple(rest))


def released_state(network: Network) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A network as a state dict that the released code loads strictly, second names and unused layers included.

    The second value names the tensors that this network lacks (the classifier's unused batch norm; of a deployed
    segmenter also the training heads and the classifier). They are restored with fresh values, always the same; what
    the main output is made of is never among them. Raises `CheckpointError` for a network that the released code
    cannot build.
    """
    departures = list(departures_from_released(_stdc(network)))
    if departures:
        raise CheckpointError(f"export: the released code has no such network: {'; '.join(departures)}")
    restored = _restored(network)
    state = {}
    for name, tensor in (network.state_dict() | as_released(network)).items():
        theirs = released_name(name, network)
        assert theirs is not None
        state[theirs] = tensor.cpu()
    fresh = {name: tensor for name, tensor in restored.items() if name not in state}
    state |= fresh
    return state | dict(_second_names(state, _stdc(network))), tuple(fresh)


def departures_from_released(spec: StdcSpec) -> Iterator[str]:
    """What keeps the released code from building this network, whatever its widths and depths."""
    plain = StdcSpec(widths=spec.widths, depths=spec.depths, num_blocks=spec.num_blocks)
    for name in ("stem_depths", "downsample"):
        if getattr(spec, name) != getattr(plain, name):
            yield f"{name} is {getattr(spec, name)}, there {getattr(plain, name)}"
    if spec.kernels != default_kernels(spec.num_blocks):
        yield f"kernels are {spec.kernels}, there {plain.kernels}"
    if spec.block_widths != plain.block_widths:
        yield f"block widths are {spec.block_widths}, there {plain.block_widths}"
    for name in ("attention", "global_context", "spatial_path", "interpolation"):
        if getattr(spec.decoder, name) != getattr(plain.decoder, name):
            yield f"decoder.{name} is {getattr(spec.decoder, name)}, there {getattr(plain.decoder, name)}"


def kind_of(state: State, source: str = "released checkpoint") -> Literal["seg", "cls"]:
    """Whether a released state dict is a segmenter's ("seg") or a classifier's ("cls")."""
    if any(key.startswith(("cp.", "module.cp.")) for key in state):
        return "seg"
    if any(_FEATURE.match(key.removeprefix("module.")) or _SECOND_NAME.match(key) for key in state):
        return "cls"
    shown = ", ".join(list(state)[:3])
    raise CheckpointError(
        f"{source}: no released STDC network: its keys are {shown} …; expected features.0.conv.weight … or "
        "cp.backbone.features.0.conv.weight …"
    )


def classes_of(state: State) -> int | None:
    """Classes of the main head of a released state dict; None if it has none."""
    for key in ("conv_out.conv_out.weight", "linear.weight"):
        for found in (key, f"module.{key}"):
            if found in state and state[found].ndim > 1:
                return int(state[found].shape[0])
    return None


def describe(state: State) -> str:
    """What a released state dict seems to hold, read off its backbone's keys: depths, blocks, widths, fusion."""
    modules: dict[int, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        match = _FEATURE.match(key)
        if match:
            modules.setdefault(int(match[1]), {})[match[2]] = tensor
    depths: list[int] = []
    widths = [_channels(modules[i]) for i in (0, 1) if i in modules]
    blocks = 0
    for _, tensors in sorted(modules.items()):
        numbers = {int(name.split(".")[1]) for name in tensors if name.startswith("conv_list.")}
        if not numbers:
            continue
        # Only the first module of a stage halves its input.
        if any(name.startswith("avd_layer.") for name in tensors) or not depths:
            depths.append(0)
            widths.append(sum(_channels(tensors, f"conv_list.{number}.") for number in numbers))
        depths[-1] += 1
        blocks = max(blocks, len(numbers))
    added = any("skip.2.weight" in tensors for tensors in modules.values())
    return _structure(depths, blocks, widths, added)


def _depths_of(name: str) -> tuple[int, ...]:
    spec = presets[name]
    assert isinstance(spec, StdcSpec)
    return spec.depths


def _structure(depths: Sequence[int], blocks: int, widths: Sequence[int], added: bool) -> str:
    name = next((f" ({name})" for name in ("stdc1", "stdc2") if _depths_of(name) == tuple(depths)), "")
    shown = [", ".join(map(str, values)) or "none" for values in (depths, widths)]
    return f"depths {shown[0]}{name}, {blocks} blocks, widths {shown[1]}, fusion {'add' if added else 'cat'}"


def _mismatch(spec: StdcSpec, state: State, problems: Mapping[str, list[str]]) -> str:
    held = describe(state)
    ours = _structure(spec.depths, spec.num_blocks, spec.widths, spec.fusion == "add")
    # In a file of another network every key is wrong, and a few show how; elsewhere each is worth a look.
    most = SHOWN if held == ours else 2
    listed = ". ".join(f"{what}: {shortened(keys, most)}" for what, keys in problems.items() if keys)
    plain = f"the file seems to hold {held}; the network has {ours}. " if held != ours else ""
    return f"does not fit this architecture: {plain}{listed}"


def _first_names(state: State, source: str) -> tuple[dict[str, Tensor], int]:
    """The state under first names only, and how many second names there were. Raises if two names disagree."""
    first = {key: tensor for key, tensor in state.items() if not _SECOND_NAME.match(key)}
    conflicts, count = [], 0
    for key, tensor in state.items():
        match = _SECOND_NAME.match(key)
        if not match:
            continue
        count += 1
        name = f"{match[1]}features.{match[2]}"
        if name not in first:
            first[name] = tensor
        elif first[name].shape != tensor.shape or not torch.equal(first[name], tensor):
            conflicts.append(f"{key} differs from {name}")
    if conflicts:
        raise CheckpointError(
            f"{source}: contradicts itself: {shortened(conflicts)}. Each pair names one tensor of the released "
            "network, so it cannot be told which is meant"
        )
    return first, count


def _second_names(state: State, spec: StdcSpec) -> Iterator[tuple[str, Tensor]]:
    ends = [1, 2, *(2 + sum(spec.depths[: i + 1]) for i in range(3))]
    for key, tensor in state.items():
        match = _FEATURE.match(key)
        if match:
            stride = 2 ** (1 + next(i for i, end in enumerate(ends) if int(match[1]) < end))
            prefix = BACKBONE if key.startswith(BACKBONE) else ""
            yield f"{prefix}x{stride}.0.{match[1]}.{match[2]}", tensor


def _restored(network: Network) -> dict[str, Tensor]:
    """Everything that a released network of this form registers, freshly initialised, under released names."""
    spec = _stdc(network)
    classes = network.num_classes if isinstance(network, Classifier) else IMAGENET_CLASSES
    classifier = build_classifier(spec, classes, seed=0)
    whole: list[tuple[str, Network]] = [("", classifier)]
    if isinstance(network, Segmenter):
        heads = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))
        whole = [(BACKBONE, classifier), ("", build_model(spec, network.num_classes, heads, seed=0))]
    state = {}
    for prefix, part in whole:
        for name, tensor in part.state_dict().items():
            theirs = released_name(name, part)
            assert theirs is not None
            state[prefix + theirs] = tensor
    unused = nn.BatchNorm1d(spec.conv_last_width)
    return state | {f"{whole[0][0]}bn.{name}": tensor for name, tensor in unused.state_dict().items()}


def _without_module_prefix(state: State) -> State:
    """`DataParallel` puts `module.` before every key."""
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return state


def _translated(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    return next((theirs + name.removeprefix(ours) for ours, theirs in table if name.startswith(ours)), None)


def _channels(tensors: State, layer: str = "") -> int:
    """Output channels of a ConvX, by its norm or, if that is missing, its convolution; 0 if both are."""
    found = tensors.get(f"{layer}bn.weight", tensors.get(f"{layer}conv.weight"))
    return int(found.shape[0]) if found is not None and found.ndim else 0


def _stdc(network: Network) -> StdcSpec:
    spec = network.spec
    assert isinstance(spec, StdcSpec)
    return spec


class StdcReleased:
    """STDC's checkpoints, of segmenters and of classifiers, as a released form."""

    every_head = TrainingHeads(auxiliary=True, detail_strides=(2, 4, 8, 16))

    def task_of(self, state: State, source: str) -> Literal["seg", "cls"]:
        return kind_of(state, source)

    def classes_of(self, state: State) -> int | None:
        return classes_of(state)

    def fill(self, network: Network, state: State, source: str) -> LoadReport:
        return fill(network, state, source)

    def state_of(self, network: Network) -> tuple[dict[str, Tensor], tuple[str, ...]]:
        return released_state(network)
