"""Which two figures the front is drawn by, and where every network stands."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stdc_lab.analysis import load_study
from stdc_lab.reporting import pareto_figure, render_report
from stdc_lab.reporting.canvas import BLUE
from stdc_lab.reporting.pareto_data import front_steps, pareto_axes, pareto_points
from tests.reporting.test_figures import texts
from tests.study_folder import add_complete, open_study, some_params, study_config

MACS = {1: 9e9, 2: 4e9, 3: 8e9}


@pytest.fixture(scope="module")
def by_macs(tmp_path_factory):
    """stdc1 and three networks of a study of mIoU and MACs, in which latency orders them the other way round."""
    path = tmp_path_factory.mktemp("studies") / "macs"
    config = study_config(objectives=["miou", "macs"])
    with open_study(path, config) as study:
        study.set_user_attr("objectives", ["miou", "macs"])
        add_complete(study, path, config, miou=0.55, latency_ms=30.0, reference="stdc1", macs=int(12e9))
        for number, (macs, miou) in enumerate(zip(MACS.values(), (0.52, 0.40, 0.38), strict=True), start=1):
            parts = {"params": some_params(number), "macs": int(macs)}
            add_complete(study, path, config, miou=miou, latency_ms=40.0 - macs / 1e9, **parts)
    return path


def test_steps_go_right_then_up():
    front = pd.DataFrame({"x": [10.0, 20.0, 25.0], "y": [0.4, 0.5, 0.6]})
    corners = list(zip(*front_steps(front), strict=True))
    assert corners == [(10, 0.4), (20, 0.4), (20, 0.5), (25, 0.5), (25, 0.6)]
    assert [list(part) for part in front_steps(front[:1])] == [[10.0], [0.4]]
    assert [list(part) for part in front_steps(front[:0])] == [[], []]


@pytest.mark.parametrize(
    ("objectives", "cost", "score", "stepped"),
    [
        (["miou", "latency_ms"], "latency_ms", "miou", True),
        (["macs", "miou"], "macs", "miou", True),
        (["miou", "boundary_f"], "latency_ms", "miou", False),
        (["num_params", "macs"], "num_params", "miou", False),
        (["boundary_f", "miou", "peak_memory_bytes", "macs"], "peak_memory_bytes", "boundary_f", False),
        (["iou.pedestrian", "latency_p95_ms"], "latency_p95_ms", "iou.pedestrian", True),
        (["miou", "maximize macs"], "macs", "miou", False),
    ],
)
def test_the_axes_are_the_first_score_and_the_first_cost(frame, objectives, cost, score, stepped):
    asked = frame.copy()
    asked.attrs["objectives"] = objectives
    found = pareto_axes(asked)
    assert (found.cost.name, found.score.name, found.stepped) == (cost, score, stepped)


def test_the_axis_of_latency_says_in_what_it_was_measured(frame):
    within = frame.copy()
    within.attrs["latency_in"] = "OpenVINO float32, batch 1"
    assert pareto_axes(within).cost_title == "Latency in OpenVINO float32, batch 1 (ms a call, median)"
    assert pareto_axes(frame).cost_title == "Latency at batch 1 (ms, median)"


def test_points_are_in_the_units_of_their_axes_and_sorted_by_cost(by_macs):
    points = pareto_points(load_study(by_macs))
    assert points["number"].tolist() == [2, 3, 1, 0]
    assert points["x"].tolist() == [4.0, 8.0, 9.0, 12.0]
    assert points["y"].tolist() == [0.40, 0.38, 0.52, 0.55]


def test_a_network_whose_cost_is_not_known_has_no_point_and_other_scores_no_interval(frame):
    asked = frame.assign(boundary_f=0.5, network_boundary_f=0.5, confirmed_boundary_f=np.nan, network_high=0.6)
    asked["peak_memory_bytes"] = np.where(asked["number"] == 0, np.nan, 3 * 2**20)
    asked.attrs["objectives"] = ["boundary_f", "peak_memory_bytes"]
    points = pareto_points(asked)
    assert points["number"].tolist() == [1, 2, 3]
    assert points["x"].tolist() == [3.0] * 3
    assert points[["y_low", "y_high", "fresh_low", "fresh_high"]].isna().all(axis=None)
    assert pareto_points(frame.assign(network_high=0.6))["y_high"].tolist() == [0.6] * 4


def test_the_figure_of_a_study_of_miou_and_macs_is_drawn_by_macs(by_macs):
    frame = load_study(by_macs)
    figure = pareto_figure(frame.assign(fingerprint=["a", "b", "a", "a"]))
    said = texts(figure)
    assert {"MACs (10⁹)", "mIoU (validation, 0–1)", "#1", "#2", "stdc1"} <= set(said)
    assert not any("MACs of the other" in text or "not comparable" in text for text in said)
    line = next(line for line in figure.axes[0].lines if line.get_color() == BLUE)
    assert np.allclose(line.get_xydata(), [[4, 0.40], [9, 0.40], [9, 0.52], [12, 0.52], [12, 0.55]])
    page = render_report(by_macs, with_images=False).read_text(encoding="utf-8")
    assert "<h2>The front: mIoU against MACs</h2>" in page
    assert "best mIoU known at no more MACs" in page
