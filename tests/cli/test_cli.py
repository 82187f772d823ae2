import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from stdc_lab.analysis.frame import load_study
from stdc_lab.cli import main
from tests.cli import in_child, in_process
from tests.search.test_driver import study_config


def stdc_lab(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "stdc_lab.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(study_config().model_dump(mode="json"), file)
    return path


def commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*names, name))
        else:
            yield (*names, name)


COMMANDS = list(commands(typer.main.get_command(main.app)))


def test_a_study_is_looked_after_by_commands_that_can_be_guessed() -> None:
    assert {("study", name) for name in ("status", "retime", "confirm", "pruning")} < set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...]) -> None:
    done = in_process.stdc_lab(*command, "--help")
    assert done.returncode == 0
    assert f"Example: stdc-lab {' '.join(command)}" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom stdc_lab.cli.main import main\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    for command in ([], ["search"], ["study"], ["study", "confirm"]):
        line = [sys.executable, "-c", code, *command, "--help"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        heavy = {"torch", "optuna", "pandas", "matplotlib", "cv2", "scipy", "numpy"}
        assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "now"),
    [
        ("search --status runs/x", "search --status: now `stdc-lab study status DIR`"),
        ("search study.yaml --retime", "search --retime: now `stdc-lab study retime DIR`"),
        ("-v search study.yaml --confirm=3", "search --confirm: now `stdc-lab study confirm DIR K`"),
        ("search study.yaml --tie 0.1", "search --tie: now `stdc-lab study confirm DIR K --tie MIOU`"),
        ("report runs/x --pruning", "report --pruning: now `stdc-lab study pruning DIR`"),
        ("profile stdc1 --head cls", "profile --head: now `--task seg|cls`"),
        ("profile stdc1 --heads all", "profile --heads: now `--training-heads`"),
        ("arch show stdc1 --head cls", "arch --head: now `--task seg|cls`"),
        ("import a.pth --arch stdc1 --out b.pt --heads", "import --heads: now `--training-heads`"),
    ],
)
def test_an_option_of_before_is_answered_with_todays(command: str, now: str, tmp_path: Path) -> None:
    done = in_process.stdc_lab(*command.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {now}\n")


def test_from_a_yaml_to_a_page(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = stdc_lab("search", tiny, "--out", out, "--trials", 1)
    assert first.returncode == 0, first.stderr
    assert "trial   0: mIoU" in first.stdout
    assert "loss" in first.stdout
    assert "left" in first.stdout
    # All that follows does without a process of its own, whose imports would take longer.
    again = in_process.stdc_lab("search", tiny, "--out", out, "--trials", 1)
    assert again.returncode == 0
    assert "1 trials were trained before and 1 are wanted: nothing to do" in again.stdout
    retimed = in_process.stdc_lab("study", "retime", out)
    assert retimed.returncode == 0, retimed.stderr
    report = in_process.stdc_lab("report", out)
    assert report.returncode == 0, report.stderr
    page = (out / "report" / "index.html").read_text()
    assert "data:image/png;base64," in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_profile_writes_what_the_contract_names(tmp_path: Path) -> None:
    arch = tmp_path / "small.yaml"
    arch.write_text("base: stdc1\nbase_width: 8\n")
    path = tmp_path / "out.json"
    done = stdc_lab(
        "profile", arch, "--size", "64x96", "--classes", 5, "--seconds", 0.1, "--threads", 1, "--json", path
    )
    assert done.returncode == 0, done.stderr
    [entry] = json.loads(path.read_text())
    assert entry["latency"]["input_shape"] == [1, 3, 64, 96]
    assert entry["latency"]["median_ms"] <= entry["latency"]["p95_ms"]
    assert set(entry["counters"]) == {"theory", "fvcore", "thop", "torch"}
    assert entry["macs"] == entry["counters"]["torch"] == entry["counters"]["theory"]
    assert f"{entry['num_params']:,}" in done.stdout
    assert f"{entry['latency']['threads']} thread" in done.stdout  # or threads


def test_counting_alone_measures_no_latency(tmp_path: Path) -> None:
    arch = tmp_path / "small.yaml"
    arch.write_text("base: stdc1\nbase_width: 8\n")
    done = in_process.stdc_lab("profile", arch, "--size", "64x96", "--no-latency", "--json", "-")
    assert json.loads(done.stdout)[0]["latency"] is None
    assert "latency: not run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "stdc3"], "architecture: got 'stdc3' (did you mean stdc2?); allowed: stdc1, stdc2"),
        (["profile", "stdc1", "--size", "512"], "--size: got '512'; allowed: a size is HEIGHTxWIDTH"),
        (["profile", "stdc1", "--size", "8x8"], "--size: got '8x8'; allowed: sides from 32 to 8192"),
        (["profile", "stdc1", "--device", "tpu"], "--device: got 'tpu'; allowed: auto, cpu"),
        (["profile", "stdc1", "--classes", "1"], "--classes"),
        (["profile", "stdc1", "--seconds", "700"], "--seconds"),
        (["profile", "stdc1", "--threads", "2000"], "--threads"),
        (["profile", "no/such.yaml"], "no/such.yaml: no such file"),
        (["search", "no/such.yaml"], "no/such.yaml: no such file"),
        (["report", "no/such/folder"], "no/such/folder"),
        (["search"], "Missing argument 'STUDY.yaml'"),
        (["study", "retime", "no/such/folder"], "no such folder; give a folder that `stdc-lab search` wrote"),
        (["serch"], "No such command 'serch'"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = in_process.stdc_lab(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trials", "-1"], "--trials: got -1; allowed: a whole number from 1"),
        (["--trials", "many"], "--trials"),
        (["--data", "camvid"], "--data: got 'camvid'; allowed: NAME=PATH"),
        (["--data", "camvid=."], "--data: got 'camvid'; allowed: scenes, the data set of this study"),
        (["--device", "cuda:99"], "--device: got 'cuda:99', but PyTorch sees"),
        (["--devices", "cpu,cpu"], "--devices: got 'cpu,cpu'; allowed: each device once, such as cuda:0,cuda:1"),
        (["--devices", "cpu", "--device", "cpu"], "--devices: got 'cpu' beside --device cpu; allowed: one of the two"),
        (["--jobs", "0"], "--jobs: got 0; allowed: a whole number from 1"),
        (["--max-hours", "0"], "--max-hours: got 0; allowed: a number above 0"),
    ],
)
def test_a_search_with_bad_options_writes_nothing(tiny: Path, tmp_path: Path, options: list[str], message: str) -> None:
    done = in_process.stdc_lab("search", tiny, "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_ends_with_130_and_keeps_what_is_done(tiny: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    with in_child.child(tmp_path, in_child.stdc_lab, "search", tiny, "--out", out, "--trials", 500) as search:
        search.wait_until(lambda: "\ntrial   0" in "\n" + search.output)
        os.kill(search.pid, number)
        assert search.status() == 130
        assert "interrupted; what was finished is kept" in search.errors
    frame = load_study(out)
    assert frame.loc[0, "state"] == "COMPLETE"
    assert "RUNNING" not in set(frame["state"])
