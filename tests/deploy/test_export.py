import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from stdc_lab.arch import ArchSpec, DecoderSpec, StdcSpec
from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.data import CLASS_NAMES, IMAGE_MEAN, IMAGE_STD
from stdc_lab.deploy import export as export_module
from stdc_lab.deploy import runtimes as runtimes_module
from stdc_lab.deploy.export import export_checkpoint
from stdc_lab.deploy.folding import settle_norms
from stdc_lab.deploy.graph import onnx_graph
from stdc_lab.deploy.predict import load_predictor, predict_image
from stdc_lab.deploy.sessions import onnxruntime_session, openvino_session
from stdc_lab.errors import ConfigError, StdcLabError
from stdc_lab.nn import build_classifier, build_model, load_checkpoint
from stdc_lab.nn.checkpoints import save_checkpoint
from tests.cli.in_process import stdc_lab

SPEC = StdcSpec(base_width=8, depths=(1, 1, 1), decoder=DecoderSpec(16, 16, 16))
CAMVID = DataConfig(name="camvid", size=(64, 96)).model_dump(mode="json")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'stdc_lab[onnx]'")
pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'stdc_lab[onnx]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter's checkpoint of CamVid's classes, with training heads and settled norms."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    network = build_model(SPEC, 11, TrainingHeads())
    settle_norms(network, torch.randn(4, 3, 64, 96))
    save_checkpoint(folder / "last.pt", network, {"data": CAMVID, "train": {"precision": "float32"}})
    return folder


@pytest.fixture(scope="module")
def exported(folder: Path) -> str:
    """What the command said of an ONNX file, which is then in the folder, with its example."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'stdc_lab[onnx]'")
    done = stdc_lab("export", folder / "last.pt", "--format", "onnx", "--out", folder / "model.onnx", "--example")
    assert done.returncode == 0, done.stderr
    return done.stdout


def eager(folder: Path, images: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = load_checkpoint(folder / "last.pt").network(images).logits
    return logits


def test_the_file_says_what_it_is_of(folder: Path, exported: str) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["arch_id"] == SPEC.arch_id
    assert ArchSpec.from_dict(json.loads(about["arch"])) == SPEC
    assert json.loads(about["class_names"]) == list(CLASS_NAMES)
    assert json.loads(about["mean"]) == pytest.approx(list(IMAGE_MEAN))
    assert json.loads(about["std"]) == pytest.approx(list(IMAGE_STD))
    assert about["size"] == "64x96"
    assert session.get_inputs()[0].shape == [1, 3, 64, 96]
    assert [output.name for output in session.get_outputs()] == ["logits"]
    assert f"segmenter (arch_id {SPEC.arch_id}), 11 classes named" in exported
    assert "run on 1×3×64×96: largest error" in exported
    assert f"written: {folder / 'model.onnx'}" in exported


def test_names_that_a_checkpoint_carries_come_before_those_of_a_data_set(tmp_path: Path) -> None:
    legend = {"road": "#808080", "all else": "#000000"}
    save_checkpoint(tmp_path / "own.pt", build_model(SPEC, 2), {"legend": legend})
    found = load_checkpoint(tmp_path / "own.pt")
    about = export_module.describe(found, found.network, (64, 96), dynamic=False)
    assert json.loads(about["class_names"]) == ["road", "all else"]


def test_the_file_computes_what_the_network_does(folder: Path, exported: str) -> None:
    images = torch.randn(1, 3, 64, 96)
    expected = eager(folder, images)
    found = onnxruntime_session(folder / "model.onnx", threads=1)(images)
    assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max().item())


def test_the_example_needs_neither_stdc_lab_nor_torch(folder: Path, exported: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "street.png")
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__');"
        "print('loaded:', *sorted({'torch', 'stdc_lab'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "run_model.py", "model.onnx", "street.png"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded:\n")
    assert done.stdout.startswith("street.png: ")
    assert any(name in done.stdout for name in CLASS_NAMES)
    with Image.open(folder / "street_classes.png") as classes:
        theirs = np.asarray(classes)
    ours = predict_image(load_predictor(folder / "last.pt", torch.device("cpu")), pixels)
    assert (theirs == ours).mean() > 0.999


@pytest.mark.slow
def test_openvino_for_any_size(folder: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'stdc_lab[openvino]'")
    done = export_checkpoint(folder / "last.pt", folder / "model.xml", "openvino", dynamic=True)
    assert [path.name for path in done.files] == ["model.xml", "model.bin"]
    assert done.shapes == ((1, 3, 64, 96), (2, 3, 96, 160))
    assert done.agreement.max_rel_error < 1e-4
    model = openvino.Core().read_model(folder / "model.xml")
    about = model.get_rt_info(["stdc_lab"]).value
    assert about["arch_id"] == SPEC.arch_id
    assert json.loads(about["class_names"]) == list(CLASS_NAMES)
    run = openvino_session(folder / "model.xml", threads=1)
    for shape in ((1, 3, 64, 64), (3, 3, 70, 101)):
        images = torch.randn(shape)
        expected = eager(folder, images)
        assert torch.allclose(run(images), expected, atol=1e-4 * expected.abs().max().item())


def test_a_file_that_computes_something_else_is_not_left(
    folder: Path, exported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Prepared:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return (folder / "model.onnx").read_bytes()

    monkeypatch.setattr(export_module, "onnx_graph", lambda network, images, dynamic: Prepared())
    monkeypatch.setattr(export_module, "set_metadata", lambda model, metadata: None)
    monkeypatch.setattr(export_module, "expected_logits", lambda network, images: torch.randn(1, 11, 64, 96))
    with pytest.raises(StdcLabError, match=r"--format onnx: its logits are not those of the float32 eager network"):
        export_checkpoint(folder / "last.pt", folder / "wrong.onnx", "onnx")
    assert not (folder / "wrong.onnx").exists()


def test_an_operation_that_onnx_cannot_say() -> None:
    class Odd(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.linalg.eigvals(images).real

    with pytest.raises(StdcLabError, match=r"Odd: ONNX has no operator for what it does: .*linalg_eig"):
        onnx_graph(Odd(), torch.randn(1, 3, 32, 32))


def test_bad_requests_are_refused_before_anything_is_computed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = folder / "last.pt"
    with pytest.raises(ConfigError, match=r"--format: got 'tflite'; allowed: released, onnx, openvino"):
        export_checkpoint(checkpoint, folder / "x.onnx", "tflite")
    with pytest.raises(ConfigError, match=r"--out: got .*x.onnx; allowed: with --format openvino a file ending .*xml"):
        export_checkpoint(checkpoint, folder / "x.onnx", "openvino")
    with pytest.raises(ConfigError, match=r"x.onnx: cannot be written: there is no folder .*nowhere"):
        export_checkpoint(checkpoint, folder / "nowhere" / "x.onnx", "onnx")
    monkeypatch.setattr(runtimes_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'openvino', but .*not installed: pip install 'stdc_lab\[openvino\]'"):
        export_checkpoint(checkpoint, folder / "x.xml", "openvino")


def test_a_path_that_cannot_be_written(folder: Path, exported: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "taken.onnx").mkdir()
    monkeypatch.setattr(export_module, "onnx_graph", lambda *rest, **more: None)
    monkeypatch.setattr(export_module, "set_metadata", lambda *rest: None)
    monkeypatch.setattr(export_module, "_verify", lambda *rest: None)

    def write(into: Path, name: str, *rest: object) -> list[Path]:
        (into / name).write_bytes(b"graph")
        return [into / name]

    monkeypatch.setattr(export_module, "_write", write)
    with pytest.raises(ConfigError, match=r"--out: .*taken.onnx: cannot be written: Is a directory"):
        export_checkpoint(folder / "last.pt", folder / "taken.onnx", "onnx")
    assert not list(folder.glob("*.partial"))


def test_a_classifier_has_no_class_names(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "cls.pt", build_classifier(SPEC, 7), {"data": CAMVID})
    found = load_checkpoint(tmp_path / "cls.pt")
    about = export_module.describe(found, found.network, (32, 32), dynamic=False)
    assert about["network"] == "classifier"
    assert about["num_classes"] == "7"
    assert "class_names" not in about
