import ast
from pathlib import Path

import pytest

from stdc_lab.config.data import DataConfig
from stdc_lab.config.training import TrainConfig
from stdc_lab.errors import ConfigError


def test_a_replaced_value_is_checked_as_a_new_one() -> None:
    config = TrainConfig(iterations=100)
    assert config.replace(iterations=200) == TrainConfig(iterations=200)
    assert config.iterations == 100
    assert config.replace() == config
    with pytest.raises(ConfigError, match=r"^iterations: got -5; allowed: .*greater than or equal to 1$"):
        config.replace(iterations=-5)
    with pytest.raises(ConfigError, match=r"^warmup_iterations \(50\) must be fewer than iterations"):
        config.replace(iterations=20)
    with pytest.raises(ConfigError, match=r"^iteration: no such key$"):
        config.replace(iteration=20)


def test_every_mistake_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig().replace(iterations=-5, batch_size=0)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["iterations", "batch_size"]


def test_what_was_not_given_stays_not_given() -> None:
    assert DataConfig(size=(64, 96)).replace(seed=3).model_fields_set == {"size", "seed"}


def test_nobody_copies_a_value_unchecked() -> None:
    for path in (Path(__file__).parents[2] / "stdc_lab").rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & {"model_copy", "model_construct"}, path
