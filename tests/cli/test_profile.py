"""`stdc-lab profile`: what it prints, writes and refuses."""

import csv
import inspect
import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from stdc_lab.arch import DecoderSpec, StdcSpec, presets
from stdc_lab.cli import latency_tables
from stdc_lab.cli import profile as cli_profile
from stdc_lab.cli import profile_tables as tables
from stdc_lab.cli.tables import Row, Table, as_markdown, as_rich
from stdc_lab.config.latency import LatencyConfig
from stdc_lab.config.training import TrainingHeads
from stdc_lab.deploy import runtimes
from stdc_lab.hardware import devices
from stdc_lab.hardware.threads import usable_cores
from stdc_lab.profiling import profile
from stdc_lab.profiling.latency import summarise
from stdc_lab.profiling.timing import take_turns
from stdc_lab.records import Agreement, CounterAccount, ProfileResult, RuntimeResult
from tests.cli.in_process import stdc_lab
from tests.profiling.clocks import Believing

SMALL = StdcSpec(base_width=8, depths=(1, 2, 1), decoder=DecoderSpec(16, 32, 16))
LARGER = 25_000
HEADS = TrainingHeads(detail_strides=(2, 4, 8, 16))


@pytest.fixture(scope="module")
def arch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arch") / "small.json"
    path.write_text(json.dumps(SMALL.to_dict()))
    return path


@pytest.fixture(scope="module")
def result() -> ProfileResult:
    return profile(SMALL, num_classes=5, heads=HEADS, depth=3, timed=False, latency=LatencyConfig(size=(64, 96)))


def shown(table: Table, width: int = 100) -> list[str]:
    console = Console(width=width, file=StringIO(), highlight=False)
    console.print(as_rich(table))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def magnified(account: CounterAccount) -> CounterAccount:
    """The account of a network `LARGER` times as large."""
    rows = tuple(row.model_copy(update={"count": row.count * LARGER}) for row in account.rows)
    return account.model_copy(update={"total": account.total * LARGER, "rows": rows})


def test_tables_of_a_large_network_fit_into_100_columns(result: ProfileResult) -> None:
    training = result.training
    assert training is not None
    large = result.model_copy(
        update={
            "macs": result.macs * LARGER,
            "accounts": tuple(map(magnified, result.accounts)),
            "training": training.model_copy(update={"accounts": tuple(map(magnified, training.accounts))}),
        }
    )
    names = ["stdc1_spatial_path", "stdc1", "stdc1_conv_last"]
    compared = [large] * 3
    for table in (
        *tables.network_tables("stdc1", large),
        *tables.comparison_of_parts(names, compared),
        tables.comparison_of_counters(names, compared),
        tables.comparison_table(names, compared),
    ):
        lines = shown(table)
        assert not any("…" in line for line in lines), table.title
        assert len(lines) == len(table.rows) + 1, table.title
    assert max(account.total for account in large.accounts) > 10**11  # STDC2 at 1024×2048 has 0.9·10¹¹


def test_the_last_line_of_the_accounting_is_zero(result: ProfileResult) -> None:
    (table,) = (table for table in tables.network_tables("small", result) if table.title == "counters")
    assert table.rows[-1] == Row(("difference", "0", "0", "", "0", ""), "green")
    assert [row.cells[0] for row in table.rows][:3] == [
        "convolutions, linear layers",
        "their additions, counted apart",
        "batch norm",
    ]


def test_what_is_not_accounted_for_is_red(result: ProfileResult) -> None:
    thop = result.accounts[2]
    wrong = result.model_copy(
        update={"accounts": (*result.accounts[:2], thop.model_copy(update={"total": thop.total + 7, "unaccounted": 7}))}
    )
    assert tables.counters_table(wrong).rows[-1] == Row(("difference", "0", "0", "", "7", ""), "red")
    assert tables.comparison_of_counters(["small"], [wrong]).rows[0].cells[-1] == "0, 0, 7"


def test_the_released_form_beside_the_published_name() -> None:
    paper = profile(presets["stdc1"], task="cls", timed=False, latency=LatencyConfig(size=(224, 224)))
    table = tables.released_table(paper)
    assert table.columns == ("counted", "thop, stages twice", "each", 'published "813M"', "each")
    assert table.rows[-1] == Row(("difference", "0", "", "182,592", ""), "green")
    assert "said 812,817,408 of this form" in " ".join(table.notes)
    assert not any("…" in line for line in shown(table))


def test_markdown_keeps_numbers_right_and_parts_inside(result: ProfileResult) -> None:
    text = as_markdown(tables.parts_table("small", result))
    assert text.startswith("### small: parts\n\n| part | output | M params | MMACs |")
    assert "| --- | --- | ---: | ---: |" in text
    assert "| \u2003module 1 |" in text and "| \u2003\u2003block 1 |" in text
    assert as_markdown(Table("a", ("b",), (Row(("c|d",)),))) == "### a\n\n| b |\n| --- |\n| c\\|d |\n"


def test_one_network_on_screen(arch: Path) -> None:
    done = stdc_lab(
        "profile", arch, "--size", "64x96", "--classes", 5, "--no-latency", "--training-heads", "auxiliary,2"
    )
    assert done.returncode == 0
    for words in (
        f"small  arch_id {SMALL.arch_id}  deployed segmenter, 5 classes, input 1×3×64×96",
        "dropped: detail head at 1/2",
        "auxiliary head at 1/16",
        "with training heads",
        "The paper's names 813M and 1446M are",
        "GFLOPs (derived: 2 × MACs)",
    ):
        assert words in done.stdout
    assert "detail head at 1/4" not in done.stdout


def test_several_networks_side_by_side(arch: Path, tmp_path: Path) -> None:
    files = {option: tmp_path / f"out.{option}" for option in ("json", "csv", "markdown")}
    options = [word for option, file in files.items() for word in (f"--{option}", file)]
    sides = ("--size", "64x96", "--classes", 5, "--seconds", 0.1, "--threads", 1)
    done = stdc_lab("profile", arch, arch, *sides, "--modules", *options)
    assert done.returncode == 0
    assert "fps†" in done.stdout and "† derived" in done.stdout
    assert "0, 0, 0" in done.stdout
    assert "field" not in done.stdout  # which --details would show
    written = json.loads(files["json"].read_text())
    assert [len(one["stages"][3]["parts"]) for one in written] == [2, 2]
    assert all(one["peak_activations"] and one["latency"]["median_ms"] for one in written)
    first, second = csv.DictReader(files["csv"].read_text().splitlines())
    assert first["arch_id"] == second["arch_id"] == SMALL.arch_id
    assert int(first["torch_flops"]) == 2 * int(first["macs"]) == 2 * written[0]["macs"]
    assert float(first["gflops_derived"]) * 1e9 == pytest.approx(2 * written[0]["macs"])
    assert float(first["fps_derived"]) == pytest.approx(1000 / written[0]["latency"]["median_ms"])
    assert files["markdown"].read_text().count("### ") == 4


def test_runtimes_stages_and_a_picture(arch: Path, tmp_path: Path) -> None:
    files = {option: tmp_path / f"out.{option}" for option in ("json", "csv")}
    options = [word for option, file in files.items() for word in (f"--{option}", file)]
    how = ("--size", "64x96", "--classes", 5, "--seconds", 0.1, "--threads", 1)
    wanted = ("--runtime", "eager,folded", "--batch", "2,1", "--stages")
    done = stdc_lab("profile", arch, *how, *wanted, *options, "--picture", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    for words in ("img/s†", "error", "The weights are fresh", "of whole calls between them", "upsampling"):
        assert words in done.stdout
    assert "the interval is of the median of the process, under drift of this window" in done.stdout
    assert "(of the process; under drift, of this window)" in done.stdout
    # Piped: what will be done and about how long it takes, then a line a runtime.
    first, forecast = done.stderr.splitlines()[0], done.stderr.index("about ")
    assert first.startswith("2 runtimes, made 4 times in all: each is made, compared with eager PyTorch, then timed")
    steps = [f"making small in {name} ({number} of 4)" for number, name in enumerate(["eager", "folded"] * 2, 1)]
    places = [done.stderr.index(step) for step in steps]
    assert forecast < places[0] and places == sorted(places)
    assert "s from here, on a busy machine up to" in done.stderr
    assert re.search(r"^ +0:\d\d  timing$", done.stderr, re.MULTILINE)
    assert (tmp_path / "a.png").stat().st_size > 1000
    (written,) = json.loads(files["json"].read_text())
    assert {(one["runtime"], one["batch"]) for one in written["runtimes"]} == {
        (name, batch) for name in ("eager", "folded") for batch in (1, 2)
    }
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [row["batch"] for row in rows] == ["1", "1", "1", "2", "2"]
    last = next(one for one in written["runtimes"] if (one["runtime"], one["batch"]) == (rows[-1]["runtime"], 2))
    assert float(rows[-1]["fps_derived"]) == pytest.approx(2000 / last["latency"]["median_ms"])
    assert float(rows[-1]["max_rel_error"]) == last["agreement"]["max_rel_error"]


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has none, where OpenVINO takes float32 for it."""
    monkeypatch.setattr(devices, "cpu_flags", lambda: {"avx2"})
    monkeypatch.setattr(runtimes, "openvino_lacks", lambda precision: "OpenVINO executes float32 here, not bfloat16")
    # Only those whose reason is the processor, which are not made at all.
    kept = [one for one in runtimes.RUNTIMES if one.name == "eager" or one.dtype == "bfloat16"]
    monkeypatch.setattr(runtimes, "RUNTIMES", tuple(one for one in kept if "cpu" in one.devices))


def test_what_is_not_native_here_is_left_out_with_its_reason_unless_it_is_named(
    without_bfloat16: None, arch: Path
) -> None:
    sides = ("--size", "32x64", "--classes", 5, "--seconds", 0.1, "--threads", 1, "--device", "cpu")
    done = stdc_lab("profile", arch, *sides, "--runtime", "all,bf16", "--json", "-")
    assert done.returncode == 0, done.stderr
    for name in ("compile_bf16", "winograd_bf16", "openvino_bf16"):
        line = f"{name} was left out: not native here: PyTorch finds no bfloat16 on this processor"
        assert line in done.stderr.splitlines()
    assert "\nbf16 was left out" not in done.stderr and "bfloat16~" in done.stderr
    (written,) = json.loads(done.stdout)
    assert {one["runtime"]: one["emulated"] for one in written["runtimes"]} == {"eager": False, "bf16": True}


def test_a_runtime_that_would_compute_in_another_dtype_is_refused(without_bfloat16: None, arch: Path) -> None:
    done = stdc_lab("profile", arch, "--runtime", "openvino_bf16", "--device", "cpu")
    assert done.returncode == 2
    assert "--runtime: got 'openvino_bf16', but OpenVINO executes float32 here, not bfloat16" in done.stderr


@pytest.mark.parametrize(("call_ms", "seconds"), [(100, 4), (300, 7), (1000, 9)])
def test_a_network_is_timed_in_seconds_on_a_slow_and_noisy_machine(call_ms: float, seconds: float) -> None:
    # The command is to answer within 15 s; it begins and counts in about as many as five calls, and two.
    clock = Believing()
    default = inspect.signature(cli_profile.profile_command).parameters["seconds"].default
    config = LatencyConfig(warmup_s=cli_profile.WARMUP_S, measure_s=default, min_repeats=cli_profile.MIN_REPEATS)
    noise = np.random.default_rng(0).lognormal(sigma=0.1, size=10_000)
    turns = take_turns({"a": clock.call(iter(call_ms * noise))}, config, clock=clock)
    assert clock.now() < seconds
    assert len(turns.milliseconds) >= 7


def test_a_short_profile_says_nothing_on_its_way(arch: Path) -> None:
    done = stdc_lab("profile", arch, "--size", "32x64", "--seconds", 0.1, "--threads", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"1 thread: \d+ calls in \d+ blocks( of 2 windows)? after \d+ of warm-up", done.stdout)


@pytest.mark.parametrize(("variable", "threads"), [("1", 1), ("1000", usable_cores())])
def test_omp_num_threads_is_heeded(
    arch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    file = tmp_path / "out.json"
    stdc_lab("profile", arch, "--size", "32x64", "--seconds", 0.1, "--json", file)
    (written,) = json.loads(file.read_text())
    assert written["latency"]["threads"] == written["environment"]["threads"] == threads


def test_sizes_are_told_apart(arch: Path) -> None:
    done = stdc_lab("profile", arch, "--size", "64x96,32x64", "--no-latency")
    assert done.returncode == 0
    assert "small 64×96" in done.stdout and "small 32×64" in done.stdout


def test_the_row_of_the_article(result: ProfileResult) -> None:
    def timed(ms: float, ratio: float, **more: object) -> ProfileResult:
        latency = summarise(np.full(9, ms), warmup_repeats=1, device="cpu", threads=1, input_shape=(1, 3, 64, 96))
        compared = {"reference": "resnet50", "times_as_fast": ratio, "times_as_fast_ci95": (ratio - 0.1, ratio + 0.1)}
        return result.model_copy(update={"latency": latency.model_copy(update=compared), **more})

    found = [timed(2, 2.0), timed(4, 1.0, arch=None, arch_id=None, macs=4 * result.macs)]
    lines = latency_tables.comparison_row(["stdc2", "resnet50"], found)
    assert lines == [
        "stdc2 against resnet50: 2.00 times as fast (1.90 to 2.10), 25.0% of its MACs; "
        "the paper says 2.5 times, about a third (on a GPU)"
    ]
    assert latency_tables.comparison_row(["stdc2"], found[:1]) == []  # the other was not measured beside it


def test_what_did_not_run_has_its_reason_in_its_row(result: ProfileResult) -> None:
    latency = summarise(np.full(9, 1234.5), warmup_repeats=1, device="cpu", threads=1, input_shape=(1, 3, 64, 96))
    latency = latency.model_copy(update={"noisy": True, "reference": "stdc1_spatial_path in eager"})
    good = Agreement(max_abs_error=1, max_rel_error=1.2e-5, argmax_share=0.99999, weights="trained")

    def row(runtime: str, **more: object) -> RuntimeResult:
        about = {"network": "stdc1_spatial_path", "dtype": "bfloat16", "layout": "contiguous", "what": ""}
        return RuntimeResult.model_validate({**about, "runtime": runtime, "batch": 8, "size": (64, 96), **more})

    rows = (
        row("openvino_bf16", reason="out of memory: much"),
        row("winograd_bf16", latency=latency, agreement=good, emulated=True),
    )
    both = [result.model_copy(update={"runtimes": rows}), result]
    table = latency_tables.runtimes_table(both)
    assert [row.cells[1] for row in table.rows] == ["winograd_bf16", "openvino_bf16"]  # what failed comes last
    assert table.rows[0].cells[-2:] == ("1e-5", "99.99%")  # not all the same, so not 100 %
    assert table.rows[0].cells[5].endswith("!") and "the machine was not quiet" in table.notes[-1]
    assert [row.cells[2] for row in table.rows] == ["bfloat16~", "bfloat16"]
    assert table.notes[1].endswith(" ~: emulated, as nothing here computes that dtype natively.")
    assert table.notes[0] == "stdc1_spatial_path in openvino_bf16, batch 8: not run: out of memory: much"
    assert "fresh" not in " ".join(table.notes)
    lines = shown(table, 110)
    assert not any("…" in line for line in lines)


def test_what_was_not_measured_is_empty(arch: Path) -> None:
    done = stdc_lab("profile", arch, "--size", "64x96", "--task", "cls", "--no-latency", "--csv", "-")
    (row,) = csv.DictReader(StringIO(done.stdout))
    assert (row["task"], row["num_classes"], row["latency_ms"], row["fps_derived"]) == ("cls", "1000", "", "")
    assert "stages registered twice" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "31x64"], "--size: got '31x64'; allowed: sides from 32 to 8192 pixels"),
        (["--size", "axb"], "--size: got 'axb'; allowed: a size is HEIGHTxWIDTH in pixels, such as 512x1024"),
        (["--size", "64x-64"], "--size: got '64x-64'; allowed: a size is HEIGHTxWIDTH"),
        (["--task", "det"], "--task: got 'det'; allowed: seg, cls"),
        (
            ["--training-heads", "3"],
            "--training-heads: got '3'; allowed: all, or auxiliary, 2, 4, 8, 16 separated by commas",
        ),
        (["--training-heads", "8,8"], "--training-heads: got '8,8'; allowed"),
        (["--training-heads", "all", "--task", "cls"], "--training-heads: got 'all'; allowed: nothing with --task cls"),
        (["--size", "64x96,31x64"], "--size: got '31x64'; allowed: sides from 32"),
        (["--runtime", "tensorrt"], "--runtime: got 'tensorrt'; allowed: all, eager, channels_last"),
        (["--runtime", "cuda_fp16", "--device", "cpu"], "--runtime: got 'cuda_fp16', but it runs on cuda only"),
        (["--batch", "1,0"], "--batch: got '1,0'; allowed: whole numbers from 1 to 1024, separated by commas"),
        (["--no-latency", "--stages"], "--no-latency: allowed without --runtime, --batch, --stages and --reference"),
        (["--reference", "stdc9"], "--reference: got 'stdc9'; allowed: small"),
        (["--picture", "a.jpg"], "--picture: got a.jpg; allowed: a file ending with .png or .svg"),
        (["resnet50"], "ARCH: got 'resnet50', a classifier; allowed: with --task cls"),
        (["stdc9"], "baselines with --task cls: efficientnet_b0"),
        (["no/such.pt"], "no/such.pt"),
        (["--json", "-", "--csv", "-"], "got - for more than one of them; allowed: one of them to stdout"),
        (
            ["--size", "32x32", "--no-latency", "--csv", "no/such/file.csv"],
            "--csv: no/such/file.csv: cannot be written",
        ),
    ],
)
def test_what_is_refused(arch: Path, arguments: list[str], message: str) -> None:
    done = stdc_lab("profile", arch, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
