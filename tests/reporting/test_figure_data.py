from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stdc_lab.arch import presets
from stdc_lab.reporting import figure_data as data
from tests.study_folder import make_record, study_config


def made(rows):
    """A frame with the given trials; what is not given is as of an ordinary finished trial."""
    usual = {
        "state": "COMPLETE",
        "reference": None,
        "duplicate_of": np.nan,
        "confirms": np.nan,
        "confirmed_seeds": 0,
        "on_front": False,
        "retimed": False,
    }
    usual |= {"latency_spread": 0.02, "fingerprint": "a", "macs": 1e9}
    frame = pd.DataFrame([{**usual, "number": number, "network": number, **row} for number, row in enumerate(rows)])
    frame = frame.assign(network_miou=frame["miou"], boundary_f=np.nan, network_boundary_f=np.nan)
    return frame.astype({"reference": "str", "fingerprint": "str"})


def test_who_is_finished_on_the_front_and_a_reference(frame):
    assert data.finished_trials(frame)["number"].tolist() == [0, 1, 2, 3]
    assert data.front_members(frame)["number"].tolist() == [1, 2]
    assert data.reference_trials(frame)["reference"].tolist() == ["stdc1"]


def test_points_along_a_line():
    points = data.along_line(np.array([0.0, 10.0, 10.0]), np.array([0.0, 0.0, 4.0]), pieces=2)
    assert points.tolist() == [[0, 0], [5, 0], [10, 0], [10, 2], [10, 4]]
    assert data.along_line(np.array([]), np.array([])).shape == (0, 2)


def test_noisy_latencies_are_counted(frame):
    assert data.noisy_latencies(frame) == 1


def test_latencies_of_one_machine_need_no_warning(frame):
    assert data.latency_warning(frame) is None
    assert data.latency_warning(frame[:0]) is None


def test_latencies_of_two_machines_are_warned_of_unless_all_were_timed_anew():
    rows = [{"latency_ms": 1.0, "miou": 0.1, "fingerprint": name} for name in "ab"]
    assert "2 unlike machines or software versions (fingerprints a, b)" in data.latency_warning(made(rows))
    failed = made([rows[0], {**rows[1], "state": "FAIL"}])
    assert data.latency_warning(failed) is None
    assert data.latency_warning(made([{**row, "retimed": True} for row in rows])) is None
    assert "1 of 2 were timed anew" in data.latency_warning(made([rows[0], {**rows[1], "retimed": True}]))


def test_rank_correlation_sees_order_only():
    frame = made([{"latency_ms": x**3, "miou": -x, "macs": x} for x in (1.0, 2.0, 5.0, 9.0)])
    assert data.rank_correlation(frame, "macs", "latency_ms") == pytest.approx(1)
    assert data.rank_correlation(frame, "macs", "miou") == pytest.approx(-1)
    assert np.isnan(data.rank_correlation(frame[:2], "macs", "miou"))
    assert np.isnan(data.rank_correlation(frame.assign(macs=3.0), "macs", "miou"))


def test_a_parameter_of_few_values_is_evenly_spaced_in_order():
    frame = made([{"latency_ms": 1.0, "miou": 0.1, "width": w} for w in (16, 48, 16, None)])
    axis = data.parameter_axis(frame, "width")
    assert axis.ticks == (0.0, 1.0)
    assert axis.labels == ("16", "48")
    assert axis.positions[:3].tolist() == [0, 1, 0]
    assert np.isnan(axis.positions[3])


def test_a_parameter_of_many_values_is_to_scale():
    frame = made([{"latency_ms": 1.0, "miou": 0.1, "rate": x / 10} for x in range(12)])
    axis = data.parameter_axis(frame, "rate")
    assert axis.ticks == ()
    assert axis.positions[3] == pytest.approx(0.3)


def test_text_and_switches_have_their_own_labels():
    frame = made([{"latency_ms": 1.0, "miou": 0.1, "kernels": k, "flip": f} for k, f in (("1-3", True), ("3", False))])
    assert data.parameter_axis(frame, "kernels").labels == ("1-3", "3")
    assert data.parameter_axis(frame, "flip").labels == ("no", "yes")


def test_a_median_needs_two_values():
    axis = data.ParameterAxis("x", np.array([0.0, 0.0, 0.0, 1.0]), (0.0, 1.0), ("a", "b"))
    assert data.level_medians(axis, [0.1, 0.5, 0.2, 0.9]) == [(0.0, pytest.approx(0.2))]
    assert data.level_medians(axis, [0.1, 0.5, np.nan, 0.9]) == [(0.0, pytest.approx(0.3))]


def test_a_curve_has_miou_where_it_was_evaluated():
    record = make_record(0, presets["stdc1"], study_config(), 0.5, 20.0)
    curve = data.training_curve(record.result.curve)
    assert len(curve.iterations) == len(curve.loss) == 60
    assert curve.evaluated_at.tolist() == [150, 300, 450, 600]
    assert curve.score[-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "text"), [(48, "48"), (0.35, "0.35"), (1.0, "1"), ("1-3", "1-3"), (True, "yes"), (float("nan"), "")]
)
def test_values_are_shown_short(value, text):
    assert data.show_value(value) == text
