"""What a report says and draws of a front that fresh seeds have confirmed."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study
from stdc_lab.cli.status import front_table
from stdc_lab.reporting import pareto_figure, render_report
from stdc_lab.reporting.canvas import BLUE
from stdc_lab.reporting.figure_data import drawn_front, finished_trials
from stdc_lab.reporting.html import described_trials
from stdc_lab.reporting.tables import front_table as report_table
from stdc_lab.reporting.tables import trials_table
from stdc_lab.reporting.words import cautions, confirmation_sentences, count_sentence, summary
from tests.study_folder import add_complete, open_study, some_params, study_config

FRESH = {0: (0.55, 0.55), 1: (0.50, 0.51), 2: (0.54, 0.53), 3: (0.556, 0.566)}
"""mIoU of the fresh seeds of stdc1, a quick network, a lucky one (0.56 at first) and a near tie as fast as it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "demo"
    config = study_config()
    with open_study(path, config) as study:
        add_complete(study, path, config, miou=0.55, latency_ms=30.0, reference="stdc1")
        add_complete(study, path, config, miou=0.50, latency_ms=12.0, params=some_params(1))
        add_complete(study, path, config, miou=0.56, latency_ms=24.0, params=some_params(2))
        add_complete(study, path, config, miou=0.555, latency_ms=24.0, params=some_params(3))
        add_complete(study, path, config, miou=0.40, latency_ms=26.0, params=some_params(6))
        for index in (0, 1):
            for number, values in FRESH.items():
                first = study.trials[number]
                add_complete(
                    study, path, config, miou=values[index], latency_ms=first.values[1], params=first.params or None,
                    record=False, confirms=number, seed=1_000_000 + index, trial_key=f"fresh {number} {index}",
                    miou_told=values[index],
                )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def frame(folder):
    return load_study(folder)


def test_fresh_trainings_are_no_points_of_their_own(frame):
    assert finished_trials(frame)["number"].tolist() == [0, 1, 2, 3, 4]
    assert count_sentence(frame) == "13 trials: 5 finished, 8 of 8 fresh trainings of known networks finished."


def test_the_drawn_front_is_the_confirmed_one_at_its_means(frame):
    drawn = drawn_front(frame)
    assert drawn["number"].tolist() == [1, 3]
    assert drawn["miou"].tolist() == pytest.approx([0.505, 0.561])
    line = next(line.get_xydata() for line in pareto_figure(frame).axes[0].lines if line.get_color() == BLUE)
    assert np.allclose(line, [[12, 0.505], [24, 0.505], [24, 0.561]])


def test_the_figure_shows_both_values_and_says_which_is_which(frame):
    figure = pareto_figure(frame)
    points = {
        tuple(np.round(xy, 4)) for marks in figure.axes[0].collections for xy in marks.get_offsets() if len(xy) == 2
    }
    assert {(24.0, 0.56), (24.0, 0.535), (24.0, 0.561), (30.0, 0.55)} <= points
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "confirmed front (fresh seeds)" in legend
    assert "first training of these" in legend
    labels = {text.get_text() for text in figure.axes[0].texts}
    assert labels == {"stdc1", "#1", "#3"}


def test_the_sentences_name_what_fell_and_what_rose_and_the_luck(frame):
    first, deviation, curse = confirmation_sentences(frame)
    assert first == (
        "4 networks (2 of the front, 2 near it) trained again with 2 fresh seeds each: by the means of these, 2 on the "
        "front, no longer #2, newly #3."
    )
    assert "standard deviation of 0.006 (4 degrees of freedom)" in deviation
    assert "over 2 networks of the front: +0.010 mIoU (95 % interval −0.181 to +0.201)" in curse
    assert first in summary(frame)
    assert any(text.startswith("By fresh seeds: One trial is at least as fast") for text in summary(frame))
    assert cautions(frame, study_config())[0].startswith("4 networks of 5 have fresh seeds: read their means.")


def test_without_fresh_seeds_nothing_is_said(frame):
    bare = frame.assign(confirmed_seeds=0)
    assert confirmation_sentences(bare) == []
    assert "Fresh mIoU" not in [heading for heading, _ in report_table(bare).headings]


def test_the_table_has_both_values(frame):
    table = report_table(frame)
    names = [heading for heading, _ in table.headings]
    rows = {row.cells[0].text: dict(zip(names, (cell.text for cell in row.cells), strict=True)) for row in table.rows}
    assert list(rows) == ["#1", "#2", "#3", "stdc1 (#0)"]
    assert [rows["#2"][name] for name in ("mIoU", "Fresh mIoU", "Seeds", "First − fresh", "Front")] == [
        "0.560", "0.535", "2", "+0.025", "single only",
    ]  # fmt: skip
    assert rows["#3"]["Front"] == "confirmed only"
    assert rows["stdc1 (#0)"]["Front"] == "near"
    notes = [row.cells[2].text for row in trials_table(frame).rows]
    assert notes[5] == "#0 with a fresh seed"


def test_both_fronts_get_sections(frame, folder):
    assert described_trials(frame)["number"].tolist() == [1, 3, 2, 0]
    page = render_report(folder, with_images=False).read_text(encoding="utf-8")
    assert "#2 – on the front, not confirmed" in page
    assert 'id="trial-3"' in page
    assert "--confirm 2" in page
    assert "hollow marks are the single trainings" in page


def test_the_terminal_marks_both_fronts(frame):
    table = front_table(finished_trials(frame).sort_values("number"))
    columns = {column.header: list(column.cells) for column in table.columns}
    assert columns["front"] == ["", "*+", "*", "+", ""]
    assert columns["fresh seeds"][2:] == ["0.535 ±0.012 (2)", "0.561 ±0.012 (2)", "–"]


def test_fresh_seeds_under_way_are_no_values_yet(folder, tmp_path):
    config = study_config()
    with open_study(tmp_path / "demo", config) as study:
        add_complete(study, tmp_path / "demo", config, miou=0.5, latency_ms=12.0, params=some_params(1))
        study.enqueue_trial(study.trials[0].params, user_attrs={"confirms": 0, "seed": 1_000_000})
    waiting = load_study(tmp_path / "demo")
    assert waiting["state"].tolist() == ["COMPLETE", TrialState.WAITING.name]
    assert confirmation_sentences(waiting) == []
    assert "0 of 1 fresh training of known networks finished" in count_sentence(waiting)
    assert render_report(tmp_path / "demo").is_file()
