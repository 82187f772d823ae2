"""Features of networks: alike for every family, and what they say is so."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from stdc_lab.analysis.architecture_features import architecture_features, features_of, study_features
from stdc_lab.arch import presets, total_cost
from stdc_lab.arch.families import FAMILIES
from stdc_lab.errors import ResultsError


def frame_of(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"arch": [json.dumps(presets[name].to_dict()) for name in names]}, index=list(names))


def test_every_preset_has_the_same_features_and_every_one_is_a_number() -> None:
    assert {presets[name].family for name in presets} == set(FAMILIES)
    expected = list(features_of(presets["stdc1"]))
    for name in presets:
        found = features_of(presets[name], (256, 512), 11)
        assert list(found) == expected and all(math.isfinite(value) for value in found.values()), name


def test_features_of_stdc1() -> None:
    found = features_of(presets["stdc1"], (512, 1024), 19)
    cost = total_cost(presets["stdc1"], (512, 1024), 19)
    assert found["log_macs"] == pytest.approx(math.log(cost.macs))
    assert found["log_num_params"] == pytest.approx(math.log(cost.num_params))
    assert found["log_activations"] == pytest.approx(math.log(cost.activations))
    assert found["layers at 1/2"] == 1 and found["log_width at 1/2"] == pytest.approx(math.log1p(32))
    assert found["log_stride of classes"] == pytest.approx(math.log(8))
    levels = sum(math.expm1(value) for name, value in found.items() if name.startswith("log_macs at"))
    everywhere = levels + math.expm1(found["log_macs behind upsampling"])
    assert 0.99 < everywhere / cost.macs < 1  # the rest is behind global poolings
    # Context goes up twice, through a 3×3 each; then fusion, and the head's two. Attention is behind a global pooling.
    assert found["layers behind upsampling"] == 5 and found["layers at 1/8"] == 9
    assert found["share of dilated"] == 0


def test_one_change_moves_what_it_concerns() -> None:
    spec = presets["stdc1"]
    before, after = features_of(spec), features_of(spec.with_values({"depths.stage4": 3}))
    assert after["layers at 1/16"] > before["layers at 1/16"]
    assert all(after[f"layers at 1/{stride}"] == before[f"layers at 1/{stride}"] for stride in (2, 4, 8))
    assert after["log_receptive_field"] > before["log_receptive_field"]
    assert features_of(presets["regseg"])["share of dilated"] > 0


def test_size_is_a_shift_and_hardly_more() -> None:
    small, large = (features_of(presets["stdc1"], size) for size in ((256, 512), (512, 1024)))
    assert large["log_macs"] - small["log_macs"] == pytest.approx(math.log(4), abs=0.01)
    assert large["log_num_params"] == small["log_num_params"]


def test_a_frame_has_a_row_a_network() -> None:
    found = architecture_features(frame_of("regseg", "stdc1"))
    assert list(found.index) == ["regseg", "stdc1"]
    assert found.loc["stdc1"].to_dict() == features_of(presets["stdc1"])


def test_how_a_network_is_trained_is_a_feature_too() -> None:
    frame = frame_of("stdc1", "stdc2", "stdc1").reset_index(drop=True)
    frame["learning_rate"] = [0.01, 0.02, 0.05]
    frame["heads.detail_strides"] = ["8", "", None]
    frame["ohem"] = [True, False, True]
    frame["base_width"] = [64, 64, 64]  # of the architecture: its features tell
    found = study_features(frame)
    added = [name for name in found if name not in features_of(presets["stdc1"])]
    assert added == ["learning_rate", "heads.detail_strides=", "heads.detail_strides=8", "ohem=False", "ohem=True"]
    assert found["heads.detail_strides=8"].tolist() == [1, 0, 0]
    assert found["learning_rate"].tolist() == [0.01, 0.02, 0.05]
    new = frame.assign(**{"heads.detail_strides": "4", "ohem": True})
    again = study_features(new, like=list(found))
    assert list(again) == list(found) and not again[["heads.detail_strides=", "heads.detail_strides=8"]].any().any()
    assert (again["ohem=True"] == 1).all()


def test_what_a_later_frame_lacks_is_said() -> None:
    frame = frame_of("stdc1", "stdc2").assign(learning_rate=[0.01, 0.02])
    wanted = list(study_features(frame))
    with pytest.raises(ResultsError, match="columns: no learning_rate; the surrogate was fitted with them"):
        study_features(frame.drop(columns="learning_rate"), like=wanted)
    with pytest.raises(ResultsError, match="arch: 1 rows have no network, row stdc2 among them"):
        architecture_features(frame.assign(arch=[frame["arch"].iloc[0], np.nan]))
