"""The benchmark of proxies: what it makes of a table, and which rows of one it counts."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "proxy_protocols.py"


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("proxy_protocols", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()
FIRST, SECOND = list(benchmark.CANDIDATES)[:2]


def row(candidate: str, arm: str, seed: int, miou: float, **values: Any) -> dict[str, Any]:
    key = benchmark.key_of(candidate, arm, seed)
    return {"candidate": candidate, "arm": arm, "seed": seed, "miou": miou, "seconds": 100.0, "training": key, **values}


def test_every_candidate_is_a_training_of_its_own() -> None:
    keys = {
        benchmark.key_of(name, arm, seed)
        for name in benchmark.CANDIDATES
        for arm in ("wide", "narrow")
        for seed in (0, 1)
    }
    assert len(keys) == 4 * len(benchmark.CANDIDATES)


def test_the_table_grows_in_order_and_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.csv"
    for one in (row(SECOND, "wide", 0, 0.4), row(FIRST, "narrow", 1, 0.3), row(FIRST, "wide", 1, 0.35)):
        benchmark.add_row(path, one)
    benchmark.add_row(path, row(FIRST, "wide", 1, 0.35))
    table = benchmark.read_table(path)
    assert list(zip(table["candidate"], table["arm"], strict=True)) == [
        (FIRST, "wide"),
        (FIRST, "narrow"),
        (SECOND, "wide"),
    ]


def test_a_row_of_another_training_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    benchmark.add_row(path, row(FIRST, "wide", 0, 0.4))
    benchmark.add_row(path, row(SECOND, "wide", 0, 0.4))
    changed = {**benchmark.CANDIDATES, FIRST: benchmark.CANDIDATES[FIRST] | {"learning_rate": 0.123}}
    monkeypatch.setattr(benchmark, "CANDIDATES", changed)
    assert benchmark.read_table(path)["candidate"].tolist() == [SECOND]


def test_the_summary_is_of_whole_pairs() -> None:
    differences = [0.01, 0.03, 0.02]
    rows = [
        row(
            FIRST,
            arm,
            seed,
            0.4 + (apart if arm == "wide" else 0),
            **{"iou.often": 0.9, "iou.rare": 0.05 if seed else 0.0, "iou.never": 0.04},
        )
        for seed, apart in enumerate(differences)
        for arm in ("wide", "narrow")
    ]
    rows.append(row(FIRST, "wide", 3, 0.9, **{"iou.often": 0.9, "iou.rare": 0.0, "iou.never": 0.04}))
    [found] = benchmark.summary(pd.DataFrame(rows))
    assert (found["pairs"], found["found"], found["classes"]) == (3, 2, 3)
    assert found["effect"] == pytest.approx(0.02)
    assert found["sd"] == pytest.approx(0.01)
    assert found["ratio"] == pytest.approx(2)
    assert found["sd_interval"][0] == pytest.approx(0.01 * np.sqrt(2 / 7.3778), rel=1e-4)


def test_one_width_alone_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame([row(FIRST, "wide", 0, 0.4, **{"iou.often": 0.9})])
    [found] = benchmark.summary(table)
    assert found["pairs"] == 0 and np.isnan(found["effect"]) and np.isnan(found["sd"])
    benchmark.show(table)
    assert capsys.readouterr().out.splitlines()[2] == f"| {FIRST} | 0 | 100 | – | – | – – – | – | 1 of 1 | 0.400 |"
