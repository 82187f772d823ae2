import io

import cv2
import numpy as np
import pytest
from PIL import Image

from stdc_lab.deploy import comparison
from stdc_lab.deploy.comparison import compared, distinct_labels, panel
from stdc_lab.deploy.palette import classes_of
from stdc_lab.deploy.pictures import (
    GAP,
    TEXT,
    coloured,
    indexed_png,
    legend,
    occurring,
    overlaid,
    shortened,
    side_by_side,
    text_mask,
    text_width,
    wrapped,
)

CLASSES = classes_of("camvid", 11)
IDS = np.repeat(np.array([[0, 3], [8, 10]], np.uint8), 20, 0).repeat(20, 1)


def test_an_indexed_png_holds_the_ids_and_their_colours() -> None:
    ids = np.arange(11, dtype=np.uint8).reshape(1, 11).repeat(3, 0)
    content = indexed_png(ids, CLASSES)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), ids)
    seen = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(seen[..., ::-1], coloured(ids, CLASSES))


def test_an_overlay_is_half_image_and_half_colour() -> None:
    image = np.full((40, 40, 3), (200, 100, 0), np.uint8)
    assert overlaid(image, IDS, CLASSES)[0, 0].tolist() == [164, 114, 64]  # sky is (128, 128, 128)
    assert np.array_equal(overlaid(image, IDS, CLASSES, alpha=1), coloured(IDS, CLASSES))


def patches_in(picture: np.ndarray) -> list[int]:
    """The classes of whose colour there is a patch; letters have greys in them, but not so many alike."""
    return [
        index for index, colour in enumerate(CLASSES.colours) if (picture == colour).all(axis=2).sum() >= TEXT * TEXT
    ]


def test_side_by_side_has_a_legend_of_the_classes_that_occur() -> None:
    image = np.full((40, 40, 3), 255, np.uint8)
    picture = side_by_side(image, IDS, CLASSES)
    assert picture.shape[1] == 2 * 40 + GAP
    assert np.array_equal(picture[:40, :40], image)
    assert np.array_equal(picture[:40, 40 + GAP :], overlaid(image, IDS, CLASSES))
    assert patches_in(picture[40:]) == [0, 3, 8, 10]
    assert occurring(IDS) == [0, 3, 8, 10]


@pytest.mark.parametrize("width", [88, 200, 1000])
def test_a_legend_takes_the_lines_that_it_needs(width: int) -> None:
    strip = legend(CLASSES, range(11), width)
    assert strip.shape[1] == width
    assert patches_in(strip) == list(range(11))
    assert (strip[:, -1] == 255).all()  # nothing is cut off at the edge


def test_text_is_as_wide_as_it_says() -> None:
    mask = text_mask("Fußgänger gjy", TEXT)
    assert mask.shape[1] == text_width("Fußgänger gjy", TEXT)
    assert mask[:, 1:-1].max() > 200
    assert not mask[0].any() and not mask[-1].any()
    assert text_mask("$x_1$", TEXT).shape[1] > text_width("x1", TEXT) + 10  # no formula


def test_long_text_is_wrapped_or_shortened_to_fit() -> None:
    name = "fusion_residual_without_attention_and_global_context_half_width"
    lines = wrapped(name, 120, TEXT)
    assert len(lines) > 2
    assert "".join(lines) == name
    assert all(text_width(line, TEXT) <= 120 for line in lines)
    assert lines[0].endswith("_")  # broken where it may be
    assert all(text_width(line, TEXT) <= 60 for line in wrapped("W" * 40, 60, TEXT))
    assert wrapped("two words", 1000, TEXT) == ["two words"]
    short = shortened(name, 120, TEXT)
    assert short.endswith("…") and name.startswith(short[:-1])
    assert text_width(short, TEXT) <= 120 < text_width(name[: len(short)] + "…", TEXT)
    assert shortened("short", 120, TEXT) == "short"


def test_headings_of_a_panel_stay_over_their_columns() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    ids = np.zeros((60, 80), np.uint8)
    rows = [compared(f"image {number}", image, [ids, ids], CLASSES, 240) for number in range(2)]
    assert rows[0].tiles[0].shape == (180, 240, 3)
    long = "W" * 60
    picture = panel(rows, [long, long], ["", ""], CLASSES)
    assert picture.shape[1] == 3 * 240 + 4 * GAP
    short = panel(rows, ["a", "b"], ["", ""], CLASSES)
    lower = picture.shape[0] - short.shape[0]
    assert lower > 0  # the heading grew downwards
    assert np.array_equal(picture[lower + 30 :], short[30:])  # and pushed the rest down, unchanged
    heading = picture[: lower + 20]
    for column in range(4):
        assert (heading[:, column * (240 + GAP) : column * (240 + GAP) + GAP] == 255).all()
    assert (heading[:, 240 + 2 * GAP : 2 * 240 + 2 * GAP] < 128).any()


def test_the_legend_of_a_panel_is_of_all_its_rows() -> None:
    image = np.full((60, 80, 3), 255, np.uint8)
    maps = [np.full((60, 80), index, np.uint8) for index in (1, 2, 3)]
    rows = [compared("x", image, maps[:2], CLASSES, 240), compared("y", image, maps[1:], CLASSES, 240)]
    assert patches_in(panel(rows, ["a", "b"], ["", ""], CLASSES)[-30:]) == [1, 2, 3]


def test_tiles_are_neither_tiny_nor_huge() -> None:
    assert [comparison.tile_width(np.zeros((10, width, 3), np.uint8)) for width in (64, 300, 4000)] == [240, 300, 480]


def test_equal_names_are_told_apart_by_their_files() -> None:
    assert distinct_labels(["a", "b", "a"], ["x/1", "y", "x/2"]) == ["a (x/1)", "b", "a (x/2)"]
