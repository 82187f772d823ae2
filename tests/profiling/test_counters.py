"""Counters against theory: every difference by name, from the spec and the counter's rules, down to zero."""

import os
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec, presets, total_cost
from stdc_lab.arch.graph import Operation
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy.graph import Logits
from stdc_lab.errors import StdcLabError
from stdc_lab.nn import Classifier, Segmenter, build_classifier, build_model
from stdc_lab.profiling import accounting, profile
from stdc_lab.profiling.accounting import RULES, Rule, account
from stdc_lab.profiling.counters import by_fvcore, count_macs, operations_of
from stdc_lab.profiling.published import count_released_form, published_account
from stdc_lab.records import CounterAccount
from tests.arch.strategies import specs

EXAMPLES = int(os.environ.get("STDC_LAB_EXAMPLES", "50"))
ALL_HEADS = TrainingHeads(detail_strides=(2, 4, 8, 16))
SMALL = StdcSpec(base_width=8, depths=(1, 2, 1), kernels=(1, 5, 3, 3), decoder=DecoderSpec(16, 32, 16))
OPERATORS = {
    "average pooling": "aten::avg_pool2d",
    "sigmoid": "aten::sigmoid",
    "product": "aten::mul",
    "sum": "aten::add",
    "square": "aten::square",
    "global mean": "aten::mean",
}
some_heads = st.one_of(
    st.none(),
    st.builds(
        TrainingHeads,
        auxiliary=st.booleans(),
        detail_strides=st.sets(st.sampled_from([2, 4, 8, 16])).map(lambda strides: tuple(sorted(strides))),
    ),
)


def of(accounts: tuple[CounterAccount, ...], counter: str) -> CounterAccount:
    return next(account for account in accounts if account.counter == counter)


def named(account: CounterAccount) -> dict[str, int]:
    return {row.name: row.count for row in account.rows}


def assert_closes(network: Segmenter | Classifier, size: tuple[int, int]) -> None:
    counted = count_macs(network, size)
    left = {account.counter: account.unaccounted for account in counted.accounts}
    assert left == {"torch": 0, "fvcore": 0, "thop": 0}
    assert counted.counters.torch == counted.counters.theory
    assert counted.counters.fvcore == of(counted.accounts, "fvcore").total
    assert counted.counters.thop == of(counted.accounts, "thop").total


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a smaller example would be as hard to understand
)
@given(specs(), st.tuples(st.integers(32, 70), st.integers(32, 70)), st.integers(2, 30), st.booleans(), some_heads)
def test_the_accounting_closes(
    spec: ArchSpec, size: tuple[int, int], classes: int, classifier: bool, heads: TrainingHeads | None
) -> None:
    assert_closes(build_classifier(spec, classes) if classifier else build_model(spec, classes, heads), size)


@pytest.mark.parametrize(
    ("name", "torch_flops", "fvcore", "thop"),
    [
        ("stdc1", 33_726_267_392, 16_960_848_640, 16_972_187_136),
        ("stdc2", 46_913_159_168, 23_570_023_168, 23_597_090_304),
    ],
)
def test_the_papers_segmenters(name: str, torch_flops: int, fvcore: int, thop: int) -> None:
    result = profile(presets[name], timed=False)
    assert {a.counter: (a.total, a.unaccounted) for a in result.accounts} == {
        "torch": (torch_flops, 0),
        "fvcore": (fvcore, 0),
        "thop": (thop, 0),
    }
    # Elements of batch norms, and with 19 classes the logits that go up to the image's size.
    rows = {row.name: row for row in of(result.accounts, "fvcore").rows}
    assert (rows["bilinear upsampling"].times, rows["bilinear upsampling"].elements) == (4, 19 * 512 * 1024)
    assert rows["nearest upsampling"].elements == 128 * (32 * 64 + 64 * 128)
    assert rows["global pooling"].elements == 1024 * 16 * 32 + 128 * (16 * 32 + 32 * 64) + 256 * 64 * 128


@pytest.mark.parametrize(
    ("name", "fvcore", "thop", "released", "published", "below_a_million"),
    [
        ("stdc1", 810_182_144, 814_472_192, 3_096_979_456, 813, 812_817_408),
        ("stdc2", 1_442_700_800, 1_448_496_128, 5_633_075_200, 1446, 1_446_088_704),
    ],
)
def test_the_papers_classifiers(
    name: str, fvcore: int, thop: int, released: int, published: int, below_a_million: int
) -> None:
    result = profile(presets[name], task="cls", timed=False, latency=LatencyConfig(size=(224, 224)))
    assert {a.counter: (a.total, a.unaccounted) for a in result.accounts} == {
        "torch": (2 * result.macs, 0),
        "fvcore": (fvcore, 0),
        "thop": (thop, 0),
    }
    assert result.released_form is not None
    assert (result.released_form.total, result.released_form.unaccounted) == (released, 0)
    assert result.published is not None
    assert result.published.total == published * 10**6
    assert result.published.total - result.published.unaccounted == below_a_million
    assert result.published.closes


def test_no_other_network_was_published() -> None:
    assert published_account(presets["stdc1"], (224, 224), 10) is None
    assert published_account(presets["stdc1"], (512, 1024), 1000) is None
    assert published_account(presets["stdc1_add"], (224, 224), 1000) is None


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.tuples(st.integers(32, 130), st.integers(32, 130)))
def test_modules_registered_twice_are_counted_four_times(spec: ArchSpec, size: tuple[int, int]) -> None:
    network = build_classifier(spec, 7)
    assert count_released_form(network, size).unaccounted == 0
    form, images = network.released_form().eval(), torch.rand(1, 3, *size)
    with torch.inference_mode():
        assert torch.allclose(form(images), network.eval()(images), atol=1e-6)


def test_our_networks_have_no_bias_and_register_nothing_twice() -> None:
    for name in ("stdc1", "stdc2_spatial_path", "stdc1_add", "stdc1_strided"):
        spec = presets[name]
        with torch.device("meta"):
            networks = [build_model(spec, 19, ALL_HEADS), build_classifier(spec)]
        for network in networks:
            layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
            assert all(layer.bias is None for layer in layers)
            assert len(list(network.named_modules(remove_duplicate=False))) == len(list(network.modules()))


@pytest.mark.parametrize("network", [build_model(SMALL, 5), build_classifier(SMALL, 5)], ids=["seg", "cls"])
def test_what_fvcore_has_no_rule_for_is_what_theory_says(network: Segmenter | Classifier) -> None:
    missed = count_macs(network, (64, 96)).not_counted["fvcore"]
    runs = Counter(operation.kind for operation in operations_of(network, (64, 96)))
    assert missed == {operator: runs[kind] for kind, operator in OPERATORS.items() if runs[kind]}  # type: ignore[index]


def test_what_thop_does_not_see() -> None:
    missed = count_macs(build_classifier(SMALL, 5), (64, 96)).not_counted["thop"]
    assert missed == {"concatenation (function)": 4, "square (function)": 1, "global mean (function)": 1}


# --- training heads -----------------------------------------------------------------------------------------------


def test_training_heads_are_run_and_dropped_by_tracing() -> None:
    result = profile(presets["stdc1"], heads=ALL_HEADS, timed=False, latency=LatencyConfig(size=(64, 128)))
    training = result.training
    assert training is not None
    cost = total_cost(presets["stdc1"], (64, 128), 19, auxiliary=True, detail_strides=(2, 4, 8, 16))
    assert (training.num_params, training.macs, training.activations) == cost
    assert [part.name for part in training.head_costs] == [
        *(f"auxiliary head at 1/{stride}" for stride in (8, 16)),
        *(f"detail head at 1/{stride}" for stride in (2, 4, 8, 16)),
    ]
    assert sum(part.macs for part in training.head_costs) == training.macs - result.macs
    assert sum(part.num_params for part in training.head_costs) == training.num_params - result.num_params
    assert {account.unaccounted for account in training.accounts} == {0}
    # A traced count is that of the deployed network, and says nothing of what runs.
    assert training.counters.fvcore == result.counters.fvcore
    fvcore = named(of(training.accounts, "fvcore"))
    for part in training.head_costs:
        assert fvcore[f"dropped: {part.name}"] == -part.macs
    assert named(of(training.accounts, "thop"))["batch norm"] > named(of(result.accounts, "thop"))["batch norm"]
    assert training.peak_activations >= (result.peak_activations or 0)


class Returned(nn.Module):
    """What the released network returns with detail guidance at 1/8: main and auxiliary logits, and those details."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        output = self.network(images)
        return (output.logits, *output.auxiliary, output.details[2])


@pytest.mark.parametrize(("name", "fvcore_gmacs"), [("stdc1", 19.02), ("stdc2", 25.63)])
def test_fvcore_on_what_the_released_network_returns(name: str, fvcore_gmacs: float) -> None:
    network = build_model(presets[name], 19, ALL_HEADS).eval()
    total, _ = by_fvcore(Returned(network), torch.zeros(1, 3, 512, 1024))
    dropped = [f"detail head at 1/{stride}" for stride in (2, 4, 16)]
    counted = account("fvcore", operations_of(network, (512, 1024)), total, dropped=dropped)
    assert counted.unaccounted == 0
    assert round(total / 1e9, 2) == fvcore_gmacs


def test_a_classifier_has_no_training_heads() -> None:
    with pytest.raises(StdcLabError, match="heads: training heads belong to the segmenter"):
        profile(SMALL, task="cls", heads=TrainingHeads(), timed=False)


# --- parts --------------------------------------------------------------------------------------------------------


def test_parts_go_as_deep_as_asked() -> None:
    config = LatencyConfig(size=(64, 96))
    stages, modules, blocks = (
        profile(SMALL, num_classes=5, latency=config, timed=False, depth=depth).stages for depth in (1, 2, 3)
    )
    assert not any(part.parts for part in stages)
    assert [part.name for part in modules[3].parts] == ["module 1", "module 2"]
    assert not modules[3].parts[0].parts
    assert [part.name for part in blocks[3].parts[1].parts] == [f"block {number}" for number in range(1, 5)]
    for part in blocks:
        assert part.macs == sum(inner.macs for inner in part.parts) or not part.parts
        assert all((part.peak_activations or 0) >= (inner.peak_activations or 0) for inner in part.parts)


# --- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(31, 64), (64, 8), (64.0, 64), ("64", "64"), (64,), (True, 64), (-64, 64)])
def test_a_size_that_is_none(size: tuple[int, int]) -> None:
    with pytest.raises(StdcLabError, match=r"size: got .*; allowed: height and width, whole numbers from 32"):
        count_macs(build_model(SMALL, 5), size)


def test_a_counter_with_other_rules_does_not_close(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {**RULES, "fvcore": {**RULES["fvcore"], "batch norm": Rule(1)}}
    monkeypatch.setattr(accounting, "RULES", rules)
    network = build_model(SMALL, 5)
    fvcore = of(count_macs(network, (64, 64)).accounts, "fvcore")
    norms = sum(run.output.elements for run in operations_of(network, (64, 64)) if run.kind == "batch norm")
    assert fvcore.unaccounted == norms
    assert not fvcore.closes


def test_an_account_adds_up_or_is_none() -> None:
    done: tuple[Operation, ...] = operations_of(build_model(SMALL, 5), (64, 64))
    good = account("thop", done, 10**9)
    with pytest.raises(ValueError, match="must add up to the total"):
        CounterAccount.model_validate({**good.model_dump(), "unaccounted": 0})


def test_a_profile_survives_json() -> None:
    result = profile(SMALL, num_classes=5, heads=ALL_HEADS, depth=3, timed=False, latency=LatencyConfig(size=(64, 96)))
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_an_inference_graph_gives_the_main_logits_of_either_network() -> None:
    images = torch.zeros(1, 3, 64, 96)
    with torch.inference_mode():
        assert Logits(build_model(SMALL, 5, ALL_HEADS).eval())(images).shape == (1, 5, 64, 96)
        assert Logits(build_classifier(SMALL, 5).eval())(images).shape == (1, 5)
