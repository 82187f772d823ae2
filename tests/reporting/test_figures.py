"""Drawing is only smoked: that it draws, says its units, and names what has to be named."""

from __future__ import annotations

import io
import subprocess
import sys

import pandas as pd
import pytest
from matplotlib.figure import Figure

from stdc_lab.arch import presets
from stdc_lab.records import Computing, CurvePoint
from stdc_lab.reporting import curve_figure, macs_figure, parameters_figure, pareto_figure
from stdc_lab.reporting.canvas import dress
from tests.study_folder import make_record, study_config


def texts(figure):
    """All that a figure says."""
    figure.canvas.draw()
    found = [text.get_text() for text in figure.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="right")]
        found += [text.get_text() for text in axes.texts]
    return found


def test_pareto_figure_names_front_references_units_and_protocol(frame):
    said = texts(pareto_figure(frame, "CamVid, 600 iterations"))
    assert {"#1", "#2", "stdc1"} <= set(said)
    assert "#3" not in said
    assert {"Latency at batch 1 (ms, median)", "CamVid, 600 iterations", "reference network"} <= set(said)
    assert not any("not comparable" in text for text in said)


def test_shades_need_two_trials_to_tell_apart(frame):
    scale = "MACs of the other trials (10⁹)"
    known = frame["on_front"] | frame["reference"].notna()
    others = frame[~known & frame["miou"].notna() & frame["duplicate_of"].isna()]
    another = others.head(1).assign(macs=2 * others["macs"].iloc[0], number=50, network=50)
    two = pd.concat([frame[known], others.head(1), another])
    assert scale in texts(pareto_figure(two))
    assert scale not in texts(pareto_figure(pd.concat([frame[known], others.head(1)])))


def test_pareto_figure_warns_of_unlike_machines(frame):
    mixed = frame.assign(fingerprint=["a", "b", "a", "a", "a", "a", "a"])
    assert any("not comparable" in text.replace("\n", " ") for text in texts(pareto_figure(mixed)))


def test_macs_figure_says_how_alike_the_orders_are(frame):
    said = texts(macs_figure(frame))
    assert said.count("MACs (10⁹)") == 2
    assert any(text.startswith("Spearman’s ρ = ") and text.endswith("n = 4") for text in said)


def test_parameters_figure_has_two_panels_for_each_parameter(frame):
    figure = parameters_figure(frame)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 2 * 7
    assert {"base_width", "kernels", "heads.detail_strides"} <= set(texts(figure))


def test_curve_figure_has_labels_with_units():
    record = make_record(0, presets["stdc1"], study_config(), 0.5, 20.0)
    said = texts(curve_figure(record.result.curve, record.train.iterations, "STDC1 on scenes"))
    assert {"Iteration", "Training loss", "mIoU (validation, 0–1)", "STDC1 on scenes"} <= set(said)


def test_a_curve_that_is_not_of_one_piece_is_marked_where_it_changed():
    record = make_record(0, presets["stdc1"], study_config(), 0.5, 20.0)
    whole = (Computing(after=0, device="cpu", precision="bfloat16"),)
    mixed = (*whole, Computing(after=400, device="cuda", precision="float32"))
    for computed, marks in ((whole, 0), (mixed, 1)):
        figure = curve_figure(record.result.curve, record.train.iterations, computed=computed)
        said = "⚠ trained in bfloat16 on cpu to iteration 400, in float32 on cuda from there"
        assert (said in texts(figure)) == bool(marks)
        for axes in figure.axes:
            dashed = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "--"]
            assert dashed == [[400, 400]] * marks


def test_the_curve_of_a_classifier_is_named_so():
    points = [CurvePoint(iteration=n, loss=1 / n, learning_rate=0.1, top1=n / 10) for n in (1, 5)]
    assert "Top-1 accuracy (validation, 0–1)" in texts(curve_figure(points, 5))


@pytest.mark.parametrize("draw", [pareto_figure, macs_figure, parameters_figure])
def test_without_finished_trials_a_figure_says_so(frame, draw):
    assert "no finished trial yet" in texts(draw(frame[frame["state"] != "COMPLETE"]))


@pytest.mark.parametrize("draw", [pareto_figure, macs_figure])
def test_one_trial_without_macs_can_be_drawn(frame, draw):
    lonely = frame[frame["number"] == 1].assign(macs=float("nan"))
    draw(lonely).savefig(io.BytesIO(), format="png", dpi=40)


def test_drawing_touches_neither_pyplot_nor_torch():
    code = "import sys, stdc_lab.reporting; sys.exit(' '.join({'torch', 'matplotlib.pyplot'} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wide_latency_axis_has_plain_numbers_that_keep_apart(frame):
    wide = frame.assign(latency_ms=frame["latency_ms"].where(frame["number"] != 0, 400.0))
    figure = pareto_figure(wide)
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    said = [tick.get_text() for tick in axis.get_ticklabels(which="both") if tick.get_text()]
    assert {"20", "50", "100", "200"} <= set(said)
    assert all(text.isdecimal() for text in said)


def test_a_long_upright_label_is_broken_and_a_short_one_is_not() -> None:
    axes = Figure().add_subplot()
    dress(axes, "MACs (10⁹)", "Latency in ONNX Runtime float32, batch 1 (ms a call, median)")
    assert axes.get_ylabel() == "Latency in ONNX Runtime float32, batch 1 (ms\na call, median)"
    dress(axes, "MACs (10⁹)", "Latency at batch 1 (ms, median)")
    assert axes.get_ylabel() == "Latency at batch 1 (ms, median)"
