from pathlib import Path

import pytest
import torch

from stdc_lab.arch import StdcSpec
from stdc_lab.nn import load_checkpoint
from tests.cli.in_process import stdc_lab
from tests.nn import released_forward
from tests.nn.released_weights import classifier_shapes, segmenter_shapes, weights

DEPTHS = (1, 2, 1)


@pytest.fixture
def arch(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text("base_width: 16\ndepths: [1, 2, 1]\n")
    return path


@pytest.mark.parametrize("command", ["import", "export"])
def test_both_explain_themselves_with_an_example(command: str) -> None:
    assert f"Example: stdc-lab {command}" in stdc_lab(command, "--help").stdout


def test_a_released_segmenter_goes_in_and_out_again(arch: Path, tmp_path: Path) -> None:
    state = weights(segmenter_shapes(16, DEPTHS, classes=5))
    torch.save(state, tmp_path / "in.pth")
    done = stdc_lab("import", tmp_path / "in.pth", "--arch", arch, "--out", tmp_path / "ours.pt", "--training-heads")
    assert done.returncode == 0, done.stderr
    assert "segmenter" in done.stdout and "5 classes" in done.stdout
    assert "13 skipped, which the network lacks:" in done.stdout
    assert "cp.backbone.linear" in done.stdout
    found = load_checkpoint(tmp_path / "ours.pt")
    assert found.network.spec == StdcSpec(base_width=16, depths=DEPTHS)
    assert found.protocol == {"imported": "in.pth"}
    done = stdc_lab("export", tmp_path / "ours.pt", "--format", "released", "--out", tmp_path / "out.pth")
    assert done.returncode == 0, done.stderr
    assert "13 restored with fresh values" in done.stdout
    back = torch.load(tmp_path / "out.pth", weights_only=True)
    assert back.keys() == state.keys()
    images = torch.randn(1, 3, 64, 64)
    theirs, ours = (released_forward.segmenter(s, images, DEPTHS) for s in (state, back))
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)


def test_imagenet_weights(arch: Path, tmp_path: Path) -> None:
    state = weights(classifier_shapes(16, DEPTHS, classes=7))
    torch.save({"state_dict": state}, tmp_path / "in.tar", _use_new_zipfile_serialization=False)
    done = stdc_lab("import", tmp_path / "in.tar", "--arch", arch, "--out", tmp_path / "ours.pt")
    assert done.returncode == 0, done.stderr
    assert "classifier" in done.stdout and "7 classes" in done.stdout
    assert load_checkpoint(tmp_path / "ours.pt").network.num_classes == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "in.pth", "--arch", "stdc2"], "seems to hold depths 1, 2, 1"),
        (["import", "none.pth", "--arch", "stdc1"], "none.pth: cannot be read: No such file or directory"),
        (["import", "text.pth", "--arch", "stdc1"], "text.pth: no checkpoint that PyTorch can read"),
        (["import", "in.pth", "--arch", "stdc7"], "architecture: got 'stdc7'"),
        (["import", "headless.pth", "--arch", "small.yaml"], "headless.pth: holds no weights of the classes"),
        (["export", "in.pth"], "in.pth: no checkpoint of stdc_lab; for a released one: stdc-lab import in.pth"),
        (["export", "in.pth", "--format", "onnx2"], "--format: got 'onnx2'; allowed: released, onnx, openvino"),
        (["export", "in.pth", "--format", "onnx"], "--out: got out.pt; allowed: with --format onnx a file ending with"),
        (["export", "in.pth", "--format", "onnx", "--size", "12"], "--size: got '12'; allowed: a size is HEIGHTxWIDTH"),
        (["export", "in.pth", "--dynamic"], "--size, --dynamic, --example: allowed with --format onnx, openvino"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str, arch: Path, tmp_path: Path) -> None:
    state = weights(segmenter_shapes(16, DEPTHS, classes=5))
    torch.save(state, tmp_path / "in.pth")
    torch.save({k: t for k, t in state.items() if not k.startswith("conv_out.")}, tmp_path / "headless.pth")
    (tmp_path / "text.pth").write_text("no weights")
    done = stdc_lab(*arguments, "--out", "out.pt", cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.pt").exists()
