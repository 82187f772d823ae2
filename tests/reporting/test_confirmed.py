"""What a report says and draws of a front that fresh seeds have confirmed."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.trial import TrialState

from stdc_lab.analysis import load_study
from stdc_lab.cli.status import front_table
from stdc_lab.reporting import pareto_figure, render_report
from stdc_lab.reporting.canvas import BLUE
from stdc_lab.reporting.figure_data import finished_networks, front_members
from stdc_lab.reporting.html import described_trials
from stdc_lab.reporting.tables import front_table as report_table
from stdc_lab.reporting.tables import trials_table
from stdc_lab.reporting.words import cautions, confirmation_sentences, count_sentence, summary
from tests.study_folder import add_complete, open_study, some_params, study_config

FRESH = {0: (0.55, 0.55), 1: (0.50, 0.51), 2: (0.54, 0.53), 3: (0.556, 0.566), 4: (0.40, 0.41)}
"""mIoU of the fresh seeds of stdc1, a quick network, a lucky one (0.56 at first), a near tie as fast as it, and one
that the lot fell on."""


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
                    control=number == 4,
                )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def frame(folder):
    return load_study(folder)


def test_fresh_trainings_are_no_points_of_their_own(frame):
    assert finished_networks(frame)["number"].tolist() == [0, 1, 2, 3, 4]
    assert count_sentence(frame) == "15 trials: 5 finished, 10 of 10 fresh trainings of known networks finished."


def test_the_front_stays_the_one_that_the_search_chose(frame):
    """#3 is better than #2 by fresh seeds: to take it for that would choose the luckiest once more."""
    assert front_members(frame)["number"].tolist() == [1, 2]
    line = next(line for line in pareto_figure(frame).axes[0].lines if line.get_color() == BLUE)
    assert np.allclose(line.get_xydata(), [[12, 0.50], [24, 0.50], [24, 0.56]])
    assert line.get_linestyle() == "--"


def test_the_figure_shows_both_values_and_says_which_is_which(frame):
    figure = pareto_figure(frame)
    points = {
        tuple(np.round(xy, 4)) for marks in figure.axes[0].collections for xy in marks.get_offsets() if len(xy) == 2
    }
    assert {(24.0, 0.56), (24.0, 0.535), (24.0, 0.561), (30.0, 0.55), (26.0, 0.405)} <= points
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"front as chosen, first trainings", "its members, fresh seeds", "95 % interval over fresh seeds"} <= {
        *legend
    }
    labels = {text.get_text() for text in figure.axes[0].texts}
    assert labels == {"stdc1", "#1", "#2"}


def marks_of(figure, x):
    """The y of every mark at an x, with its face: hollow or not."""
    found = set()
    for marks in figure.axes[0].collections:
        for at, y in marks.get_offsets():
            if at == x and len(marks.get_facecolor()):
                found.add(
                    (round(float(y), 4), "hollow" if tuple(marks.get_facecolor()[0][:3]) == (1, 1, 1) else "full")
                )
    return found


def test_members_and_references_without_fresh_seeds_are_drawn_where_they_were_chosen(frame):
    """The front may have grown since the confirmation: #1 and stdc1 have no fresh seeds here."""
    grown = frame[~frame["confirms"].isin([0, 1])].copy()
    of_these = grown["number"].isin([0, 1])
    grown.loc[of_these, "confirmed_seeds"] = 0
    grown.loc[of_these, ["confirmed_miou", "confirmed_low", "confirmed_high"]] = np.nan
    figure = pareto_figure(grown)
    assert marks_of(figure, 12.0) == {(0.5, "hollow")}
    assert marks_of(figure, 30.0) == {(0.55, "full")}
    assert {(0.56, "hollow"), (0.535, "full")} <= marks_of(figure, 24.0)


def test_names_stand_at_the_fresh_means(frame):
    moved = frame.assign(confirmed_miou=frame["confirmed_miou"] - 0.02)
    places = {text.get_text(): text.xy for text in pareto_figure(moved).axes[0].texts}
    assert places["stdc1"] == (30.0, pytest.approx(0.53))
    assert places["#2"] == (24.0, pytest.approx(0.515))


def test_an_interval_may_leave_the_frame_but_no_point(frame):
    low, high = pareto_figure(frame).axes[0].get_ylim()
    assert low > 0.40 - 1.2 * 0.161 - 1e-9
    assert low < 0.40 and high > 0.561
    assert frame["confirmed_high"].max() > 0.561


def test_the_sentences_name_what_was_judged_the_spread_and_the_luck(frame):
    first, deviation, curse = confirmation_sentences(frame)
    assert first == (
        "5 networks (2 of the front, 1 near it, 2 taken whatever their score) trained again with 2 fresh seeds each. "
        "These judge the front that the search chose, and choose none themselves."
    )
    assert "standard deviation of 0.006 (over all of them, 5 degrees of freedom)" in deviation
    assert curse.startswith(
        "The trainings that chose 2 networks of the front are +0.010 mIoU beside fresh ones of the same, those of 2 "
        "controls −0.003: the difference, +0.013 (95 % interval "
    )
    assert curse.endswith("), is luck in the choice (winner’s curse).")
    assert first in summary(frame)
    assert cautions(frame, study_config())[0].startswith("5 networks of 5 have fresh seeds: read their means.")


def test_beside_a_reference_stand_all_members_and_none_is_picked(frame):
    (said,) = (text for text in summary(frame) if text.startswith("By fresh seeds"))
    assert said == (
        "By fresh seeds, paired: of 2 confirmed members of the front that are at least as fast as stdc1 (30.0 ms, mIoU "
        "0.550), 0 are more accurate, 0 less, and 2 cannot be told from it (95 % intervals)."
    )
    steady = frame.assign(miou=frame["miou"].where(frame["confirms"] != 1, 0.500 + 1e-4 * frame["number"]))
    assert "0 are more accurate, 1 less, and 1 cannot be told" in " ".join(summary(steady))


def test_without_a_control_luck_is_left_open(frame):
    bare = frame.assign(control=False)
    assert confirmation_sentences(bare)[-1].endswith("how much of that is luck in the choice is open.")


def test_without_fresh_seeds_nothing_is_said(frame):
    bare = frame.assign(confirmed_seeds=0)
    assert confirmation_sentences(bare) == []
    assert "Fresh mIoU" not in [heading for heading, _ in report_table(bare).headings]


def test_the_table_has_both_values(frame):
    table = report_table(frame)
    names = [heading for heading, _ in table.headings]
    rows = {row.cells[0].text: dict(zip(names, (cell.text for cell in row.cells), strict=True)) for row in table.rows}
    assert list(rows) == ["#1", "#2", "#3", "#4", "stdc1 (#0)"]
    assert [rows["#2"][name] for name in ("mIoU", "Fresh mIoU", "Fresh seeds", "First − fresh", "Why again")] == [
        "0.560", "0.535", "2", "+0.025", "front",
    ]  # fmt: skip
    assert rows["#2"]["95 %"] == "0.471 to 0.599"
    assert [rows["#1"][name] for name in ("Fresh mIoU − stdc1", "95 % of it")] == ["−0.045", "−0.109 to +0.019"]
    assert rows["stdc1 (#0)"]["Fresh mIoU − stdc1"] == "–"
    assert rows["#3"]["Why again"] == "near"
    assert rows["#4"]["Why again"] == rows["stdc1 (#0)"]["Why again"] == "control"
    notes = [row.cells[2].text for row in trials_table(frame).rows]
    assert notes[5] == "#0 with a fresh seed"


def test_the_front_and_the_references_get_sections(frame, folder):
    assert described_trials(frame)["number"].tolist() == [1, 2, 0]
    page = render_report(folder, with_images=False).read_text(encoding="utf-8")
    assert "#2 – on the front, 2 fresh seeds" in page
    assert "stdc1 – reference, not on the front, 2 fresh seeds" in page
    assert 'id="trial-3"' not in page
    assert "stdc-lab study confirm runs/" in page
    assert "hollow marks are the" in page
    assert "Fresh seeds judge that choice and choose nothing" in page


def test_the_terminal_marks_the_front_that_was_chosen(frame):
    table = front_table(frame)
    columns = {column.header: list(column.cells) for column in table.columns}
    assert columns["trial"] == ["1", "2", "3", "4", "0"]
    assert columns["front"] == ["*", "*", "", "", ""]
    assert columns["fresh seeds"] == [
        "0.505 ±0.064 (2)", "0.535 ±0.064 (2)", "0.561 ±0.064 (2)", "0.405 ±0.064 (2)", "0.550 ±0.000 (2)",
    ]  # fmt: skip


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
