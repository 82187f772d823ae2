import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.cli.in_process import stdc_lab
from tests.search.test_driver import study_config


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stdc_lab.search.dry_run.dry_run.__kwdefaults__", {**_defaults(), "samples": 200})


def _defaults() -> dict[str, object]:
    from stdc_lab.search.dry_run import dry_run

    return dict(dry_run.__kwdefaults__ or {})


def study(folder: Path, **space: object) -> Path:
    config = study_config(references=["stdc1"], trials=4).model_dump(mode="json")
    config["space"] |= space
    path = folder / "tiny.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(config, file)
    return path


def test_a_dry_run_prints_size_limits_costs_and_time_and_writes_nothing(tmp_path):
    path = study(tmp_path, limits=["macs <= 200e3 at 32x64", "num_params <= 10e6"])
    done = stdc_lab("search", path, "--dry-run", "--trials", 7, "--json", tmp_path / "dry.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "space tiny: 36 points" in done.stdout
    assert "macs <= 200000 at 32x64" in done.stdout
    assert "GMACs at 32x64, 11 classes" in done.stdout
    assert "for 7 trials on cpu, one after another; a trial of stdc1" in done.stdout
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dry.json", "tiny.yaml"]
    written = json.loads((tmp_path / "dry.json").read_text())
    assert written["survey"]["size"]["points"] == 36
    assert 0 < written["survey"]["feasible"] < 200
    assert written["estimate"]["trials"] == 7


def test_a_plan_prints_its_arms_and_seeds_and_what_they_break(tmp_path):
    path = tmp_path / "plan.yaml"
    config = study_config(references=["stdc1"]).model_dump(mode="json")
    config["space"]["limits"] = ["num_params <= 5e6", "macs <= 200e9 at 512x1024"]
    config["plan"] = {"arms": {"base": {}, "thin": {"base_width": 4}, "deep": {"base": "stdc2"}}, "seeds": [0, 1]}
    with path.open("w") as file:
        YAML(typ="safe").dump(config, file)
    done = stdc_lab("search", path, "--dry-run", "--json", tmp_path / "dry.json")
    assert done.returncode == 0, done.stderr
    assert "plan: 3 arms × 2 seeds = 6 trainings, and stdc1 once: 7 trials\n" in done.stdout
    assert "GMACs at 32x64, 11 classes" in done.stdout
    assert "space" not in done.stdout and "random points" not in done.stdout
    arms = {arm["name"]: arm for arm in json.loads((tmp_path / "dry.json").read_text())["plan"]["arms"]}
    broken = ", ".join(f"{name} ({arms[name]['num_params']:,})" for name in ("base", "deep"))
    said = f"limit num_params <= 5000000: not met by {broken}; trained all the same, never on the front\n"
    assert said in done.stdout
    assert "limit macs" not in done.stdout
    assert "for 7 trials on cpu, one after another; a trial of stdc1" in done.stdout


def test_json_on_standard_output_is_alone_there(tmp_path):
    done = stdc_lab("search", study(tmp_path), "--dry-run", "--json", "-")
    assert json.loads(done.stdout)["survey"]["samples"] == 200
    assert "space tiny" in done.stderr


def test_limits_that_nothing_meets_end_with_the_one_that_kills(tmp_path):
    done = stdc_lab("search", study(tmp_path, limits=["macs <= 1000 at 32x64"]), "--dry-run")
    assert done.returncode == 2
    assert "none of 200 random points can be used: `macs <= 1000 at 32x64` alone kills all of them" in done.stderr
    assert "not met by" in done.stdout


def test_json_belongs_to_a_dry_run(tmp_path):
    done = stdc_lab("search", study(tmp_path), "--json", "-")
    assert (done.returncode, "--json: allowed with --dry-run only" in done.stderr) == (2, True)


def test_the_mistakes_of_a_space_are_answered_with_their_place(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: x\nspace:\n  name: s\n  vary:\n    num_blocks: {type: int, low: 2, high: 3}\n"
        "    fusion: {type: choice, values: [cat], wen: {num_blocks: 2}}\n  limits: [macs <= 8e9]\n"
    )
    done = stdc_lab("search", path, "--dry-run")
    assert done.returncode == 2
    assert "bad.yaml:6: space.vary.fusion.wen: no such key (did you mean when?)" in done.stderr
    assert "bad.yaml:7: space.limits.0: got 'macs <= 8e9'; allowed: with a size" in done.stderr


def test_a_scorer_that_is_not_there_is_said_with_the_file_before_anything_else(tmp_path):
    path = tmp_path / "tiny.yaml"
    config = study_config(scorer={"name": "nobody"}).model_dump(mode="json")
    with path.open("w") as file:
        YAML(typ="safe").dump(config, file)
    done = stdc_lab("search", path, "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}: scorer.name: got 'nobody'; allowed: training" in " ".join(done.stderr.split())
