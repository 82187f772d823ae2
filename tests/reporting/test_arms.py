"""What a page says and draws of a plan: its arms, not its luckiest trainings."""

from __future__ import annotations

import numpy as np
import pytest

from stdc_lab.analysis import load_study
from stdc_lab.reporting import pareto_figure, render_report
from stdc_lab.reporting.arms import arm_marks, arms_figure, arms_table
from stdc_lab.reporting.figure_data import finished_networks
from stdc_lab.reporting.html import described_trials
from stdc_lab.reporting.tables import trials_table
from stdc_lab.reporting.words import arm_sentences, asked, cautions, summary
from tests.analysis.test_networks import plan_study
from tests.reporting.test_figures import texts
from tests.study_folder import study_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "out"
    plan_study(path)
    return path


@pytest.fixture(scope="module")
def frame(folder):
    return load_study(folder)


@pytest.fixture(scope="module")
def page(folder):
    return render_report(folder).read_text(encoding="utf-8")


def test_the_sentences_compare_every_arm_with_the_control(frame):
    counted, control, narrow, late = arm_sentences(frame)
    assert counted == "3 arms, 8 finished trainings of them; mIoU is a mean over seeds."
    assert control == "The control, plain, reaches 0.520 (95 % interval 0.470 to 0.570, 3 seeds)."
    assert narrow == (
        "narrow reaches 0.533 (95 % interval 0.471 to 0.596, 3 seeds): +0.013 beside plain, paired over 3 seeds (95 % "
        "interval −0.001 to +0.028, which holds 0: these seeds do not tell the two apart)."
    )
    assert "−0.085 beside plain, paired over 2 seeds (95 % interval " in late
    said = " ".join(summary(frame))
    assert "fastest" not in said and "front" not in said, "nothing was chosen"


def test_an_interval_without_zero_is_said_and_one_seed_tells_nothing(frame):
    higher = frame.assign(miou=frame["miou"].where(frame["arm"] != "narrow", frame["miou"] + 0.1))
    assert "(95 % interval +0.099 to +0.128, which does not hold 0)" in arm_sentences(higher)[2]
    lower = frame.assign(miou=frame["miou"].where(frame["arm"] != "narrow", frame["miou"] - 0.1))
    assert "(95 % interval −0.101 to −0.072, which does not hold 0)" in arm_sentences(lower)[2]
    first = frame[(frame["seed"] == 0) | frame["arm"].isna()]
    assert arm_sentences(first)[2] == (
        "narrow reaches 0.510 (1 seed): +0.010 beside plain, paired over 1 seed, which tells nothing of its noise."
    )
    unpaired = frame[frame["arm"].ne("plain") | frame["seed"].eq(2)]
    assert arm_sentences(unpaired)[3].endswith("2 seeds); it has no seed in common with plain yet.")
    lone = frame[frame["arm"] == "plain"]
    assert arm_sentences(lone)[2] == "narrow has no finished training yet."
    assert arm_sentences(frame.head(1)) == ["No arm has a finished training yet."]


def test_the_caution_is_of_several_seeds_and_several_comparisons(frame):
    said = cautions(frame, study_config())[0]
    assert said.startswith("3 of 3 networks were trained with several seeds: their mIoU is the mean")
    assert said.endswith("Each of the 2 differences has an interval for itself: of many, one may miss 0 by chance.")


def test_what_a_plan_and_a_search_ask_for():
    plan = {"arms": {"a": {}, "b": {"num_blocks": 3}}, "seeds": [0, 7], "control": "b"}
    assert asked(study_config(plan=plan, references=["stdc2"])) == (
        "The study is a plan: 2 arms (a, b), each with 2 seeds (0, 7), and stdc2 once besides: 5 trials. No sampler "
        "chooses anything; b is the control."
    )
    assert asked(study_config(plan=plan)).startswith(
        "The study is a plan: 2 arms (a, b), each with 2 seeds (0, 7): 4 trials. No sampler chooses anything"
    )
    assert asked(study_config(trials=7, sampler={"name": "nsga2"}, seed=3)) == (
        "The study asks for 7 trained trials, stdc1, stdc2 first; the sampler is nsga2, with seed 3."
    )
    assert asked(study_config(trials=1, references=[], sampler={"name": "random"})) == (
        "The study asks for 1 trained trial, no network by name first; the sampler is random, with seed 0."
    )


def test_the_table_has_a_row_an_arm_and_names_what_a_reference_is(frame):
    table = arms_table(frame)
    names = [heading for heading, _ in table.headings]
    assert names[:7] == ["Arm", "Seeds", "mIoU", "95 % of mIoU", "mIoU − plain", "95 % of it", "Pairs"]
    rows = [dict(zip(names, (cell.text for cell in row.cells), strict=True)) for row in table.rows]
    assert [row["Arm"] for row in rows] == ["plain (control)", "narrow", "late", "stdc1 (the same as plain)"]
    assert [rows[1][name] for name in names[1:7]] == ["3", "0.533", "0.471 to 0.596", "+0.013", "−0.001 to +0.028", "3"]
    assert [rows[0][name] for name in names[4:7]] == ["–", "–", "–"]
    assert [rows[3][name] for name in names[1:4]] == ["3", "0.520", "0.470 to 0.570"]
    assert rows[1]["Latency ms"] == "12.00"


def test_the_boundary_score_has_its_columns_where_it_was_measured(frame):
    scored = frame.assign(boundary_f=frame["miou"] / 2, network_boundary_f=frame["network_miou"] / 2)
    table = arms_table(scored)
    names = [heading for heading, _ in table.headings]
    row = dict(zip(names, (cell.text for cell in table.rows[1].cells), strict=True))
    assert (row["Boundary F"], row["Boundary F − plain"]) == ("0.267", "+0.007")
    assert "Boundary F" not in [heading for heading, _ in arms_table(frame).headings]


def test_the_figure_has_every_seed_its_mean_and_the_paired_difference(frame):
    plain, narrow, late = arm_marks(frame)
    assert (plain.control, plain.seeds, plain.scores, plain.differences) == (True, (0, 1, 2), (0.5, 0.54, 0.52), ())
    assert narrow.differences == pytest.approx((0.01, 0.02, 0.01))
    assert narrow.difference == pytest.approx(0.04 / 3)
    assert late.seeds == (0, 1)
    figure = arms_figure(frame, "600 iterations")
    said = texts(figure)
    assert {"mIoU (validation, 0–1)", "mIoU − plain’s, paired by seed", "control", "600 iterations"} <= set(said)
    left, right = figure.axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["plain (n = 3)", "narrow (n = 3)", "late (n = 2)"]
    assert left.get_ylim()[0] > left.get_ylim()[1], "the first arm is above"
    drawn = np.vstack([marks.get_offsets() for marks in left.collections if len(marks.get_offsets())])
    assert {0.50, 0.54, 0.51, 0.47} <= set(np.round(drawn[:, 0], 4))
    low, high = right.get_xlim()
    assert low <= -0.1 and high >= 0.02
    assert high - low < 1, "an interval over two seeds does not press the others together"


def test_without_a_finished_arm_the_figure_says_so(frame):
    assert "no finished trial yet" in texts(arms_figure(frame.head(1).assign(state="RUNNING")))


def test_an_arm_is_one_point_of_the_front(frame):
    assert finished_networks(frame)["miou"].tolist() == pytest.approx([0.52, 0.5333333, 0.435])
    said = texts(pareto_figure(frame))
    assert {"plain (stdc1)", "narrow", "late", "arm", "95 % interval over seeds"} <= set(said)
    assert not any(text.startswith("#") for text in said)


def test_the_page_of_a_plan(page, frame):
    assert "a plan of 3 arms: by how much does each differ from\nplain?" in page
    assert 'id="arms"' in page
    assert 'id="cost"' not in page and 'id="parameters"' not in page
    assert "is both the fastest and the most accurate" not in page
    assert "the sampler is" not in page
    assert "The study is a plan: 3 arms (plain, narrow, late), each with 3 seeds (0, 1, 2), and stdc1 once" in page
    assert described_trials(frame)["arm"].tolist() == ["plain", "narrow", "late"]
    assert "plain (stdc1) – arm, reference, 3 seeds" in page
    assert "Class IoU, curve and predictions are those of one training of 3: #0, seed 0." in page
    assert "0.520, mean of 3 (95 %: 0.470 to 0.570)" in page


def test_every_training_of_a_plan_is_in_the_table_by_its_arm_and_seed(frame):
    table = trials_table(frame)
    rows = [[cell.text for cell in row.cells] for row in table.rows]
    assert [row[0] for row in rows] == [
        "stdc1 (#0)", "plain (#1)", "narrow (#2)", "late (#3)", "plain (#4)", "narrow (#5)", "late (#6)", "plain (#7)",
        "narrow (#8)", "late (#9)",
    ]  # fmt: skip
    assert [row[-1] for row in rows] == ["0", "0", "0", "0", "1", "1", "1", "2", "2", "2"]
    assert rows[1][2] == "the same training as #0, done once"
    assert {row.cells[0].anchor for row in table.rows[:9]} == {"trial-0", "trial-2", "trial-3"}
