import math

import numpy as np
import pandas as pd
import pytest

from stdc_lab.analysis.variance import variance_parts
from stdc_lab.errors import ResultsError


def frame_of(table: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Of two arms, whose difference in class c with seed s is table[c, s]."""
    seeds = list(range(table.shape[1]))
    columns = {f"iou.{name}": [*np.full(len(seeds), 50.0), *(50 + row)] for name, row in zip(names, table, strict=True)}
    return pd.DataFrame({"arm": ["a"] * len(seeds) + ["b"] * len(seeds), "seed": seeds * 2, **columns})


WEIGHTS = {"b": 1.0, "a": -1.0}


def test_a_rare_class_makes_most_of_the_variance() -> None:
    draw = np.random.default_rng(0)
    table = draw.normal(1, 0.1, (4, 50))
    table[2] += draw.normal(0, 5, 50)
    found = variance_parts(frame_of(table, ["road", "car", "train", "sky"]), WEIGHTS)
    first = found.by_class.iloc[0]
    assert first["class"] == "train" and first["share"] > 0.95 and first["sd"] == pytest.approx(table[2].std(ddof=1))
    assert found.by_class["share"].sum() == pytest.approx(1)
    assert found.sd == pytest.approx(table.mean(axis=0).std(ddof=1))


def test_the_parts_are_those_that_the_table_was_made_of() -> None:
    draw = np.random.default_rng(1)
    classes, seeds = 60, 300
    table = draw.normal(0, 2, (classes, 1)) + draw.normal(0, 1, (1, seeds)) + draw.normal(0, 0.5, (classes, seeds))
    found = variance_parts(frame_of(table, [f"c{number}" for number in range(classes)]), WEIGHTS)
    assert found.class_variance == pytest.approx(4, rel=0.5)
    assert found.seed_variance == pytest.approx(1, rel=0.25)
    assert found.rest_variance == pytest.approx(0.25, rel=0.05)


def test_classes_and_seeds_without_a_value_are_left_out() -> None:
    frame = frame_of(np.random.default_rng(2).normal(0, 1, (3, 6)), ["road", "train", "sky"])
    frame.loc[1, "iou.train"] = math.nan
    frame["state"] = "complete"
    frame.loc[5, "state"] = "diverged"
    frame.loc[5, ["iou.road", "iou.sky"]] = math.nan
    found = variance_parts(frame, WEIGHTS)
    assert found.left_out == ("train",) and found.seeds == 5
    with pytest.raises(ResultsError, match="got 1 classes with an IoU in all trainings; allowed: two or more"):
        variance_parts(frame.drop(columns="iou.sky"), WEIGHTS)
    with pytest.raises(ResultsError, match="got 1 seeds without a diverged training; allowed: two or more"):
        variance_parts(frame[frame["seed"] == 0], WEIGHTS)
