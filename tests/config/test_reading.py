from pathlib import Path

import pytest

from stdc_lab.arch import presets
from stdc_lab.config.pruning import PruningConfig
from stdc_lab.config.reading import read_arch, read_study
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
