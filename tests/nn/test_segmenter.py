import pytest
import torch
from torch.nn import functional

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn import build_classifier, build_model, deployed_view, strip_heads
from stdc_lab.nn.families.stdc import StdcModule


@pytest.mark.parametrize(("name", "parameters"), [("stdc1", 8_275_104), ("stdc2", 12_305_568)])
def test_parameters_of_the_deployed_network(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_model(presets[name], 19)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(32, 32), (101, 203), (64, 96)])
def test_outputs_have_the_size_of_the_image_and_of_their_stage(size: tuple[int, int]) -> None:
    spec = StdcSpec(base_width=8, depths=(1, 2, 1), num_blocks=3, kernels=(1, 5, 3), channel_ratio=1.0)
    network = build_model(spec, 5, TrainingHeads(detail_strides=(2, 4, 8, 16))).eval()
    with torch.inference_mode():
        answer = network(torch.randn(2, 3, *size))
    assert [tuple(t.shape) for t in (answer.logits, *answer.auxiliary)] == [(2, 5, *size)] * 3
    strides = (2, 4, 8, 16)
    assert [tuple(t.shape) for t in answer.details] == [(2, 1, -(-size[0] // s), -(-size[1] // s)) for s in strides]


def test_every_parameter_of_the_training_form_gets_a_gradient() -> None:
    spec = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 32, 16))
    network = build_model(spec, 3, TrainingHeads(detail_strides=(4, 8)))
    answer = network(torch.randn(2, 3, 64, 64))
    sum(t.square().mean() for t in (answer.logits, *answer.auxiliary, *answer.details)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("classes", [0, 1, -3, 2.5, True])
def test_too_few_classes(classes: object) -> None:
    for build in (build_model, build_classifier):
        with pytest.raises(StdcLabError, match=r"num_classes: got .*; allowed: a whole number from 2"):
            build(presets["stdc1"], classes)  # type: ignore[operator]


VARIANTS = {
    "as released": {},
    "strided": {"downsample": "strided"},
    "add": {"fusion": "add"},
    "add, strided": {"fusion": "add", "downsample": "strided"},
    "two convolutions in the stem": {"stem_depths": (2, 2)},
    "conv_last": {"conv_last": True},
    "no attention": {"decoder": DecoderSpec(16, 32, 16, attention=False)},
    "no global context": {"decoder": DecoderSpec(16, 32, 16, global_context=False)},
    "neither": {"decoder": DecoderSpec(16, 32, 16, attention=False, global_context=False)},
    "spatial path": {"decoder": DecoderSpec(16, 32, 16, spatial_path=True)},
    "bilinear": {"decoder": DecoderSpec(16, 32, 16, interpolation="bilinear")},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_trains_in_all_its_parameters(variant: dict) -> None:
    small = {"base_width": 8, "depths": (1, 2, 1), "decoder": DecoderSpec(16, 32, 16)}
    torch.manual_seed(0)
    network = build_model(StdcSpec(**{**small, **variant}), 3, TrainingHeads(detail_strides=(2,)))
    images = torch.randn(2, 3, 65, 97)
    answer = network(images)
    assert answer.logits.shape == (2, 3, 65, 97)
    sum(t.square().mean() for t in (answer.logits, *answer.auxiliary, *answer.details)).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_interpolation_is_what_it_says() -> None:
    spec = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 32, 16))
    nearest = build_model(spec, 3).eval()
    bilinear = build_model(spec.replace(decoder={"interpolation": "bilinear"}), 3).eval()
    bilinear.load_state_dict(nearest.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(nearest(images).logits, bilinear(images).logits)
        ramp, large = torch.tensor([[[[0.0, 1.0]]]]), torch.zeros(1, 1, 1, 5)
        assert nearest.decoder.smooth32.enlarged(ramp, large).flatten().tolist() == [0, 0, 0, 1, 1]
        assert bilinear.decoder.smooth32.enlarged(ramp, large).flatten().tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_strided_module_is_the_one_that_the_paper_draws() -> None:
    module = StdcModule(6, (4, 2, 2), (1, 3, 3), stride=2, downsample="strided").eval()
    x = torch.randn(1, 6, 9, 12)
    one, two, three = module.blocks
    with torch.inference_mode():
        by_hand = torch.cat([functional.avg_pool2d(one(x), 3, 2, 1), two(one(x)), three(two(one(x)))], dim=1)
        assert torch.equal(module(x), by_hand)
    assert two.conv.stride == (2, 2)
    assert by_hand.shape == (1, 8, 5, 6)
    assert [p.shape for name, p in module.named_parameters() if name.endswith("conv.weight")] == [
        (4, 6, 1, 1),
        (2, 4, 3, 3),
        (2, 2, 3, 3),
    ]


def test_a_strided_residual_has_no_depthwise_convolution() -> None:
    module = StdcModule(6, (4, 2, 2), (1, 3, 3), stride=2, fusion="add", downsample="strided").eval()
    plain = StdcModule(6, (4, 2, 2), (1, 3, 3), stride=2, downsample="strided").eval()
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("residual")})
    x = torch.randn(1, 6, 9, 12)
    with torch.inference_mode():
        residual = module.residual.wider(functional.avg_pool2d(x, 3, 2, 1))
        assert torch.allclose(module(x), plain(x) + residual)
    assert all(m.groups == 1 for m in module.modules() if isinstance(m, torch.nn.Conv2d))


def test_the_stages_of_a_residual_network_without_halving_add_the_input_itself() -> None:
    module = StdcModule(8, (4, 2, 2), (1, 3, 3), stride=1, fusion="add").eval()
    plain = StdcModule(8, (4, 2, 2), (1, 3, 3), stride=1).eval()
    plain.load_state_dict(module.state_dict())
    x = torch.randn(1, 8, 6, 5)
    with torch.inference_mode():
        assert torch.equal(module(x), plain(x) + x)


def test_stripping_heads_leaves_the_training_form_as_it_was() -> None:
    network = build_model(StdcSpec(base_width=8, depths=(1, 1, 1)), 3, TrainingHeads(detail_strides=(2, 16))).eval()
    images = torch.randn(1, 3, 64, 64)
    deployed = strip_heads(network)
    with torch.inference_mode():
        before, after = network(images), deployed(images)
    assert torch.equal(before.logits, after.logits)
    assert (len(before.auxiliary), len(before.details)) == (2, 2)
    assert (after.auxiliary, after.details, deployed.heads) == ((), (), None)
    assert not any("heads" in name for name in deployed.state_dict())
    with torch.no_grad():
        deployed.head.classes.weight.zero_()
    assert network.head.classes.weight.any()


def test_a_deployed_view_has_the_same_layers_and_follows_them() -> None:
    network = build_model(StdcSpec(base_width=8, depths=(1, 1, 1)), 3, TrainingHeads(detail_strides=(2, 16))).eval()
    images = torch.randn(1, 3, 64, 64)
    view = deployed_view(network)
    own = dict(network.named_parameters())
    assert all(own[name] is parameter for name, parameter in view.named_parameters())
    with torch.inference_mode():
        whole, answer = network(images), view(images)
    assert torch.equal(answer.logits, whole.logits)
    assert (answer.auxiliary, answer.details, view.heads) == ((), (), None)
    assert (len(whole.auxiliary), len(whole.details), network.heads) == (2, 2, TrainingHeads(detail_strides=(2, 16)))
    with torch.no_grad():
        network.head.classes.weight.zero_()
    assert not view(images).logits.any()


def test_logits_are_enlarged_in_float32_whatever_the_network_computes_in() -> None:
    torch.manual_seed(0)
    network = build_model(StdcSpec(base_width=8, depths=(1, 1, 1)), 5).eval()
    small: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: small.append(output))
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = network(images).logits
    with torch.inference_mode():
        cast = network.to(torch.bfloat16)(images.bfloat16()).logits
    for found, low in zip((logits, cast), small, strict=True):
        assert (low.dtype, found.dtype) == (torch.bfloat16, torch.float32)
        wanted = functional.interpolate(low.float(), (64, 96), mode="bilinear", align_corners=True)
        assert torch.equal(found, wanted)
        rounded = functional.interpolate(low, (64, 96), mode="bilinear", align_corners=True)
        assert not torch.equal(rounded.float(), wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_enlarged_in_float32_on_a_gpu_too(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = build_model(StdcSpec(base_width=8, depths=(1, 1, 1)), 5).eval().to("cuda")
    small: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: small.append(output))
    with torch.inference_mode(), torch.autocast("cuda", dtype):
        logits = network(torch.randn(1, 3, 64, 96, device="cuda")).logits
    (low,) = small
    assert (low.dtype, logits.dtype) == (dtype, torch.float32)
    wanted = functional.interpolate(low.float(), (64, 96), mode="bilinear", align_corners=True)
    torch.testing.assert_close(logits, wanted)


def test_initial_weights_are_drawn_as_the_released_code_draws_them() -> None:
    torch.manual_seed(0)
    network = build_model(presets["stdc1"], 19)
    conv = network.backbone.stages["5"][1].blocks[1].conv.weight
    assert conv.std().item() == pytest.approx((2 / (conv.shape[0] * 9)) ** 0.5, rel=0.02)
    head = network.head.conv.conv.weight
    assert head.std().item() == pytest.approx((1 / (head.shape[1] * 9)) ** 0.5, rel=0.02)
    classifier = build_classifier(presets["stdc1"])
    assert classifier.hidden.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert classifier.classes.weight.std().item() == pytest.approx(0.001, rel=0.02)
    norms = [m for m in classifier.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(torch.all(m.weight == 1) and torch.all(m.bias == 0) for m in norms)
