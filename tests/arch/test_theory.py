"""The closed forms against the network as built: counted by hooks on every layer, and seen through gradients."""

import os
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec, analyse, presets, total_cost
from stdc_lab.arch.costs import Cost, NetworkCost, Part, module_weights
from stdc_lab.config.training import TrainingHeads
from stdc_lab.nn import build_classifier, build_model
from stdc_lab.nn.families.stdc import StdcModule
from tests.arch.sketches import sketch
from tests.arch.strategies import specs

EXAMPLES = int(os.environ.get("STDC_LAB_EXAMPLES", "200"))
sizes = st.tuples(st.integers(32, 400), st.integers(32, 400))

IN_PARTS = {
    "downsample": "downsample",
    "residual downsample": "residual.smaller",
    "residual projection": "residual.wider",
    "global context": "global_context",
    "refinement at 1/32": "refine32",
    "refinement at 1/16": "refine16",
    "smoothing of 1/32": "smooth32",
    "smoothing of 1/16": "smooth16",
    "spatial path": "spatial_path",
    "auxiliary head at 1/8": "auxiliary_heads.8",
    "auxiliary head at 1/16": "auxiliary_heads.16",
    "conv_last": "backbone.conv_last",
}


def module_name(path: tuple[str, ...]) -> str:
    """Where the network has the part that the theory calls by this path."""
    names = []
    for name in path:
        kind, _, number = name.rpartition(" ")
        if kind == "stage":
            names.append(f"backbone.stages.{number}")
        elif kind in ("module", "conv"):
            names.append(str(int(number) - 1))
        elif kind == "block":
            names.append(f"blocks.{int(number) - 1}")
        elif name.startswith("detail head"):
            names.append(f"detail_heads.{name.rsplit('/', 1)[1]}")
        else:
            names.append(IN_PARTS.get(name, name))
    return ".".join(names)


def parts_of(parts: tuple[Part, ...], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Part]]:
    for part in parts:
        path = (*above, part.name)
        yield module_name(path), part
        yield from parts_of(part.parts, path)


def counted(network: nn.Module, size: tuple[int, int]) -> tuple[dict[str, Cost], dict[str, tuple[int, ...]]]:
    """Cost of every module of a network on the meta device from the shapes that its layers meet, and its output's."""
    costs: dict[str, Cost] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def hook(name: str, module: nn.Module, output: object) -> None:
        tensor = output[0] if isinstance(output, tuple | list) else output
        assert isinstance(tensor, torch.Tensor)
        shapes[name] = tuple(tensor.shape)
        params = sum(p.numel() for p in module.parameters(recurse=False))
        macs = activations = 0
        if isinstance(module, nn.Conv2d | nn.Linear):
            activations = tensor.numel()
            macs = activations * module.weight[0].numel()
        parts = name.split(".")
        for above in (".".join(parts[:i]) for i in range(len(parts) + 1)):
            costs[above] = Cost(
                *(a + b for a, b in zip(costs.get(above, (0, 0, 0)), (params, macs, activations), strict=True))
            )

    for name, module in network.named_modules():
        if not isinstance(module, nn.ModuleDict | nn.ModuleList):
            module.register_forward_hook(lambda m, _i, out, name=name: hook(name, m, out))
    with mock.patch.object(functional, "batch_norm", normalised):
        network.eval()(torch.zeros(1, 3, *size, device="meta"))
    return costs, shapes


def normalised(values: torch.Tensor, mean: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    """Of a batch norm what counts here, the channels: to find the shape PyTorch would take it apart each time."""
    assert values.shape[1] == len(mean)
    return torch.empty_like(values)


def assert_agrees(theory: NetworkCost, network: nn.Module, size: tuple[int, int]) -> None:
    costs, shapes = counted(network, size)
    assert theory.cost == costs[""]
    assert sum(p.numel() for p in network.parameters()) == theory.cost.num_params
    for name, part in parts_of(theory.parts):
        assert (name, part.cost) == (name, costs[name])
        if name in shapes and len(shapes[name]) == 4:
            assert (name, shapes[name][1:]) == (name, (part.output_channels, *part.output_size))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), sizes, st.integers(2, 30), st.booleans(), st.sets(st.sampled_from([2, 4, 8, 16])))
@example(presets["stdc2"], (101, 203), 11, True, {2, 4, 8, 16})
def test_theory_is_the_segmenter_as_built(
    spec: ArchSpec, size: tuple[int, int], classes: int, auxiliary: bool, strides: set[int]
) -> None:
    heads = TrainingHeads(auxiliary=auxiliary, detail_strides=tuple(sorted(strides)))  # type: ignore[arg-type]
    network = sketch(build_model, spec, classes, heads)
    options = {"auxiliary": auxiliary, "detail_strides": heads.detail_strides}
    theory = analyse(spec, size, classes, **options)  # type: ignore[arg-type]
    assert_agrees(theory, network, size)
    assert total_cost(spec, size, classes, **options) == theory.cost  # type: ignore[arg-type]


@settings(max_examples=max(20, EXAMPLES // 10), deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), sizes, st.integers(2, 30))
def test_theory_is_the_classifier_as_built(spec: ArchSpec, size: tuple[int, int], classes: int) -> None:
    network = sketch(build_classifier, spec, classes)
    theory = analyse(spec, size, classes, task="cls")
    assert_agrees(theory, network, size)
    assert total_cost(spec, size, classes, task="cls") == theory.cost


@pytest.mark.parametrize(("name", "macs", "params"), [
    ("stdc1", 806_067_712, 8_443_552), ("stdc2", 1_437_081_088, 12_474_016),
])  # fmt: skip
def test_the_papers_classifiers(name: str, macs: int, params: int) -> None:
    cost = total_cost(presets[name], (224, 224), 1000, task="cls")
    assert cost.macs == macs
    assert cost.num_params + 2 * 1024 == params  # the released network registers a batch norm that it never runs


@pytest.mark.parametrize(("blocks", "millions"), [(2, 1871), (3, 1524), (4, 1437), (5, 1415), (6, 1410)])
def test_the_saving_saturates_at_four_blocks(blocks: int, millions: int) -> None:
    assert (
        round(total_cost(presets["stdc2"].replace(num_blocks=blocks), (224, 224), 1000, task="cls").macs / 1e6)
        == millions
    )


@pytest.mark.parametrize(("name", "gmacs", "params"), [("stdc1", 16.86, 8_275_104), ("stdc2", 23.46, 12_305_568)])
def test_the_papers_segmenters(name: str, gmacs: float, params: int) -> None:
    deployed = total_cost(presets[name], (512, 1024), 19)
    assert (round(deployed.macs / 1e9, 2), deployed.num_params) == (gmacs, params)
    trained = total_cost(presets[name], (512, 1024), 19, auxiliary=True, detail_strides=(2, 4, 8, 16))
    assert round(trained.macs / 1e9, 2) == {"stdc1": 23.08, "stdc2": 29.67}[name]


@given(st.integers(2, 8), st.integers(1, 512), st.integers(1, 8))
def test_the_papers_formula_is_a_modules_convolution_weights(blocks: int, wide: int, quarter: int) -> None:
    out = quarter * 2 ** (blocks - 1)
    spec = StdcSpec(widths=(4, wide, out, out, out), num_blocks=blocks)
    with torch.device("meta"):
        module = StdcModule(wide, spec.block_widths[0], spec.kernels, stride=1)
    weights = sum(p.numel() for name, p in module.named_parameters() if name.endswith("conv.weight"))
    assert module_weights(wide, out, blocks) == pytest.approx(weights)


# --- receptive fields ---------------------------------------------------------------------------------------------


def seen(network: nn.Module, height: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many rows of the image each module's output depends on, at most, by gradient.

    All weights are positive and norms do nothing, so that nothing cancels; global means are cut off. The outputs in
    the middle of the map are tried at all four alignments to the coarser maps.
    """
    outputs: dict[str, torch.Tensor] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: outputs.update({name: out}))
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.rand_like(parameter) + 0.5)
                parameter /= parameter[0].numel()
    pool = functional.adaptive_avg_pool2d
    monkeypatch.setattr(functional, "adaptive_avg_pool2d", lambda x, size: pool(x, size).detach())
    images = torch.rand(1, 3, height, 32, dtype=torch.float64, requires_grad=True)
    network(images)
    rows = {}
    for name, output in outputs.items():
        if not isinstance(output, torch.Tensor) or not output.requires_grad or output.ndim < 4 or output.shape[2] < 4:
            continue
        middle = output.shape[2] // 2
        extents = []
        for row in range(middle, middle + 4):
            (gradient,) = torch.autograd.grad(output[0, :, row].sum(), images, retain_graph=True, allow_unused=True)
            if gradient is None:
                break  # all of it comes from a global mean
            hit = gradient[0].abs().sum(dim=(0, 2)).nonzero().flatten()
            assert hit[0] > 0 and hit[-1] < height - 1, f"{name}: the image is too small to see its field"
            extents.append(int(hit[-1] - hit[0]) + 1)
        if extents:
            rows[name] = max(extents)
    return rows


SMALL = {"widths": (2, 2, 8, 8, 8), "decoder": DecoderSpec(4, 4, 4)}


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": (2, 1, 1)},
        {"depths": (1, 1, 1), "num_blocks": 2},
        {"depths": (1, 2, 1), "downsample": "strided"},
        {"depths": (1, 1, 1), "downsample": "strided", "fusion": "add", "num_blocks": 2, "kernels": (1, 1)},
        {"depths": (1, 1, 1), "fusion": "add", "num_blocks": 3, "kernels": (1, 1, 1)},
        {"depths": (1, 1, 1), "stem_depths": (2, 2), "kernels": (3, 1, 5, 3), "conv_last": True},
        {"depths": (1, 1, 1), "decoder": DecoderSpec(4, 4, 4, spatial_path=True, attention=False)},
        {"depths": (1, 1, 1), "num_blocks": 2, "decoder": DecoderSpec(4, 4, 4, False, False)},
    ],
)
def test_receptive_fields_are_what_gradients_show(fields: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = StdcSpec(**{**SMALL, **fields})  # type: ignore[arg-type]
    heads = TrainingHeads(detail_strides=(2, 4, 8, 16))
    rows = seen(build_model(spec, 2, heads), 1536, monkeypatch)
    theory = analyse(spec, auxiliary=True, detail_strides=heads.detail_strides)
    compared = {name: (part.receptive_field, rows[name]) for name, part in parts_of(theory.parts) if name in rows}
    assert len([name for name in compared if name.startswith("backbone.stages")]) >= 15
    assert {"head", "decoder.smooth16", "decoder.smooth32", "auxiliary_heads.16", "detail_heads.2"} <= compared.keys()
    assert {name: pair for name, pair in compared.items() if pair[0] != pair[1]} == {}


def test_bilinear_upsampling_sees_no_more_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = StdcSpec(**SMALL, depths=(1, 1, 1)).replace(decoder={"interpolation": "bilinear"})  # type: ignore[arg-type]
    rows = seen(build_model(spec, 2), 1536, monkeypatch)
    theory = dict(parts_of(analyse(spec).parts))
    for name in ("decoder.smooth32", "decoder.smooth16", "head"):
        said = theory[name].receptive_field
        assert said is not None
        assert rows[name] <= said <= rows[name] + 32


@pytest.mark.parametrize(
    ("stride", "downsample", "expected"),
    [(1, "depthwise", [1, 3, 5, 7]), (2, "strided", [1, 3, 7, 11]), (2, "depthwise", [1, 7, 11, 15])],
)
def test_the_blocks_of_a_module_see_what_the_paper_says(stride: int, downsample: str, expected: list[int]) -> None:
    spec = StdcSpec(depths=(2, 1, 1), downsample=downsample)
    _, stage2, stage3 = analyse(spec).parts[:3]
    module = stage3.parts[0 if stride == 2 else 1]
    before = stage2 if stride == 2 else stage3.parts[0]
    jump = 4 if stride == 2 else 8
    blocks = [part.receptive_field for part in module.parts if part.name.startswith("block")]
    assert [(field - before.receptive_field) // jump + 1 for field in blocks] == expected  # type: ignore[operator]


def test_what_lies_behind_a_global_pooling_sees_the_whole_image() -> None:
    parts = dict(parts_of(analyse(presets["stdc1"]).parts))
    assert parts["decoder.global_context"].receptive_field is None
    assert parts["decoder.global_context"].whole_image
    assert parts["head"].whole_image
    assert not parts["backbone.stages.5"].whole_image
    without = StdcSpec(decoder=DecoderSpec(attention=False, global_context=False))
    assert not dict(parts_of(analyse(without).parts))["decoder.smooth16"].whole_image
    classes = analyse(presets["stdc1"], task="cls").parts[-1]
    assert (classes.name, classes.receptive_field, classes.whole_image) == ("classes", None, True)
