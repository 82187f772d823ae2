"""`stdc-lab study confirm` as a user types it."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from stdc_lab.analysis.frame import load_study
from stdc_lab.arch import StdcSpec
from stdc_lab.cli.watching import ConsoleWatcher
from stdc_lab.search.candidate import Candidate
from tests.cli import in_process
from tests.search.test_driver import study_config
from tests.study_folder import make_record
from tests.study_folder import study_config as made_up_config


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    config = study_config(references=["stdc1"], trials=1).model_dump(mode="json")
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(config, file)
    return path


def test_a_front_is_confirmed_and_seen(lent_crew: None, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert in_process.stdc_lab("search", study, "--out", out).returncode == 0
    done = in_process.stdc_lab("study", "confirm", out, "2", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "2 trials on cpu" in said
    assert "(#0 with seed 1000001)" in said
    assert "1 network (1 of the front) trained again with 2 fresh seeds" in said
    assert "fresh seeds" in said
    assert load_study(out)["confirmed_seeds"].tolist() == [2, 0, 0]
    again = in_process.stdc_lab("study", "confirm", out, "2", "--device", "cpu", "--json", "-")
    (network, *_) = json.loads(again.stdout)["networks"]
    assert network["confirmed_seeds"] == 2 and 0 <= network["confirmed_miou"] <= 1
    assert "trained again with 2 fresh seeds" in " ".join(again.stderr.split())
    timed = in_process.stdc_lab("study", "retime", out, "--device", "cpu", "--json", tmp_path / "timed.json")
    assert timed.returncode == 0, timed.stderr
    anew = json.loads((tmp_path / "timed.json").read_text())["networks"][0]["latency_ms"]
    assert anew == load_study(out)["latency_ms"][0]
    assert "latency ms" in timed.stdout
    status = " ".join(in_process.stdc_lab("study", "status", out).stdout.split())
    assert "1 of 1 trials trained" in status
    assert "(2)" in status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["0"], "study confirm: got 0; allowed: a whole number from 1, of fresh seeds"),
        (["2", "--tie", "2"], "--tie: got 2; allowed: mIoU from 0 to 1"),
        (["many"], "Invalid value for 'K'"),
        (["2", "--data", "camvid=."], "--data: got 'camvid'; allowed: scenes, the data set of this study"),
        (["2"], "no study to confirm; run the search first"),
    ],
)
def test_what_cannot_be_confirmed(study: Path, tmp_path: Path, options: list[str], message: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    shutil.copy(study, folder / "study.yaml")
    done = in_process.stdc_lab("study", "confirm", folder, *options)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]


def test_a_line_says_what_became_of_a_training() -> None:
    spec, config = StdcSpec(), made_up_config()
    console = Console(file=io.StringIO(), width=300)
    watcher = ConsoleWatcher(console)
    record = make_record(7, spec, config, 0.2, 12.0)
    reason = "stopped at iteration 50: dominated by #1, #2"
    watcher.trial_finished(Candidate(7, spec, config.train, 0), record.model_copy(update={"stopped": reason}), None)
    watcher.trial_finished(Candidate(8, spec, config.train, 1_000_001, confirms=7), record, None)
    assert isinstance(console.file, io.StringIO)
    stopped, fresh = console.file.getvalue().splitlines()
    assert stopped.startswith("trial   7: stopped at iteration 50: dominated by #1, #2; mIoU 0.200")
    assert fresh.startswith("trial   8 (#7 with seed 1000001): mIoU 0.200")
