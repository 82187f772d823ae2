import numpy as np
import pytest
import torch

from stdc_lab.arch import ArchSpec, DecoderSpec, presets
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import StdcLabError
from stdc_lab.nn import build_model, load_released
from tests.nn.released_weights import reference, released_state


def relative_error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    stored = ours.detach().numpy()
    stored = stored[..., ::4, ::4] if stored.shape[-1] > 8 else stored
    return float(np.linalg.norm(stored - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize("name", ["stdc1", "stdc2"])
def test_agrees_with_the_released_network(name: str) -> None:
    network = build_model(presets[name], 19, TrainingHeads(auxiliary=True, detail_strides=(8,))).eval()
    load_released(network, released_state(f"{name}_seg"))
    images, outputs = reference(f"{name}_seg")
    with torch.inference_mode():
        answer = network(images)
    ours = [answer.logits, *answer.auxiliary, *answer.details]
    assert [relative_error(a, b) < 1e-4 for a, b in zip(ours, outputs.values(), strict=True)] == [True] * 4


def test_the_inference_graph_gives_the_same_logits_and_holds_no_training_heads() -> None:
    state = released_state("stdc1_seg")
    images, outputs = reference("stdc1_seg")
    network = build_model(presets["stdc1"], 19).eval()
    load_released(network, state)
    with torch.inference_mode():
        answer = network(images)
    assert relative_error(answer.logits, outputs["out0"]) < 1e-4
    assert answer.auxiliary == () and answer.details == ()


@pytest.mark.parametrize(("name", "parameters"), [("stdc1", 8_275_104), ("stdc2", 12_305_568)])
def test_parameters_of_the_deployed_network(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_model(presets[name], 19)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(32, 32), (101, 203), (64, 96)])
def test_outputs_have_the_size_of_the_image_and_of_their_stage(size: tuple[int, int]) -> None:
    spec = ArchSpec(base_width=8, depths=(1, 2, 1), num_blocks=3, kernels=(1, 5, 3), channel_ratio=1.0)
    network = build_model(spec, 5, TrainingHeads(detail_strides=(2, 4, 8, 16))).eval()
    with torch.inference_mode():
        answer = network(torch.randn(2, 3, *size))
    assert [tuple(t.shape) for t in (answer.logits, *answer.auxiliary)] == [(2, 5, *size)] * 3
    strides = (2, 4, 8, 16)
    assert [tuple(t.shape) for t in answer.details] == [(2, 1, -(-size[0] // s), -(-size[1] // s)) for s in strides]


def test_every_parameter_of_the_training_form_gets_a_gradient() -> None:
    spec = ArchSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 32, 16))
    network = build_model(spec, 3, TrainingHeads(detail_strides=(4, 8)))
    answer = network(torch.randn(2, 3, 64, 64))
    sum(t.square().mean() for t in (answer.logits, *answer.auxiliary, *answer.details)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_a_checkpoint_of_another_network_is_refused_and_changes_nothing() -> None:
    network = build_model(presets["stdc2"], 19)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(
        StdcLabError, match=r"does not fit this architecture: cp\.backbone\.features\.\d+.*and \d+ more"
    ):
        load_released(network, released_state("stdc1_seg"))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("classes", [0, 1, -3, 2.5, True])
def test_too_few_classes(classes: object) -> None:
    with pytest.raises(StdcLabError, match=r"num_classes: got .*; allowed: a whole number from 2"):
        build_model(presets["stdc1"], classes)  # type: ignore[arg-type]
