"""The families beside STDC against outputs of their authors' own code, by the rules of tests/nn/parity/README.md."""

import json
import zlib

import numpy as np
import pytest
import torch

from stdc_lab import build_model, load_released, presets, total_cost
from stdc_lab.arch import ArchSpec
from stdc_lab.errors import CheckpointError
from stdc_lab.nn.released_forms import released_form
from tests.nn.released_weights import PARITY, reference, values_of

CHANNEL = presets["pp_liteseg_t"].replace(decoder={"attention": "channel"})
NETWORKS: dict[str, ArchSpec] = {
    **{name: presets[name] for name in ("regseg", "regseg_large", "pp_liteseg_t", "pp_liteseg_b")},
    "pp_liteseg_t_channel": CHANNEL,
}


def stored_state(name: str) -> dict[str, torch.Tensor]:
    keys = json.loads((PARITY / f"{name}_keys.json").read_text())
    return {key: family_value(key, tuple(shape)) for key, shape in keys.items()}


def family_value(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    if key.endswith("_scale"):
        return torch.ones(shape)
    if key.endswith(("_mean", "_variance")):
        drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
        drawn = np.exp(0.2 * drawn) if key.endswith("_variance") else 0.1 * drawn
        return torch.from_numpy(np.asarray(drawn, np.float32))
    return values_of(key, shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_released_code(name: str) -> None:
    spec, state = NETWORKS[name], stored_state(name)
    images, outputs = reference(name)
    network = build_model(spec, outputs["out0"].shape[1]).eval()
    report = load_released(network, state)
    assert report.used + len(report.skipped) == len(state)
    with torch.inference_mode():
        logits = network(images).logits[..., ::4, ::4].numpy()
    error = np.linalg.norm(logits - outputs["out0"]) / np.linalg.norm(outputs["out0"])
    assert error < 1e-4


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("regseg", 3_334_951, 9_588_649_728),
        ("regseg_large", 6_131_579, 21_614_575_648),
        ("pp_liteseg_t", 8_028_320, 11_421_139_968),
        ("pp_liteseg_b", 12_234_752, 19_227_526_144),
    ],
)
def test_costs_are_those_of_the_released_code(name: str, params: int, macs: int) -> None:
    assert total_cost(presets[name], (512, 1024), 19)[:2] == (params, macs)


@pytest.mark.parametrize(("name", "params"), [("pp_liteseg_t", 8_141_600), ("pp_liteseg_b", 12_366_464)])
def test_parameters_with_every_training_head(name: str, params: int) -> None:
    assert total_cost(presets[name], auxiliary=True).num_params == params


@pytest.mark.parametrize("name", NETWORKS)
def test_every_key_goes_out_as_it_came_in(name: str) -> None:
    spec, state = NETWORKS[name], stored_state(name)
    form = released_form(spec)
    network = build_model(spec, form.classes_of(state) or 0, form.every_head)
    load_released(network, state)
    written, restored = form.state_of(network)
    assert restored == ()
    assert written.keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in written.items())


def test_a_deployed_network_goes_out_with_its_training_heads_restored() -> None:
    spec, state = NETWORKS["pp_liteseg_t"], stored_state("pp_liteseg_t")
    network = build_model(spec, 19)
    load_released(network, state)
    written, restored = released_form(spec).state_of(network)
    assert written.keys() == state.keys()
    assert {key.split(".")[1] for key in restored} == {"1", "2"}
    assert all(torch.equal(written[key], state[key]) for key in state if key not in restored)


def test_a_file_of_another_network_is_refused_by_name() -> None:
    state = stored_state("regseg")
    with pytest.raises(CheckpointError, match=r"of this architecture: .* expected seg_heads.0.conv_out.weight"):
        load_released(build_model(presets["pp_liteseg_t"], 19), state)
    del state["stem.conv.weight"]
    with pytest.raises(CheckpointError, match=r"does not fit this architecture: missing: stem.conv.weight"):
        load_released(build_model(presets["regseg"], 19), state)
