"""The size of a space against plain enumeration, its samples against theory, and what is said of hopeless limits."""

import itertools
from pathlib import Path

import pytest

from stdc_lab.analysis.space_survey import count_points, refuse_hopeless, survey_space, why_nothing_fits
from stdc_lab.arch import analyse, presets, total_cost
from stdc_lab.config.choosers import RandomChooser
from stdc_lab.config.reading import read_value
from stdc_lab.config.space import SearchSpace
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import StudyError

SPACES = Path(__file__).parents[2] / "search_spaces"
VARY = {
    "num_blocks": {"type": "int", "low": 2, "high": 5},
    "heads.detail_strides": {"type": "choice", "values": [[], [8], [4, 8]]},
    "decoder.spatial_path": {"type": "choice", "values": [False, True], "when": {"heads.detail_strides": [[]]}},
    "decoder.interpolation": {
        "type": "choice",
        "values": ["nearest", "bilinear"],
        "when": {"decoder.spatial_path": True, "num_blocks": {"low": 4}},
    },
    "base_width": {"type": "choice", "values": [16, 32, 64]},
}


def space(**more: object) -> SearchSpace:
    return SearchSpace.model_validate({"name": "s", "vary": VARY, **more})


def test_the_size_is_what_enumeration_counts():
    def points() -> set[tuple[object, ...]]:
        found = set()
        options = ([2, 3, 4, 5], [(), (8,), (4, 8)], [False, True], ["nearest", "bilinear"], [16, 32, 64])
        for blocks, strides, path, up, width in itertools.product(*options):
            has_path = path if strides == () else None
            found.add((blocks, strides, has_path, up if has_path and blocks >= 4 else None, width))
        return found

    small = space()
    size = count_points(small)
    assert (size.points, size.continua) == (len(points()), ())
    drawn = {tuple(sorted(map(repr, small.choose(chooser).items()))) for chooser in map(RandomChooser, range(2000))}
    assert len(drawn) == len(points())


def test_a_continuum_is_named_and_counts_once():
    ratio = {"type": "float", "low": 0.5, "high": 1.0}
    size = count_points(SearchSpace.model_validate({"name": "s", "vary": {**VARY, "channel_ratio": ratio}}))
    assert (size.points, size.continua) == (count_points(space()).points, ("channel_ratio",))


def test_samples_are_counted_by_the_limits_that_they_break():
    limits = ("macs <= 4e8 at 128x128", "num_params <= 3e6")
    survey = survey_space(space(limits=limits), TrainConfig(), cost_size=(64, 128), num_classes=5, samples=300, seed=4)
    plain, chooser, counts, alone, kept = space(), RandomChooser(4), [0, 0], [0, 0], []
    for _ in range(300):
        spec = plain.spec_of(plain.choose(chooser))
        cost = analyse(spec, (128, 128), 5).cost
        broken = [cost.macs > 4e8, cost.num_params > 3e6]
        for index in (0, 1):
            counts[index] += broken[index]
            alone[index] += broken[index] and not broken[1 - index]
        if not any(broken):
            kept.append(analyse(spec, (64, 128), 5).cost)
    assert 0 < len(kept) < 300
    assert alone != counts
    assert [one.violated for one in survey.limits] == counts
    assert [one.alone for one in survey.limits] == alone
    assert survey.feasible == len(kept)
    assert (survey.macs.lowest, survey.macs.highest) == (min(c.macs for c in kept), max(c.macs for c in kept))
    assert survey.mean_macs == pytest.approx(sum(c.macs for c in kept) / len(kept))
    assert why_nothing_fits(survey) is None


def test_limits_that_nothing_meets_are_named():
    deadly = space(limits=("num_params <= 20e6", "macs <= 1e6 at 512x1024"))
    with pytest.raises(StudyError, match=r"none of 500 random points .*`macs <= 1000000 at 512x1024` alone kills all"):
        refuse_hopeless(deadly, TrainConfig(), 19, samples=500)
    together = space(limits=("num_params <= 3e6", "num_params >= 3100000"))
    with pytest.raises(
        StudyError, match=r"no limit alone kills all, but together they do .*`num_params <= 3000000` kill"
    ):
        refuse_hopeless(together, TrainConfig(), 19, samples=500)
    refuse_hopeless(space(limits=("num_params <= 20e6",)), TrainConfig(), 19)
    refuse_hopeless(space(), TrainConfig(), 19)


def test_points_of_which_no_network_can_be_made_are_counted_with_a_reason():
    vary = {
        "channel_multiple": {"type": "choice", "values": [1, 32, 2]},
        "base_width": {"type": "choice", "values": [64, 16, 32]},
    }
    mixed = SearchSpace.model_validate({"name": "s", "vary": vary})
    survey = survey_space(mixed, TrainConfig(), samples=100)
    assert 0 < survey.impossible < 100
    assert survey.impossible + survey.feasible == 100
    assert "channel_multiple" in survey.impossible_because


@pytest.mark.parametrize("name", ["stdc_core", "stdc_decoder", "stdc_training", "stdc_full"])
def test_shipped_spaces_hold_stdc1_and_are_mostly_usable(name):
    shipped = read_value(SPACES / f"{name}.yaml", SearchSpace)
    assert shipped.name == name
    assert shipped.parameters_of(presets["stdc1"], TrainConfig()) is not None
    survey = survey_space(shipped, TrainConfig(), samples=200)
    assert survey.impossible == 0
    assert survey.feasible > 60


def test_the_full_space_holds_stdc2_within_its_limits():
    shipped = read_value(SPACES / "stdc_full.yaml", SearchSpace)
    assert shipped.parameters_of(presets["stdc2"], TrainConfig()) is not None
    only = SearchSpace.model_validate(
        {**shipped.model_dump(mode="json"), "base": "stdc2", "vary": {"fusion": VARY["num_blocks"]}, "ties": {}}
        | {"vary": {"conv_last": {"type": "choice", "values": [False]}}}
    )
    assert survey_space(only, TrainConfig(), samples=1).feasible == 1


def test_a_limit_that_is_just_met_is_met_and_each_is_counted_alone():
    one = {"base_width": {"type": "choice", "values": [64]}}
    params = total_cost(presets["stdc1"], (512, 1024), 19).num_params
    exact = SearchSpace.model_validate({"name": "s", "vary": one, "limits": [f"num_params <= {params}"]})
    refuse_hopeless(exact, TrainConfig(), 19, samples=3)
    assert survey_space(exact, TrainConfig(), samples=3).limits[0].violated == 0
    below = [f"num_params <= {params - 1}", "macs <= 1e6 at 512x1024", f"num_params <= {params}"]
    broken = SearchSpace.model_validate({"name": "s", "vary": one, "limits": below})
    survey = survey_space(broken, TrainConfig(), samples=3)
    assert [(count.violated, count.alone) for count in survey.limits] == [(3, 0), (3, 0), (0, 0)]
    with pytest.raises(StudyError, match="none of 3 random points can be used"):
        refuse_hopeless(broken, TrainConfig(), 19, samples=3)
