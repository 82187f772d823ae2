import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec, presets
from stdc_lab.config.training import TrainingHeads
from stdc_lab.errors import CheckpointError
from stdc_lab.nn import build_classifier, build_model, load_checkpoint, load_released
from stdc_lab.nn.checkpoints import read_released, save_checkpoint
from tests.nn import released_forward
from tests.nn.released_weights import DEPTHS, SPEC, classifier_shapes, weights


@pytest.fixture(scope="module")
def classifier_state() -> dict[str, torch.Tensor]:
    return weights(classifier_shapes(16, DEPTHS, classes=4))


@pytest.mark.parametrize("zipped", [True, False], ids=["zipped", "before PyTorch 1.6"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_key_of_a_released_file_is_accounted_for(
    segmenter_state: dict[str, torch.Tensor], zipped: bool, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "model_maxmIOU50.pth"
    state = {prefix + key: tensor for key, tensor in segmenter_state.items()}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    network = build_model(SPEC, 3, TrainingHeads(auxiliary=False, detail_strides=(8,))).eval()
    report = load_released(network, path)
    assert report.used + report.second_names + len(report.skipped) == len(segmenter_state)
    assert {key.split(".")[0] for key in report.skipped} == {
        "conv_out16", "conv_out32", "conv_out_sp16", "conv_out_sp4", "conv_out_sp2", "cp"
    }  # fmt: skip
    assert {key.split(".")[2] for key in report.skipped if key.startswith("cp")} == {"conv_last", "fc", "bn", "linear"}
    images = torch.randn(1, 3, 64, 64)
    theirs = released_forward.segmenter(segmenter_state, images, DEPTHS)
    with torch.inference_mode():
        answer = network(images)
    assert torch.allclose(answer.logits, theirs["main"], atol=1e-4)
    assert torch.allclose(answer.details[0], theirs["detail 8"], atol=1e-4)


@pytest.mark.parametrize("zipped", [True, False], ids=["zipped", "before PyTorch 1.6"])
def test_imagenet_weights_stand_under_state_dict_beside_other_things(
    classifier_state: dict[str, torch.Tensor], zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / "STDCNet813M_73.91.tar"
    content = {"state_dict": classifier_state, "epoch": 300, "best": np.float64(73.91), "optimizer": {"lr": 0.1}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    network = build_classifier(SPEC, 4).eval()
    report = load_released(network, path)
    assert [key.rsplit(".", 1)[0] for key in report.skipped] == ["bn"] * 5
    assert report.used + report.second_names + 5 == len(classifier_state)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits = network(images)
    assert torch.allclose(logits, released_forward.classifier(classifier_state, images, DEPTHS), atol=1e-4)


def test_a_file_with_second_names_only_is_as_good(classifier_state: dict[str, torch.Tensor]) -> None:
    first, second = build_classifier(SPEC, 4), build_classifier(SPEC, 4)
    load_released(first, classifier_state)
    load_released(second, {key: t for key, t in classifier_state.items() if not key.startswith("features.")})
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def changed(state: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The state with some keys replaced, added or (None) taken out, under second names too where they have one."""
    result = dict(state)
    for key, tensor in changes.items():
        result.pop(key, None)
        if tensor is not None:
            result[key] = tensor
    return result


CONV = "features.2.conv_list.0.conv.weight"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"x8.0.{CONV[9:]}": torch.zeros(32, 16, 1, 1)}, rf"contradicts itself: x8\.0\.2\S+ differs from {CONV}"),
        ({CONV: None, f"x8.0.{CONV[9:]}": None}, rf"does not fit this architecture: missing: {CONV}$"),
        ({"fc.weight": torch.zeros(3, 4)}, r"of another shape: fc\.weight \(\(3, 4\), not \(1024, 1024\)\)$"),
        ({"features.2.extra.weight": torch.zeros(1)}, r"left over: features\.2\.extra\.weight$"),
        ({"ema.decay": torch.zeros(1), "linear.weight": None}, r"missing: linear\.weight\. left over: ema\.decay$"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    classifier_state: dict[str, torch.Tensor], changes: dict[str, torch.Tensor | None], message: str
) -> None:
    network = build_classifier(SPEC, 4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_released(network, changed(classifier_state, **changes))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SPEC.replace(depths=(2, 1, 1)), r"the file seems to hold depths 1, 2, 1, .*; the network has depths 2, 1, 1"),
        (SPEC.replace(num_blocks=3), r"depths 1, 2, 1, 4 blocks.*has depths 1, 2, 1, 3 blocks"),
        (SPEC.replace(base_width=32), r"hold .*widths 8, 16, 64, 128, 256, .*has .*widths 16, 32, 128, 256, 512"),
        (SPEC.replace(fusion="add"), r"hold .*fusion cat; the network has .*fusion add"),
        (SPEC.replace(downsample="strided"), r"left over: features\.2\.avd_layer"),
        (SPEC.replace(stem_depths=(1, 2)), r"missing: backbone\.stages\.2\.1\.conv\.weight, which no released network"),
        (presets["stdc2"], r"hold depths 1, 2, 1, .*; the network has depths 4, 5, 3 \(stdc2\)"),
    ],
)  # fmt: skip
def test_another_architecture_is_said_plainly(
    classifier_state: dict[str, torch.Tensor], spec: ArchSpec, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_released(build_classifier(spec, 4), classifier_state)


def test_the_released_names_are_recognised() -> None:
    state = weights(classifier_shapes(16, (4, 5, 3), classes=4))
    with pytest.raises(CheckpointError, match=r"seems to hold depths 4, 5, 3 \(stdc2\), 4 blocks"):
        load_released(build_classifier(SPEC, 4), state)


def test_a_segmenter_is_no_classifier(
    segmenter_state: dict[str, torch.Tensor], classifier_state: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(CheckpointError, match="holds a segmentation network, not a classifier"):
        load_released(build_classifier(SPEC, 4), segmenter_state)
    with pytest.raises(CheckpointError, match="holds a classifier, not a segmentation network"):
        load_released(build_model(SPEC, 3), classifier_state)
    with pytest.raises(CheckpointError, match=r"no released STDC network: its keys are layer1\.0\.weight"):
        load_released(build_model(SPEC, 3), {"layer1.0.weight": torch.zeros(1)})


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was_here",)


def malicious(path: Path) -> None:
    torch.save({"state_dict": Evil()}, path)


def malicious_legacy(path: Path) -> None:
    torch.save({"state_dict": Evil()}, path, _use_new_zipfile_serialization=False)


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Evil()))


def truncated(path: Path) -> None:
    torch.save({"a": torch.zeros(5000)}, path)
    path.write_bytes(path.read_bytes()[:9000])


def truncated_legacy(path: Path) -> None:
    torch.save({"a": torch.zeros(5000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:9000])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (malicious, r"refused: it holds more than tensors and plain values \((posix|nt|os)\.system\)"),
        (malicious_legacy, r"refused: it holds more than tensors and plain values \((posix|nt|os)\.system\)"),
        (plain_pickle, r"refused|no checkpoint that PyTorch can read"),
        (truncated, "no checkpoint that PyTorch can read"),
        (truncated_legacy, "no checkpoint that PyTorch can read"),
        (lambda path: path.write_bytes(b""), "no checkpoint that PyTorch can read"),
        (lambda path: path.write_text("hello, this is a text"), "no checkpoint that PyTorch can read"),
        (lambda path: path.write_bytes(b"PK\x03\x04 and nothing more"), "no checkpoint that PyTorch can read"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: torch.save(torch.zeros(3), path), "no state dict: got Tensor; allowed: tensors by name"),
        (lambda path: torch.save({"epoch": 3}, path), "no state dict: epoch is no tensor"),
        (lambda path: torch.save({}, path), "no state dict"),
    ],
)
def test_what_is_no_released_checkpoint(
    make: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    make(path)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message) as caught:
        read_released(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # to read it with less care is no advice
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize("heads", [None, TrainingHeads(auxiliary=False, detail_strides=(2, 8))])
def test_our_own_file_brings_the_network_back(heads: TrainingHeads | None, tmp_path: Path) -> None:
    spec = StdcSpec(base_width=16, depths=DEPTHS, fusion="add", decoder=DecoderSpec(16, 32, 16, spatial_path=True))
    network = build_model(spec, 7, heads).eval()
    save_checkpoint(tmp_path / "a.pt", network, {"seed": 3, "train": {"iterations": 5}})
    found = load_checkpoint(tmp_path / "a.pt")
    assert (found.network.spec, found.network.num_classes, found.network.heads) == (spec, 7, heads)  # type: ignore[union-attr]
    assert found.protocol == {"seed": 3, "train": {"iterations": 5}}
    assert found.version == "0.1.0"
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found.network(images).logits, network(images).logits)


def test_our_own_file_of_a_classifier(tmp_path: Path) -> None:
    network = build_classifier(SPEC, 5).eval()
    save_checkpoint(tmp_path / "a.pt", network, {})
    found = load_checkpoint(tmp_path / "a.pt").network
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found(images), network(images))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, r"no checkpoint of stdc_lab; for a released one: stdc-lab import"),
        ({"format_version": 99}, r"format_version: got 99; allowed: 1"),
        ({"arch": {"depths": [1, 2]}}, r"does not fit what it says of itself: depths: got 1, 2; allowed: three"),
        ({"num_classes": 1}, r"does not fit what it says of itself: num_classes: got 1"),
        ({"heads": {"detail_strides": [3]}}, r"does not fit what it says of itself"),
        ({"state": {}}, r"does not fit what it says of itself"),
        ({"state": None}, r"does not fit what it says of itself"),
        ({"num_classes": 9}, r"does not fit what it says of itself"),
    ],
)
def test_a_file_of_ours_that_contradicts_itself(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    save_checkpoint(path, build_model(SPEC, 3), {})
    content = torch.load(path, weights_only=True)
    torch.save(content | change, path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)
    del content["arch"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"arch: missing"):
        load_checkpoint(path)
