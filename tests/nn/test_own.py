"""A user's own network: built by a function that the command line names, with the promise of every segmenter."""

import sys
from pathlib import Path

import pytest
import torch

from stdc_lab.config.training import TrainConfig, TrainingHeads
from stdc_lab.deploy.folding import folded
from stdc_lab.errors import CheckpointError, ConfigError
from stdc_lab.nn import OwnSegmenter, build_own, find_own, load_checkpoint, strip_heads, title_of
from stdc_lab.nn.checkpoints import read_tensors, save_checkpoint, save_released
from stdc_lab.profiling.own import count_own
from stdc_lab.training.optimiser import make_optimiser
from tests.own_networks import write_own_networks

NONE = TrainingHeads(auxiliary=False, detail_strides=())


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_own_networks(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    return tmp_path


def build(name: str = "build", classes: int = 5) -> OwnSegmenter:
    return build_own(find_own(f"own_models:{name}"), classes, NONE, seed=3)


@pytest.mark.parametrize("name", ["build", "at_full_size", "with_output"])
def test_logits_come_at_the_size_of_the_images(name: str) -> None:
    network = build(name).eval()
    with torch.inference_mode():
        output = network(torch.randn(2, 3, 66, 98))
    assert output.logits.shape == (2, 5, 66, 98)
    assert (output.auxiliary, output.details) == ((), ())


def test_smaller_logits_come_up_bilinearly_and_others_as_they_are() -> None:
    images = torch.randn(1, 3, 64, 96)
    small, full = build().eval(), build("at_full_size").eval()
    with torch.inference_mode():
        up = torch.nn.functional.interpolate(small.network(images), (64, 96), mode="bilinear", align_corners=False)
        assert torch.equal(small(images).logits, up)
        assert torch.equal(full(images).logits, full.network(images))


def test_auxiliary_logits_count_while_it_trains() -> None:
    output = build("with_output").train()(torch.randn(2, 3, 64, 96))
    assert [one.shape for one in output.auxiliary] == [(2, 5, 64, 96)]


def test_a_seed_gives_the_same_weights_and_leaves_the_stream_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second = build().state_dict(), build().state_dict()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_step_trains_every_parameter_at_one_rate() -> None:
    network = build()
    optimiser = make_optimiser(network, TrainConfig(heads=NONE), fast_rate_factor=10)
    assert {group["lr"] for group in optimiser.param_groups} == {TrainConfig().learning_rate}
    torch.autograd.backward(network(torch.randn(2, 3, 32, 32)).logits.square().mean())
    assert all(one.grad is not None for one in network.parameters())
    optimiser.step()


def test_norms_fold_and_nothing_changes() -> None:
    network, images = build().eval(), torch.randn(1, 3, 64, 96)
    quick = folded(network, images)
    assert sum(isinstance(one, torch.nn.BatchNorm2d) for one in quick.modules()) == 0
    with torch.inference_mode():
        assert torch.allclose(quick(images).logits, network(images).logits, atol=1e-5)


def test_it_is_counted_as_it_runs() -> None:
    found = count_own(build(), (64, 96))
    macs = 32 * 48 * 8 * 27 + 16 * 24 * 5 * 72
    assert (found.macs, found.counters.torch, found.counters.theory) == (macs, macs, None)
    assert found.num_params == sum(one.numel() for one in build().parameters())
    assert (found.arch, found.arch_id, found.activations) == (None, None, None)
    assert [(one.name, one.output_channels, one.output_size) for one in found.stages] == [("network", 5, (16, 24))]


def test_a_checkpoint_is_read_only_where_its_network_is_asked_for(here: Path) -> None:
    path, network = here / "own.pt", build()
    save_checkpoint(path, strip_heads(network), {})
    assert read_tensors(path)["own_network"] == "own_models:build"
    found = load_checkpoint(path, find_own("own_models:build")).network
    assert isinstance(found, OwnSegmenter) and title_of(found) == "network own_models:build"
    state = network.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in found.state_dict().items())
    del sys.modules["own_models"]
    with pytest.raises(CheckpointError, match=r"runs only when it is asked for: --network own_models:build"):
        load_checkpoint(path)
    assert "own_models" not in sys.modules
    with pytest.raises(CheckpointError, match=r"own network own_models:build, not own_models:at_full_size"):
        load_checkpoint(path, find_own("own_models:at_full_size"))
    with pytest.raises(CheckpointError, match="no checkpoint of a network own_models:build was released"):
        save_released(here / "released.pth", network)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_models", r"got 'own_models'; allowed: MODULE:FUNCTION, such as mymodels:build"),
        ("own models:build", r"allowed: MODULE:FUNCTION"),
        ("nowhere_at_all:build", r"there is no module nowhere_at_all; allowed: a module of the current folder"),
        ("own_models:nothing", r"own_models has no function nothing"),
        ("own_models:NUMBER", r"own_models has int, no function, NUMBER"),
        ("own_broken:build", r"own_broken cannot be imported: ZeroDivisionError: division by zero \(own_broken.py:1\)"),
        ("own_lacking:build", r"own_lacking cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("own_models:fails", r"own_models:fails\(5\) failed: ValueError: five is too many \(own_models.py:\d+\)"),
        ("own_models:no_module", r"own_models:no_module gave int; allowed: a torch.nn.Module"),
        ("own_models:one_more", r"one_more answers with 1×6×16×24; allowed: logits 1×5×height×width"),
        ("own_models:classes_only", r"classes_only answers with 1×16×24 of int64; allowed"),
        ("own_models:class_map", r"class_map answers with 1×5×16×24 of int64; allowed"),
        ("own_models:dictionary", r"dictionary answers with dict; allowed"),
        ("own_models:no_answer", r"no answer to an image 1×3×64×96: RuntimeError: "),
    ],
)
def test_what_is_no_network_is_refused_in_one_message(path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"--network: .*{message}"):
        build_own(find_own(path), 5)


def test_training_heads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"training heads for own_models:build, which has none; allowed: train.heads"):
        build_own(find_own("own_models:build"), 5, TrainingHeads())
