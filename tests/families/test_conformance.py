"""What every family must keep: graph and network are one, and everything that a network goes through works on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from stdc_lab.arch import ArchSpec, analyse, total_cost
from stdc_lab.arch.costs import cost_of, operations
from stdc_lab.config.reading import read_study, read_value
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.deploy.folding import folded, settle_norms
from stdc_lab.deploy.graph import Logits
from stdc_lab.nn import Segmenter, build_model, strip_heads
from stdc_lab.nn.checkpoints import load_checkpoint, save_checkpoint
from stdc_lab.profiling.counters import count_macs
from stdc_lab.training.optimiser import make_optimiser
from tests.arch.sketches import sketch
from tests.arch.test_operations import assert_runs
from tests.families.drawn import DRAWN, SMALL

EXAMPLES = 15
SIZES = st.tuples(st.integers(32, 300), st.integers(32, 300))


def heads_of(spec: ArchSpec, auxiliary: bool, chosen: set[int]) -> TrainingHeads:
    strides = tuple(sorted(chosen & spec.detail_widths.keys()))
    return TrainingHeads(auxiliary=auxiliary, detail_strides=strides)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", DRAWN)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), SIZES, st.integers(2, 20), st.booleans(), st.sets(st.sampled_from([2, 4, 8, 16])))
def test_the_graph_is_the_network_that_runs(
    family: str, data: st.DataObject, size: tuple[int, int], classes: int, auxiliary: bool, strides: set[int]
) -> None:
    spec = data.draw(DRAWN[family])
    heads = heads_of(spec, auxiliary, strides)
    network = sketch(build_model, spec, classes, heads)
    options: dict[str, Any] = {"auxiliary": auxiliary, "detail_strides": heads.detail_strides}
    done = operations(spec, size, classes, **options)
    assert_runs(done, network, size)
    cost = analyse(spec, size, classes, **options).cost
    assert cost == total_cost(spec, size, classes, **options)
    assert cost.num_params == sum(one.numel() for one in network.parameters())
    assert cost.macs == executed_macs(network, size)
    deployed = strip_heads(network)
    parts = operations(spec, size, classes)
    for name, module in deployed.parts().items():
        assert (name, cost_of(parts, name).num_params) == (name, sum(one.numel() for one in module.parameters()))


def executed_macs(network: nn.Module, size: tuple[int, int]) -> int:
    counts: list[int] = []

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        counts.append(output.numel() * module.weight[0].numel())

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 3, *size, device="meta"))
    return sum(counts)


@pytest.mark.parametrize("family", DRAWN)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_spec_survives_being_written_down(family: str, data: st.DataObject) -> None:
    spec = data.draw(DRAWN[family])
    again = ArchSpec.from_dict(spec.to_dict())
    assert (again, again.arch_id, again.replace()) == (spec, spec.arch_id, spec)
    assert all(title and text for title, text in spec.facts())


@pytest.mark.parametrize("name", SMALL)
class TestOneOfEach:
    """Each step that a network goes through, on a small one."""

    def network(self, name: str, heads: TrainingHeads | None = None) -> Segmenter:
        torch.manual_seed(0)
        network = build_model(SMALL[name], 5, heads)
        settle_norms(network, torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
        return network

    def test_logits_have_the_size_of_the_images(self, name: str) -> None:
        with torch.inference_mode():
            assert self.network(name)(torch.randn(2, 3, 65, 97)).logits.shape == (2, 5, 65, 97)

    def test_every_counter_is_accounted_for(self, name: str) -> None:
        counted = count_macs(self.network(name), (64, 96))
        assert [(one.counter, one.unaccounted) for one in counted.accounts] == [
            (one.counter, 0) for one in counted.accounts
        ]

    def test_folded_norms_change_no_logit(self, name: str) -> None:
        network = self.network(name)
        images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            plain, quick = network(images).logits, folded(network)(images).logits
        assert (plain - quick).abs().max() < 1e-4 * plain.abs().max()

    def test_a_checkpoint_gives_the_same_network(self, name: str, tmp_path: Path) -> None:
        network = self.network(name, heads_of(SMALL[name], True, {8}))
        save_checkpoint(tmp_path / "network.pt", network, {})
        again = load_checkpoint(tmp_path / "network.pt").network
        assert isinstance(again, Segmenter)
        assert (again.spec, again.heads) == (network.spec, network.heads)
        state = again.state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())

    def test_training_heads_leave_the_logits_alone(self, name: str) -> None:
        network = self.network(name, heads_of(SMALL[name], True, {4, 8}))
        images = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            assert torch.equal(network(images).logits, strip_heads(network)(images).logits)
        assert len(network.auxiliary_heads) == len(SMALL[name].auxiliary_strides)
        assert len(network.detail_heads) == len({4, 8} & SMALL[name].detail_widths.keys())

    def test_a_training_step_reaches_every_parameter(self, name: str) -> None:
        network = self.network(name, heads_of(SMALL[name], True, {8})).train()
        config = TrainConfig(iterations=100, decoder_rate_factor=10)
        optimiser = make_optimiser(network, config, fast_rate_factor=10)
        output = network(torch.randn(2, 3, 64, 64))
        torch.autograd.backward(sum(one.square().mean() for one in (output.logits, *output.auxiliary, *output.details)))
        assert [key for key, one in network.named_parameters() if one.grad is None] == []
        rates = {id(one): group["lr"] for group in optimiser.param_groups for one in group["params"]}
        assert len(rates) == len(list(network.parameters()))
        fast = {id(one) for part in network.fast_parts() for one in part.parameters()}
        assert {round(rates[one] / config.learning_rate) for one in fast} == {10}
        assert {id(one) for one in network.backbone.parameters()}.isdisjoint(fast)
        optimiser.step()

    def test_it_can_be_exported(self, name: str) -> None:
        exported = torch.export.export(Logits(self.network(name)).eval(), (torch.randn(1, 3, 64, 64),))
        images = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            assert torch.allclose(exported.module()(images), Logits(self.network(name)).eval()(images), atol=1e-5)

    def test_a_search_space_reads_back_what_it_chose(self, name: str) -> None:
        spec = SMALL[name]
        for key in type(spec).keys():  # noqa: SIM118
            value = spec.value_at(key)
            if isinstance(value, int) and not isinstance(value, bool):
                assert spec.with_values({key: value}).arch_id == spec.arch_id, key


SPACES = {
    "stdc": {"vary": {"depths": {"type": "stages", "of": {"type": "int", "low": 1, "high": 3}}}},
    "regseg": {
        "base": "regseg",
        "vary": {
            "depths": {"type": "stages", "of": {"type": "int", "low": 1, "high": 3}},
            "dilations": {"type": "choice", "values": [[1, 2, 4], [1, 4, 4, 14]]},
            "group_width": {"type": "choice", "values": [8, 16]},
        },
    },
    "decoders": {
        "vary": {
            "decoder.kind": {"type": "choice", "values": ["bisenet", "pp_liteseg"]},
            "decoder.fusion_width": {
                "type": "choice", "values": [64, 128], "when": {"decoder.kind": "bisenet"}
            },
            "decoder.bins": {
                "type": "choice", "values": [[1], [1, 2, 4]], "when": {"decoder.kind": "pp_liteseg"}
            },
        },
    },
}  # fmt: skip


SHIPPED = ("pp_liteseg.yaml", "regseg.yaml", "decoders.yaml")
REPOSITORY = Path(__file__).parents[2]


def test_the_study_of_all_families_is_one_front_in_the_runtime_that_ships() -> None:
    study = read_study(REPOSITORY / "studies" / "camvid_families.yaml")
    assert [spec.family for spec in study.known_networks.values()] == ["stdc", "stdc", "regseg"]
    assert (study.space.name, study.latency.runtime, study.latency.batch) == ("decoders", "onnxruntime", 1)


@pytest.mark.parametrize("name", [*SPACES, *SHIPPED])
def test_a_space_finds_each_of_its_points_again(name: str) -> None:
    if name in SHIPPED:
        space = read_value(REPOSITORY / "search_spaces" / name, SearchSpace)
    else:
        space = SearchSpace.model_validate({"name": "space", **SPACES[name]})
    train = TrainConfig()
    found = {str(sorted(point.items())): point for point in space.samples()}
    assert len(found) >= 4
    ids = set()
    for point in found.values():
        spec = space.spec_of(point)
        read = space.parameters_of(spec, train)
        assert read is not None
        assert read.keys() == point.keys()
        ids.add(spec.arch_id)
    assert len(ids) == len(found)


def test_distinct_families_have_distinct_identities() -> None:
    assert len({spec.arch_id for spec in SMALL.values()}) == len(SMALL)
    assert np.all([ArchSpec.from_dict(spec.to_dict()).family == spec.family for spec in SMALL.values()])
