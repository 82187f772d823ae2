"""A figure is a line of the table and a reader: a made-up one, and the IoU of a class, from a record to the report."""

from __future__ import annotations

import math
import re
from pathlib import Path

import optuna
import pytest

from stdc_lab.analysis import compare_arms, load_study, write_trials_csv
from stdc_lab.analysis.frame import varied_parameters
from stdc_lab.cli.status import front_table as terminal_table
from stdc_lab.config.bounds import parse_constraint, parse_limit
from stdc_lab.config.figures import FIGURES, Figure, figure_of
from stdc_lab.config.objectives import parse_objective
from stdc_lab.errors import StudyError
from stdc_lab.records import figures as figures_module
from stdc_lab.records.figures import OF_PROFILE, OF_TRAINING, figures_of
from stdc_lab.reporting.arms import arms_table
from stdc_lab.reporting.figures import parameters_figure
from stdc_lab.reporting.tables import front_table, trials_table
from stdc_lab.reporting.words import aims_in_words
from stdc_lab.search import run_study
from stdc_lab.search.objectives import check_classes, constraint_excess, objective_values
from stdc_lab.search.propose import draw_candidate, tell
from tests.search.test_driver import study_config as tiny_study
from tests.study_folder import make_record, open_study, study_config

ROOT = Path(__file__).resolve().parents[2]


def searched(folder, config, measured):
    """A study in which each point was told a record as measured: (mIoU, latency in ms, IoU by class)."""
    with open_study(folder, config) as study:
        study.set_user_attr("objectives", [str(one) for one in config.objectives])
        study.sampler = optuna.samplers.RandomSampler(seed=3)
        records = []
        for miou, latency_ms, by_class in measured:
            trial = study.ask()
            candidate = draw_candidate(trial, config, 11)
            record = make_record(trial.number, candidate.spec, config, miou, latency_ms, seed=candidate.seed)
            record = record.model_copy(update={"result": record.result.model_copy(update={"class_iou": by_class})})
            tell(study, trial, record, config, None)
            records.append(record)
    return records


@pytest.fixture
def joules(monkeypatch):
    """Another figure: its line in the table and its reader."""
    line = Figure("joules", "Energy", "mJ", "of a call", "profile", divisor=1e-3, digits=1, words="energy")
    monkeypatch.setitem(FIGURES, "joules", line)
    monkeypatch.setitem(OF_PROFILE, "joules", lambda cost: 1e-3 * cost.latency.median_ms)
    return line


def headings(table):
    return [heading for heading, _ in table.headings]


def test_a_line_and_a_reader_make_an_objective_a_constraint_columns_and_an_axis(joules, tmp_path):
    config = study_config(name="asked", objectives=["miou", "joules"], constraints=["joules <= 0.02"], references=[])
    records = searched(tmp_path, config, [(0.5, 12.0, {}), (0.6, 25.0, {})])
    assert objective_values(config, figures_of(records[0])) == [0.5, pytest.approx(0.012)]
    assert constraint_excess(config, figures_of(records[1])) == {"joules <= 0.02": pytest.approx(0.25)}

    frame = load_study(tmp_path, "asked")
    assert frame["joules"].tolist() == pytest.approx([0.012, 0.025])
    assert (frame["feasible"].tolist(), frame["on_front"].tolist()) == ([True, False], [True, False])
    assert "joules" not in varied_parameters(frame)
    write_trials_csv(frame, tmp_path / "trials.csv")
    assert "joules" in (tmp_path / "trials.csv").read_text().splitlines()[0].split(",")

    for table in (front_table(frame), trials_table(frame)):
        assert table.rows[0].cells[headings(table).index("Energy mJ")].text == "12.0"
    shown = terminal_table(frame)
    assert list(next(column for column in shown.columns if column.header == "Energy mJ").cells) == ["12.0", "25.0"]
    labels = {axes.get_ylabel() for axes in parameters_figure(frame).axes}
    assert labels >= {"mIoU", "Latency (ms)", "Energy (mJ)"}
    assert aims_in_words(frame) == "mIoU up, energy down"


def test_the_example_of_the_documentation_is_a_figure(monkeypatch):
    section = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("## A figure\n")[1].split("\n## ")[0]
    line, reader = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    tail = eval(line, {"Figure": Figure})
    monkeypatch.setitem(FIGURES, tail.name, tail)
    readers = eval(reader, {"_of_latency": figures_module._of_latency})
    monkeypatch.setitem(OF_PROFILE, tail.name, readers["tail"])
    config = study_config(objectives=["miou", "tail"], constraints=["tail <= 1.2"])
    figures = figures_of(make_record(0, config.known_networks["stdc1"], config, 0.5, 20.0))
    assert objective_values(config, figures) == [0.5, pytest.approx(1.08)]
    assert constraint_excess(config, figures)["tail <= 1.2"] == pytest.approx(-0.1)


def test_a_score_of_a_line_and_a_reader_is_averaged_over_seeds(monkeypatch, tmp_path):
    calm = Figure("calm", "Calm", "", "of a training", "training", True, 1, by_seed=True)
    monkeypatch.setitem(FIGURES, "calm", calm)
    monkeypatch.setitem(OF_TRAINING, "calm", lambda record: 10 * record.result.miou)
    plan = {"arms": {"plain": {}, "narrow": {"base_width": 32}}, "seeds": [0, 1]}
    config = study_config(name="asked", plan=plan, objectives=["calm", "latency_ms"])
    with pytest.raises(ValueError, match="pruning: needs miou among the objectives"):
        study_config(name="asked", objectives=["miou", "calm"], pruning={})
    attributes = [{"arm": arm, "seed": seed} for seed in (0, 1) for arm in ("plain", "narrow")]
    with open_study(tmp_path, config) as study:
        study.set_user_attr("objectives", ["calm", "latency_ms"])
        for number, known in enumerate(attributes):
            study.enqueue_trial({}, user_attrs=known)
            trial = study.ask()
            candidate = draw_candidate(trial, config, 11)
            record = make_record(number, candidate.spec, config, 0.5 + number / 100, 20.0, seed=candidate.seed)
            tell(study, trial, record, config, None)
    frame = load_study(tmp_path)
    assert frame["network_calm"].tolist() == pytest.approx([5.1, 5.2, 5.1, 5.2])
    assert compare_arms(frame)["calm_difference"].tolist()[1] == pytest.approx(0.1)
    assert {"Calm", "95 % of Calm", "Calm − plain"} <= set(headings(arms_table(frame)))


def test_the_iou_of_a_class_is_a_figure(tmp_path):
    config = study_config(
        name="asked",
        objectives=["iou.pedestrian", "latency_ms"],
        constraints=["iou.traffic light >= 0.2"],
        references=[],
    )
    measured = [
        (0.5, 12.0, {"pedestrian": 0.3, "traffic light": 0.1, "sky": 0.9}),
        (0.6, 25.0, {"pedestrian": 0.4, "traffic light": 0.3, "sky": None}),
    ]
    records = searched(tmp_path, config, measured)
    assert objective_values(config, figures_of(records[1])) == [0.4, 25.0]
    frame = load_study(tmp_path, "asked")
    assert frame["iou.pedestrian"].tolist() == frame["network_iou.pedestrian"].tolist() == [0.3, 0.4]
    assert frame["iou.sky"].tolist()[0] == 0.9
    assert math.isnan(frame["iou.sky"][1])
    assert "network_iou.sky" not in frame, "means are kept of what is asked for"
    assert (frame["feasible"].tolist(), frame["on_front"].tolist()) == ([False, True], [False, True])
    assert varied_parameters(frame) == list(config.space.parameters)
    assert "IoU of pedestrian" in headings(trials_table(frame))
    assert aims_in_words(frame) == "IoU of pedestrian up, latency down"


def test_a_class_that_is_not_there_is_told_before_anything_is_trained(tmp_path):
    config = study_config(objectives=["iou.pedestrain", "latency_ms"])
    with pytest.raises(StudyError, match=r"iou.pedestrain: the data set has no such class; allowed: iou.sky, iou.car"):
        check_classes(config, ("sky", "car"))
    with pytest.raises(StudyError, match=r"iou.pedestrain: the data set has no such class; allowed: .*iou.pedestrian"):
        run_study(tiny_study(objectives=["miou"], constraints=["iou.pedestrain >= 0.1"]), tmp_path / "study")
    assert not (tmp_path / "study").exists()
    check_classes(study_config(objectives=["iou.car", "macs"]), ("sky", "car"))
    without = figures_of(make_record(0, config.known_networks["stdc1"], config, 0.5, 9.0)) | {"iou.pedestrain": None}
    with pytest.raises(StudyError, match=r"objective iou\.pedestrain: cannot be measured here: the class occurs in"):
        objective_values(config, without)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("miou", "miou"),
        ("minimize  iou.traffic light", "minimize iou.traffic light"),
        ("maximize iou.car", "iou.car"),
        ("latency_p95_ms", "latency_p95_ms"),
    ],
)
def test_objectives_are_written_as_they_are_read(text, shown):
    assert str(parse_objective(text)) == shown
    assert parse_objective(shown) == parse_objective(text)


def test_a_limit_and_a_constraint_are_one_kind_of_bound():
    assert parse_limit("num_params <= 1e6") == parse_constraint("num_params <= 1e6")
    assert str(parse_constraint("iou.traffic light>=0.25")) == "iou.traffic light >= 0.25"
    with pytest.raises(ValueError, match="allowed: a constraint such as `latency_ms <= 20`"):
        parse_constraint("macs <= 8e9 at 512x1024")
    with pytest.raises(ValueError, match="got 'latency_ms'; allowed: macs, num_params, activations, peak_activations"):
        parse_limit("latency_ms <= 20")


def test_every_figure_that_may_be_asked_for_has_its_reader():
    askable = {one.name for one in FIGURES.values() if one.source != "derived"}
    assert askable == OF_PROFILE.keys() | OF_TRAINING.keys()
    for name in OF_TRAINING:
        assert figure_of(name).source == "training"
    with pytest.raises(ValueError, match=r"got 'fps'; allowed: miou, boundary_f, .*, or iou.CLASS"):
        figure_of("fps")
