import json
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from stdc_lab.arch import presets
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.reading import read_arch, read_study, read_yaml, yaml_text
from stdc_lab.errors import ConfigError

SPACE = "space: {name: s, vary: {base_width: {type: choice, values: [16, 32]}}}"


def study(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["quickstart", "camvid_pareto"])
def test_shipped_studies_are_valid_and_hold_their_reference_networks(name: str) -> None:
    config = read_study(Path(__file__).parents[2] / "studies" / f"{name}.yaml")
    points = [config.space.parameters_of(presets[reference], config.train) for reference in config.references]
    assert config.references == ("stdc1", "stdc2")
    assert None not in points


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_shipped_study_can_be_read(path: Path) -> None:
    assert read_study(path).name == path.stem


def test_no_shipped_study_prunes_with_less_than_the_default_margin() -> None:
    configs = [read_study(path) for path in (Path(__file__).parents[2] / "studies").glob("*.yaml")]
    margins = [config.pruning.margin for config in configs if config.pruning is not None]
    assert margins and min(margins) >= PruningConfig().margin == 2.0


def test_a_study_survives_being_written_as_it_was_run(tmp_path: Path) -> None:
    first = read_study(
        study(tmp_path, f"name: x\n{SPACE}\ndata: {{size: 64x96}}\ntrain: {{augmentation: {{crop: 32x64}}}}")
    )
    (tmp_path / "again.yaml").write_text(first.model_dump_json())
    assert read_study(tmp_path / "again.yaml") == first
    assert first.data.size == (64, 96)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"name: x\n{SPACE}\ntrials: -1", r"study.yaml:3: trials: got -1; allowed: .*greater than or equal to 1"),
        (
            f"name: x\n{SPACE}\ntrain:\n  batchsize: 8",
            r"study.yaml:4: train.batchsize: no such key \(did you mean batch_",
        ),
        (f"name: x\n{SPACE}\ntrain: {{iterations: '500'}}", r"train.iterations: got '500'; allowed: .*valid integer"),
        (f"name: x\n{SPACE}\ntrain: {{iterations: true}}", r"train.iterations: got true; allowed: .*valid integer"),
        (f"name: x\n{SPACE}\ntrain: {{learning_rate: .nan}}", r"train.learning_rate: got NaN; allowed: .*finite"),
        (
            f"name: x\n{SPACE}\ntrain: {{iterations: 20}}",
            r"train: warmup_iterations \(50\) must be fewer than iterations",
        ),
        (
            f"name: x\n{SPACE}\ndata: {{name: cityscape}}",
            r"data.name: got 'cityscape'; allowed: .*'scenes', 'camvid', 'cityscapes' or 'folder'",
        ),
        (f"name: x\n{SPACE}\ndata: {{name: camvid, seed: 3}}", r"data: seed \(3\) says nothing of camvid"),
        (f"name: x\n{SPACE}\ndata: {{split: drive}}", r"data: split \(drive\) says nothing of scenes"),
        (f"name: x\n{SPACE}\ndata: {{name: camvid, held_out: 0001TP}}", r"held_out \(0001TP\) says nothing of camvid"),
        (f"name: x\n{SPACE}\ndata: {{size: 180}}", r"data.size: got 180; allowed"),
        (
            f"name: x\n{SPACE}\ndata: {{size: 180by240}}",
            r"data.size: a size is HEIGHTxWIDTH in pixels, such as 180x240",
        ),
        (f"name: x\n{SPACE}\nreferences: [stdc3]", r"got 'stdc3' \(did you mean stdc2\?\); allowed: stdc1, stdc2"),
        (
            "name: x\nspace:\n  name: s\n  vary:\n    num_blocks: {type: int, low: 2, high: 3}\n"
            "    num_blocks: {type: int, low: 2, high: 4}",
            r'study.yaml:6: not valid YAML: found duplicate key "num_blocks"',
        ),
        (
            "name: x\nspace: {name: s, vary: {num_blocks: {type: int, low: two, high: 3}}}",
            r"space.vary.num_blocks.low: got 'two'; allowed: .*valid integer",
        ),
        ("name: x\nspace: {name: s, vary: {num_blocks: {type: int, high: 3}}}", r"vary.num_blocks.low: missing"),
        ("name: x\nspace: {name: s, vary: {}}", r"space.vary: got \{\}; allowed: .*at least 1"),
        (f"name: x\n{SPACE}\nname: y", r'study.yaml:3: not valid YAML: found duplicate key "name"'),
        (f"name: ../x\n{SPACE}", r"name: got '../x'; allowed: .*pattern"),
        (SPACE, r"study.yaml: name: missing"),
        ("name: [", r"study.yaml:1: not valid YAML"),
        ("- 1", r"study.yaml: got \[1\]; allowed: keys of a StudyConfig"),
        ("", r"study.yaml: got null; allowed: keys of a StudyConfig"),
        (
            "name: x\nspace: stdc_cor",
            r"space: got 'stdc_cor' \(did you mean stdc_core\?\); allowed: decoders, pp_liteseg, regseg, stdc_core",
        ),
        (
            "name: x\nspace: {name: s, vary: {base_width: {type: int, low: 8, high: 2}}}",
            r"space.vary.base_width: an empty range: low 8 is above high 2",
        ),
        (
            "name: x\nspace: {name: s, vary: {width: {type: int, low: 1, high: 2}}}",
            r"vary.width: no such parameter \(did you mean widths\?\); allowed: base_width, widths",
        ),
        (
            "name: x\nspace: {name: s, vary: {num_blocks: {type: int, low: 1, high: 4}}}",
            r"num_blocks: got 1; allowed: a whole number from 2 to 8",
        ),
        (
            "name: x\nspace: {name: s, vary: {kernels: {type: choice, values: [[1, 3], [1, 2]]}}}",
            r"kernels, block 2: got 2; allowed: odd numbers",
        ),
        (
            "name: x\nspace: {name: s, vary: {base_width: {type: int, low: 16, high: 64}}}",
            r"base_width: got 17; allowed: an even number",
        ),
        (
            "name: x\nspace: {name: s, vary: {kernels: {type: choice, values: [[1, 3], [1, 2], [3]]}}}",
            r"kernels, block 2: got 2; allowed: odd numbers",
        ),
        (
            "name: x\nspace: {name: s, vary: {train.iterations.x: {type: int, low: 1, high: 4}}}",
            r"vary.train.iterations.x: no such training setting",
        ),
        (
            "name: x\nspace: {name: s, vary: {train.warmup_iterations: {type: int, low: 10, high: 90}}}\n"
            "train: {iterations: 60, warmup_iterations: 5}",
            r"warmup_iterations \(60\) must be fewer than iterations",
        ),
        (
            "name: x\nspace: {name: s, vary: {train.speed: {type: int, low: 1, high: 4}}}",
            r"study.yaml:2: space: vary.train.speed: no such training setting; allowed: iterations, batch_size",
        ),
        (
            "name: x\nspace: {name: s, vary: {num_blocks: {type: integer, low: 2, high: 4}}}",
            r"space.vary.num_blocks: .*'integer'.*'int', 'float', 'choice'",
        ),
    ],
)
def test_a_mistake_is_answered_with_file_line_key_got_and_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_study(study(tmp_path, text))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_study(study(tmp_path, f"name: x\n{SPACE}\ntrials: 0\nseed: -1\nfoo: 1"))
    assert len(str(caught.value).splitlines()) == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_study(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read_study(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read: not UTF-8 text"):
        read_study(tmp_path / "binary.yaml")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefgh")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r":5: .*got more than 10,000 keys and values, those behind aliases counted each time; allowed"),
        ("name: x\ntitle: " + "[" * 300, r":2: .*got lists or mappings nested 33 deep; allowed: 32"),
        ("[" * 62_000 + "]" * 62_000, r":1: .*got lists or mappings nested 33 deep; allowed: 32"),
        ("title: [" + "[], " * 31_000 + "]", r":1: .*got more than 10,000 keys and values.*; allowed: at most that"),
        ("x: " + "y" * 2**18, r"study.yaml: cannot be read: got more than 262,144 bytes; allowed: at most that"),
        ("name: &a [*a]", r":1: .*got \*a inside what it stands for; allowed: aliases of what is whole"),
        ("name: &a\n  <<: *a", r":2: .*got \*a inside what it stands for; allowed"),
        ("name: x\n2024-01-01: 3", r":2: .*got a date as a key; allowed: text, in quotes if need be"),
        ("name: x\n? [1, 2]\n: 3", r":2: .*got a list as a key; allowed: text, in quotes if need be"),
        ("name: x\n{a: 1}: 3", r":2: "),
        (
            "name: x\ntrials: !!int abc",
            r":2: .*got 'abc', which is no int; allowed: text in quotes, or a value of that",
        ),
        ("name: x\ntrials: " + "9" * 5000, r":2: .*got a number of 5,000 characters; allowed: at most 40"),
        ("name: x\ntrials: 0x" + "f" * 4998, r":2: .*got a number of 5,000 characters; allowed: at most 40"),
        ("name: x\ntitle: 2024-02-30", r":2: .*got '2024-02-30', which is a date that there is not; allowed: text in"),
        ("name: 2024-13-01", r":1: .*got '2024-13-01', which is a date that there is not; allowed: text in quotes"),
        ("a: *b", r":1: .*found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", r":2: .*another document"),
        ("name: \x01", r"study.yaml: not valid YAML: unacceptable character"),
    ],
    ids=lambda value: value[:24],
)
def test_a_hostile_file_is_answered_with_one_message_within_a_second(tmp_path: Path, text: str, message: str) -> None:
    path = study(tmp_path, text)
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    assert time.process_time() - started < 1  # of this process: the machine may be busy
    assert re.match(str(path) + message if message[0] == ":" else f".*{message}", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 500


def test_aliases_and_merges_within_limits_are_read(tmp_path: Path) -> None:
    path = study(tmp_path, "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n3: 1e3")
    assert json.loads(json.dumps(read_yaml(path))) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 3},
        "3": 1000.0,
    }


def test_a_value_that_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    first = read_study(study(tmp_path, f"name: '2024-02-30'\ntitle: '1e3'\n{SPACE}"))
    for flow in (None, False):
        assert read_study(study(tmp_path, yaml_text(first, flow=flow))) == first


def test_an_architecture_file_may_start_from_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("base: stdc2\nnum_blocks: 3\n")
    assert read_arch(path) == presets["stdc2"].replace(num_blocks=3)
    path.write_text("base: stdc2\nnum_bloks: 3\n")
    with pytest.raises(ConfigError, match=r"a.yaml: num_bloks: no such field \(did you mean num_blocks\?\)"):
        read_arch(path)
    path.write_text("- 3\n")
    with pytest.raises(ConfigError, match=r"a.yaml: architecture: got \[3\]; allowed: a preset's name or a mapping"):
        read_arch(path)
