"""Studies in the runtime that ships: what is refused, under which keys costs are kept, what comes of a whole one."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stdc_lab.analysis.frame import load_study
from stdc_lab.arch import ArchSpec
from stdc_lab.cli.status import front_table, trained_rows
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.reading import read_study
from stdc_lab.deploy import runtimes
from stdc_lab.deploy.runtimes import check_runtime
from stdc_lab.errors import ConfigError, StdcLabError, StudyError
from stdc_lab.nn import build_model
from stdc_lab.profiling import measure_latency, ranking
from stdc_lab.records import Environment, ProfileResult, TrialRecord
from stdc_lab.reporting import protocol
from stdc_lab.reporting.figure_data import latency_title
from stdc_lab.reporting.words import summary
from stdc_lab.search import Watcher, retime_study, run_study
from stdc_lab.search.candidate import Candidate
from stdc_lab.search.folder import read_record, study_profile_key
from stdc_lab.training.account import account
from stdc_lab.training.trainer import Trainer
from tests.cli.in_process import stdc_lab
from tests.families.drawn import SMALL
from tests.search.test_driver import study_config
from tests.training.run.tiny import halves, recipe_of

CPU = torch.device("cpu")
QUICK = {"size": [64, 64], "warmup_s": 0, "measure_s": 0.01, "min_repeats": 5, "attempts": 1, "threads": 1}
MACHINE = Environment(
    device="cpu", processor="one", threads=2, python="3.13.1", torch="2.13.0", fingerprint="0123456789",
    versions={"onnxruntime": "1.22.0"},
)  # fmt: skip


def timed_in(runtime: str, **changes: Any) -> LatencyConfig:
    return LatencyConfig.model_validate(QUICK | {"runtime": runtime} | changes)


def key_of(**latency: Any) -> str:
    return study_profile_key(study_config(latency=QUICK | latency), "arch", MACHINE, 11)


def test_what_a_study_does_not_say_leaves_its_keys_as_they_were() -> None:
    usual = key_of()
    assert usual == "3d69acb73de84f33"
    assert usual == key_of(runtime="eager", dtype="float32", batch=1)
    others = [key_of(runtime="openvino"), key_of(runtime="openvino", dtype="bfloat16"), key_of(batch=2)]
    assert len({usual, *others}) == 4


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("batch: 0", "study.yaml:2: latency.batch: got 0; allowed: input should be greater than or equal to 1"),
        ("dtype: int8", "study.yaml:2: latency.dtype: got 'int8'; allowed: input should be 'float32', "),
        ("runtime: ''", "study.yaml:2: latency.runtime: got ''; allowed: string should have at least 1 character"),
    ],
)
def test_what_no_machine_can_time_is_no_configuration(tmp_path: Path, said: str, message: str) -> None:
    (tmp_path / "study.yaml").write_text(f"name: one\nlatency: {{{said}}}\nspace: {{name: none, vary: {{}}}}\n")
    with pytest.raises(ConfigError) as error:
        read_study(tmp_path / "study.yaml")
    assert message in str(error.value)


def test_a_runtime_is_found_by_its_name_and_dtype() -> None:
    native = pytest.MonkeyPatch()
    with native.context() as patch:
        patch.setattr(runtimes, "not_native", lambda dtype, device: None)
        patch.setattr(runtimes, "missing", lambda runtime, device: None)
        found = {
            (engine, dtype, kind): check_runtime(timed_in(engine, dtype=dtype), torch.device(kind)).name
            for engine, dtype, kind in (
                ("eager", "float32", "cpu"), ("folded", "bfloat16", "cpu"), ("folded", "bfloat16", "cuda"),
                ("folded", "float16", "cuda"), ("compile", "bfloat16", "cpu"), ("openvino", "bfloat16", "cpu"),
            )
        }  # fmt: skip
    assert list(found.values()) == [
        "channels_last", "bf16", "cuda_bf16", "cuda_fp16", "compile_bf16", "openvino_bf16",
    ]  # fmt: skip
    named = [(one.engine or one.name, one.dtype, kind) for one in runtimes.RUNTIMES for kind in one.devices]
    assert len(set(named)) == len(named), "a study's words mean one runtime"


def test_a_runtime_that_cannot_be_had_is_refused_with_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = "; allowed here: contiguous in float32, eager in float32, "
    refused: list[tuple[LatencyConfig, str]] = [
        (timed_in("openvno"), "study: latency.runtime: got 'openvno' in float32, but there is no such runtime"),
        (timed_in("eager", dtype="float16"), "got 'eager' in float16, but there is no such runtime"),
        (timed_in("folded", dtype="float16"), "got 'folded' in float16, but it runs on cuda only, not on cpu"),
        (timed_in("onnxruntime"), "got 'onnxruntime' in float32, but onnxruntime is not installed: pip install"),
        (timed_in("folded", dtype="bfloat16"), "got 'folded' in bfloat16, but not native here: PyTorch finds no"),
    ]
    there = runtimes.importlib.util.find_spec
    monkeypatch.setattr(
        runtimes.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else there(name)
    )
    monkeypatch.setattr("stdc_lab.hardware.devices.computes_natively", lambda dtype, device: dtype == "float32")
    for config, message in refused:
        with pytest.raises(ConfigError) as error:
            check_runtime(config, CPU)
        assert message in str(error.value)
        assert allowed in str(error.value)


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_nothing_is_begun_in_a_runtime_that_is_not_here(tmp_path: Path, flags: tuple[str, ...]) -> None:
    study, out = tmp_path / "study.yaml", tmp_path / "out"
    study.write_text(
        "name: one\nspace: {name: one, vary: {num_blocks: {type: int, low: 2, high: 3}}}\n"
        "latency: {runtime: tensorrt, dtype: float16}\n"
    )
    done = stdc_lab("search", str(study), "--out", str(out), "--device", "cpu", *flags)
    assert done.returncode == 2
    assert f"{study}: latency.runtime: got 'tensorrt' in float16, but there is no such runtime; allowed" in done.stderr
    assert not out.exists()
    with pytest.raises(ConfigError, match=r"tiny: latency\.runtime: got 'tensorrt'"):
        run_study(study_config(latency=QUICK | {"runtime": "tensorrt"}), out, device="cpu")
    assert not out.exists()


def test_latency_and_ratio_are_those_of_the_runtime() -> None:
    networks = {name: build_model(SMALL[name], 5) for name in ("stdc", "regseg")}
    shares: list[float] = []
    found = measure_latency(networks, timed_in("folded", batch=2), CPU, shares.append, reference="stdc")
    assert list(found) == list(networks)
    for one in found.values():
        assert (one.runtime, one.dtype, one.input_shape) == ("folded", "float32", (2, 3, 64, 64))
        assert one.reference == "stdc"
        assert one.times_as_fast is not None
        assert one.making_s is not None
        assert one.making_s > 0
    assert found["stdc"].times_as_fast == 1
    assert shares == sorted(shares)
    assert shares[-1] == 1
    eager = measure_latency({"net": networks["stdc"]}, timed_in("eager", batch=3), CPU)["net"]
    assert (eager.runtime, eager.making_s, eager.input_shape) == ("eager", None, (3, 3, 64, 64))


def test_a_network_that_comes_out_otherwise_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> None:
        raise StdcLabError("its logits are others")

    monkeypatch.setattr(ranking, "check", no)
    with pytest.raises(StdcLabError, match=r"not timed in folded float32, batch 1, 1 thread: net: its logits are othe"):
        measure_latency({"net": build_model(SMALL["stdc"], 5)}, timed_in("folded"), CPU)


# A whole study


class Costs(Watcher):
    def __init__(self) -> None:
        self.timed: list[ProfileResult] = []

    def trial_timed(self, candidate: Candidate, cost: ProfileResult) -> None:
        self.timed.append(cost)


def one_of_each(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "networks": {name.split(",")[0]: spec.to_dict() for name, spec in reversed(SMALL.items())},
        "constraints": ["latency_ratio <= 1e6"],
        "data": {"size": [64, 64], "train_images": 4, "val_images": 2},
        "latency": QUICK | {"runtime": "folded", "batch": 2},
        "trials": 3,
    }
    return study_config(**(values | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families") / "out"
    run_study(one_of_each(), folder, device="cpu")
    return folder


def test_every_family_is_timed_and_trained_in_one_study(trained: Path) -> None:
    frame = load_study(trained)
    assert frame["state"].tolist() == ["COMPLETE"] * 3
    assert sorted(frame["reference"]) == ["pp_liteseg", "regseg", "stdc"]
    assert frame["latency_ratio"].tolist()[0] == 1, "the first is what all are timed beside"
    assert (frame["fps"] * frame["latency_ms"]).tolist() == pytest.approx([2000] * 3), "images, of two a call"
    for key in frame["trial_key"]:
        record = read_record(trained, key)
        assert isinstance(record, TrialRecord)
        latency = record.profile.latency
        assert latency is not None
        assert (latency.runtime, latency.dtype, latency.input_shape) == ("folded", "float32", (2, 3, 64, 64))


def test_the_page_and_the_table_say_in_what(trained: Path) -> None:
    frame = load_study(trained)
    words = "folded float32, batch 2, 1 thread"
    assert frame.attrs["latency_in"] == words
    assert latency_title(frame) == f"Latency in {words} (ms a call, median)"
    assert f"All speak of latency in {words}: milliseconds a call." in summary(frame)
    headings = [str(column.header) for column in front_table(trained_rows(frame)).columns]
    assert "latency ms in\nfolded float32,\nbatch 2,\n1 thread" in headings
    config = one_of_each()
    records = [record for key in frame["trial_key"] if (record := read_record(trained, key)) is not None]
    rows = dict(protocol.latency_rows(config, records, None))
    assert rows["Input"] == "2×3×64×64 (batch 2)"
    assert rows["Runtime"].startswith("folded, channels last, float32; made in ")
    assert rows["Latency"] == "milliseconds a call of 2 images; FPS counts images"
    assert "batch 2, folded, channels last, float32" in protocol.caption(config, records)


def test_a_study_that_was_timed_otherwise_is_another_study(trained: Path) -> None:
    with pytest.raises(StudyError, match=r"begun with another study.*:\n  latency\.runtime: was 'folded', is 'eager'"):
        run_study(one_of_each(latency=QUICK | {"batch": 2}), trained, device="cpu")


def test_a_training_that_no_trial_tells_of_is_not_believed_its_latency_of_another_runtime(
    trained: Path, tmp_path: Path
) -> None:
    folder, costs = Path(shutil.copytree(trained, tmp_path / "out")), Costs()
    (folder / "study.db").unlink()
    run_study(one_of_each(latency=QUICK, trials=1), folder, device="cpu", watcher=costs)
    assert [one.latency.runtime for one in costs.timed if one.latency is not None] == ["eager"]
    [record] = [read_record(folder, key) for key in load_study(folder)["trial_key"].dropna()]
    assert record is not None
    assert record.profile.latency == costs.timed[0].latency


def test_onnx_runtime_is_what_a_study_is_timed_and_retimed_in(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    latency = QUICK | {"runtime": "onnxruntime"}
    config = one_of_each(networks={"small": SMALL["stdc"].to_dict()}, constraints=[], latency=latency, trials=1)
    costs = Costs()
    run_study(config, tmp_path / "out", device="cpu", watcher=costs)
    said: list[str] = []
    anew = retime_study(tmp_path / "out", device="cpu", say=said.append)
    assert len(said) == 1
    assert said[0].startswith("made in ONNX Runtime float32, batch 1, 1 thread: 1 in ")
    for one in (costs.timed[0].latency, *anew.values()):
        assert one is not None
        assert (one.runtime, one.dtype, one.layout, one.peak_memory_bytes) == (
            "onnxruntime", "float32", "contiguous", None,
        )  # fmt: skip
        assert one.making_s is not None
    frame = load_study(tmp_path / "out")
    assert frame["retimed"].tolist() == [True]
    assert frame.attrs["latency_in"] == "ONNX Runtime float32, batch 1, 1 thread"


@pytest.mark.parametrize(("name", "missing"), [("regseg", True), ("stdc", False)])
def test_heads_that_a_family_lacks_are_said_to_be_trained_without(name: str, missing: bool) -> None:
    spec: ArchSpec = SMALL[name]
    recipe = recipe_of(arch=spec)
    dataset = halves()
    network = build_model(spec, len(dataset.class_names), recipe.training.heads)
    text = account(recipe, Trainer(network, dataset, recipe.training, 0, CPU), "random weights")
    said = "heads      no auxiliary ones: the family regseg has none, so it is trained without\n"
    assert (said in text) == missing
