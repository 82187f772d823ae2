from pathlib import Path

import pytest

from stdc_lab.errors import ConfigError
from stdc_lab.records import MacCounters, ProfileResult, StageCost, StageLatencies, StageLatency
from stdc_lab.reporting.costs import cost_panels, costs_figure, draw_costs


def result(parts: dict[str, tuple[int, int]], milliseconds: dict[str, float] | None = None) -> ProfileResult:
    """A profile of parts with MACs and parameters, and latencies of some."""
    stages = tuple(
        StageCost(name=name, output_channels=8, output_size=(4, 4), num_params=params, macs=macs)
        for name, (macs, params) in parts.items()
    )
    timed = None
    if milliseconds is not None:
        timed = StageLatencies(
            stages=tuple(StageLatency(name=n, median_ms=ms, ci95_ms=(ms, ms)) for n, ms in milliseconds.items()),
            sum_ms=sum(milliseconds.values()),
            whole_ms=10,
            closure=0.9,
            repeats=5,
            runtime="eager",
            threads=1,
            device="cpu",
            input_shape=(1, 3, 64, 64),
        )
    return ProfileResult(
        arch=None,
        arch_id=None,
        num_classes=5,
        size=(64, 64),
        num_params=sum(params for _, params in parts.values()),
        macs=sum(macs for macs, _ in parts.values()),
        counters=MacCounters(),
        not_counted={},
        stages=stages,
        stage_latencies=timed,
    )


OURS = result(
    {"stage 1": (10**9, 2 * 10**6), "stage 3": (3 * 10**9, 10**6), "head": (10**9, 10**6)},
    {"stage 1": 1.0, "stage 3": 6.0, "head": 1.5, "upsampling": 0.5},
)
OTHER = result({"stage 2": (10**9, 10**6), "stage 1": (10**9, 10**6), "classes": (10**6, 0)})


def test_panels_hold_the_parts_of_all_networks_in_order() -> None:
    macs, params, latency = cost_panels([OURS, OTHER])
    assert macs.title == "GMACs"
    assert list(macs.parts) == ["stage 1", "stage 2", "stage 3", "head", "classes"]
    assert macs.parts["stage 2"] == [0, 1] and macs.parts["classes"] == [0, pytest.approx(1e-3)]
    assert macs.totals == [5, pytest.approx(2.001)]
    assert params.totals == [4, 2]
    assert latency.parts["upsampling"] == [0.5, 0]
    assert latency.totals == [9, None]


def test_small_networks_are_given_in_millions_and_without_latency() -> None:
    panels = cost_panels([result({"stage 1": (10**6, 10**3)})])
    assert [panel.title for panel in panels] == ["MMACs", "parameters (millions)"]


def test_the_figure_says_what_is_missing_and_how_closely_parts_add_up() -> None:
    figure = costs_figure(["a name that is much longer than there is room for", "other"], [OURS, OTHER])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "not run" in texts and "9" in texts
    assert figure.axes[0].get_yticklabels()[0].get_text().endswith("…")
    (legend,) = figure.legends
    assert "upsampling" in [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_it_is_written(tmp_path: Path, ending: str) -> None:
    draw_costs(["ours"], [OURS], tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").stat().st_size > 1000
    with pytest.raises(ConfigError, match=r"--picture: .* cannot be written: No such file"):
        draw_costs(["ours"], [OURS], tmp_path / "none" / f"a{ending}")
