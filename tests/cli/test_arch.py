import json
from pathlib import Path

import pytest

from stdc_lab.arch import ArchSpec, StdcSpec, presets
from tests.cli.in_process import stdc_lab


@pytest.mark.parametrize("command", ["list", "show", "diff"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = stdc_lab("arch", command, "--help")
    assert done.returncode == 0
    assert f"Example: stdc-lab arch {command}" in done.stdout


def test_list_names_every_preset_with_its_cost(tmp_path: Path) -> None:
    done = stdc_lab("arch", "list", "--json", tmp_path / "list.json")
    rows = json.loads((tmp_path / "list.json").read_text())
    assert {row["name"]: row["arch_id"] for row in rows} == {name: spec.arch_id for name, spec in presets.items()}
    assert all(row["name"] in done.stdout and row["arch_id"] in done.stdout for row in rows)
    assert next(row["num_params"] for row in rows if row["name"] == "stdc2") == 12_305_568


def test_show_says_what_the_paper_says() -> None:
    text = stdc_lab("arch", "show", "stdc2").stdout
    assert "Widths of stages 1–5: 32, 64, 256, 512, 1024\nModules in stages 3–5: 4, 5, 3" in text
    assert "stage 3: 128, 64, 32, 32" in text
    assert "12,305,568" in text and "23,456.6" in text
    assert "12,471,968 parameters; 12,474,016 as the released network counts" in " ".join(text.split())
    stage4 = next(line for line in text.splitlines() if line.strip().startswith("stage 4"))
    assert stage4.split()[2:] == ["512×32×64", "2,625,280", "21.3%", "5,767.7", "24.6%", "7.34", "703"]


def test_show_of_the_classifier() -> None:
    text = stdc_lab("arch", "show", "stdc1", "--task", "cls").stdout
    assert "classifier, 1000 classes, input 1×3×224×224" in text
    assert "806.1" in text and "8,441,504" in text


def test_show_of_a_file_down_to_the_blocks_and_as_json(tmp_path: Path) -> None:
    spec = StdcSpec(base_width=16, depths=(1, 2, 1), num_blocks=3, stem_depths=(1, 2), fusion="add")
    path = tmp_path / "mine [one].json"
    path.write_text(json.dumps(spec.to_dict()))
    done = stdc_lab("arch", "show", path, "--size", "101x203", "--classes", 11, "--blocks", "--json", "-")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert ArchSpec.from_dict(content["arch"]) == spec
    assert (content["arch_id"], content["size"], content["num_classes"]) == (spec.arch_id, [101, 203], 11)
    names = [part["name"] for part in content["parts"]]
    assert names == ["stage 1", "stage 2", "stage 3", "stage 4", "stage 5", "decoder", "head"]
    assert sum(part["macs"] for part in content["parts"]) == content["macs"]
    assert "mine [one].json" in done.stderr
    assert "convolutions in stages 1 and 2 1, 2" in done.stderr
    assert "residual projection" in done.stderr


def test_diff_names_fields_and_the_change_of_every_stage(tmp_path: Path) -> None:
    done = stdc_lab("arch", "diff", "stdc1", "stdc2", "--json", tmp_path / "diff.json")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["depths", "2,", "2,", "2", "4,", "5,", "3"] in lines
    assert next(line for line in lines if line[:2] == ["stage", "4"])[2:5] == ["1,012,480", "2,625,280", "+159.3%"]
    assert next(line for line in lines if line[:1] == ["whole"])[-1] == "+39.1%"
    content = json.loads((tmp_path / "diff.json").read_text())
    assert content["fields"] == [{"field": "depths", "a": [2, 2, 2], "b": [4, 5, 3]}]
    assert content["b"]["num_params"] == 12_305_568


def test_diff_of_a_part_that_only_one_has_and_of_equal_networks() -> None:
    text = stdc_lab("arch", "diff", "stdc1", "stdc1_conv_last").stdout
    conv_last = [line for line in text.splitlines() if line.strip().startswith("conv_last")]
    assert conv_last[0].split() == ["conv_last", "false", "true"]
    assert conv_last[1].split() == ["conv_last", "–", "1,050,624", "–", "536.9", "–", "735"]
    assert "no field differs: one network" in stdc_lab("arch", "diff", "stdc1", "stdc1").stdout


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_drawing_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"stdc1.{suffix}"
    done = stdc_lab("arch", "show", "stdc1", "--draw", path)
    assert done.returncode == 0, done.stderr
    assert f"drawn: {path}" in done.stdout
    assert path.read_bytes().startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "stdc9"], "architecture: got 'stdc9' (did you mean stdc2?)"),
        (["show", "no/such.yaml"], "no/such.yaml: no such file"),
        (["show", "stdc1", "--size", "big"], "--size: got 'big'; allowed: a size is HEIGHTxWIDTH"),
        (["show", "stdc1", "--task", "both"], "--task: got 'both'; allowed: seg, cls"),
        (["show", "stdc1", "--draw", "a.gif"], "--draw: got"),
        (["show", "stdc1", "--json", "no/such/folder.json"], "--json: no/such/folder.json: cannot be written"),
        (["diff", "stdc1"], "Missing argument"),
        (["show", "bad.yaml"], "bad.yaml: fusion: got 'sum'; allowed: cat, add"),
        (["show", "wide.yaml"], "wide.yaml: widths, stage 3: got 100; allowed: multiples of channel_multiple (8)"),
        (["show", "ratio.yaml"], "ratio.yaml: channel_ratio: got -1; allowed: a number above 0"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("base: stdc1\nfusion: sum\n")
    (tmp_path / "wide.yaml").write_text("widths: [32, 64, 100, 512, 1024]\nchannel_multiple: 8\n")
    (tmp_path / "ratio.yaml").write_text("channel_ratio: -1\n")
    done = stdc_lab("arch", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.iterdir())) == 3
