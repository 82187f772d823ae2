import numpy as np
import pytest

from stdc_lab.data import CLASS_COLOURS, CLASS_NAMES
from stdc_lab.data.cityscapes import CITYSCAPES_NAMES
from stdc_lab.deploy.palette import appearance, classes_of, generated_colours


@pytest.mark.parametrize("name", ["scenes", "camvid"])
def test_known_data_sets_have_their_own_names_and_colours(name: str) -> None:
    found = classes_of(name, 11)
    assert found.names == CLASS_NAMES
    assert np.array_equal(found.colours, CLASS_COLOURS)


def test_cityscapes_has_its_own() -> None:
    found = classes_of("cityscapes", 19)
    assert found.names == CITYSCAPES_NAMES
    assert found.colours[0].tolist() == [128, 64, 128]


@pytest.mark.parametrize(("name", "number"), [(None, 3), ("folder", 3), ("camvid", 12)])
def test_others_are_numbered(name: str | None, number: int) -> None:
    found = classes_of(name, number)
    assert found.names == tuple(f"class {index}" for index in range(number))
    assert np.array_equal(found.colours, generated_colours(number))


def test_generated_colours_differ_for_every_kind_of_sight() -> None:
    def closest(colours: np.ndarray) -> float:
        seen = appearance(colours)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=3).min(axis=2)
        return float(apart[~np.eye(len(colours), dtype=bool)].min())

    assert closest(generated_colours(19)) > 0.07
    assert closest(CLASS_COLOURS) < 0.04  # the usual palette is not as kind, so the measure can tell
    every = generated_colours(255)
    assert len({tuple(colour) for colour in every.tolist()}) == 255
    assert np.array_equal(every[:12], generated_colours(12))


def test_red_and_green_look_alike_without_one_kind_of_cone() -> None:
    """The simulation does what it is there for: a pair that normal sight tells apart and deuteranopia hardly."""
    red, green = appearance(np.array([[165, 60, 40], [105, 95, 35]]))
    apart = np.linalg.norm(red - green, axis=1)
    assert apart[3] > 3 * apart[1]
