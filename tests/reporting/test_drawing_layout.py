"""Boxes, arrows and texts keep clear of each other."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.colors import to_hex

from stdc_lab.arch import analyse, presets
from stdc_lab.reporting.drawing import (
    architecture_diagram,
    architecture_figure,
)
from stdc_lab.reporting.drawing_data import Node
from stdc_lab.reporting.drawing_routes import routed
from tests.reporting.diagrams import SPECS, network


@pytest.fixture(params=SPECS, scope="module")
def whole(request):
    size = (8192, 8192) if "huge" in request.param else (512, 1024)
    return architecture_diagram(analyse(SPECS[request.param], size), request.param)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (33, 65), (32, 64), (512, 32)])
@pytest.mark.parametrize("name", ["stdc1", "pp_liteseg_t", "regseg"])
def test_small_images_leave_all_columns_apart(name, size):
    labels = [band.label for band in network(presets[name], size).bands]
    assert labels == [band.label for band in network(presets[name]).bands]


def test_an_arrow_goes_round_rather_than_along_another():
    """Both sides of the head are built up, and the way in from above is taken."""
    at = {"head": (2, 3), "near": (2, 2), "far": (0.5, 2), "left": (1.4, 3), "right": (2.6, 3)}
    nodes = {key: Node(key, "data", x=x, y=y, width=0.4, height=0.4) for key, (x, y) in at.items()}
    near, far = routed(nodes, [("far", "head"), ("near", "head")])
    assert near.points == ((2, 2.2), (2, 2.8))
    assert far.points[-1] != near.points[-1]
    (alone,) = routed(nodes, [("far", "head")])
    assert alone.points[-1] == near.points[-1]


def test_boxes_lie_apart_and_inside(whole):
    for node in whole.nodes:
        assert 0.1 < node.left < node.right < whole.width - 0.1, node.key
        assert 0.1 < node.top < node.bottom < whole.height - 0.1, node.key
    for one, other in itertools.combinations(whole.nodes, 2):
        apart = one.right < other.left or other.right < one.left or one.bottom < other.top or other.bottom < one.top
        assert apart, (one.key, other.key)


def test_arrows_touch_no_box_but_their_own(whole):
    for edge in whole.edges:
        for (x0, y0), (x1, y1) in itertools.pairwise(edge.points):
            assert x0 == pytest.approx(x1) or y0 == pytest.approx(y1), edge
            for node in whole.nodes:
                if node.key not in (edge.tail, edge.head):
                    beside = max(x0, x1) < node.left or min(x0, x1) > node.right
                    assert beside or max(y0, y1) < node.top or min(y0, y1) > node.bottom, (edge, node.key)
        tail, head = whole.node(edge.tail), whole.node(edge.head)
        for node, (x, y) in ((tail, edge.points[0]), (head, edge.points[-1])):
            assert max(abs(x - node.x) / node.width, abs(y - node.y) / node.height) == pytest.approx(0.5), edge
        lengths = [abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in itertools.pairwise(edge.points)]
        assert lengths[-1] > 0.1, edge


def test_arrows_of_different_boxes_run_apart(whole):
    """Side by side, at some distance; they may cross."""
    pieces = [(edge.tail, *piece) for edge in whole.edges for piece in itertools.pairwise(edge.points)]
    for (tail, (x0, y0), (x1, y1)), (other, (u0, v0), (u1, v1)) in itertools.combinations(pieces, 2):
        if tail == other:
            continue
        beside = (
            y0 == y1
            and v0 == v1
            and abs(y0 - v0) < 0.05
            and max(min(x0, x1), min(u0, u1)) < min(max(x0, x1), max(u0, u1))
        )
        below = (
            x0 == x1
            and u0 == u1
            and abs(x0 - u0) < 0.05
            and max(min(y0, y1), min(v0, v1)) < min(max(y0, y1), max(v0, v1))
        )
        assert not beside and not below, (tail, other)


def test_texts_lie_apart_and_cross_no_border_or_arrow(whole):
    figure = architecture_figure(whole)
    figure.draw_without_rendering()
    to_inches = figure.axes[0].transData.inverted()
    texts = {}
    for text in figure.axes[0].texts:
        assert text.get_fontsize() >= 7
        (left, bottom), (right, top) = to_inches.transform(text.get_window_extent().get_points())
        # What counts is where the letters are, without the room that a line of text keeps above and below.
        middle, half = (top + bottom) / 2, 0.36 * text.get_fontsize() / 72
        texts[text] = (left, middle - half, right, middle + half)
    for (one, a), (other, b) in itertools.combinations(texts.items(), 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], (one, other)
    for text, (left, top, right, bottom) in texts.items():
        assert 0.1 < left < right < whole.width - 0.1, text
        for node in whole.nodes:
            inside = node.left + 0.02 < left and right < node.right - 0.02 and node.top < top and bottom < node.bottom
            outside = right < node.left or left > node.right or bottom < node.top or top > node.bottom
            assert inside or outside, (text, node.key)
        for edge in whole.edges:
            for (x0, y0), (x1, y1) in itertools.pairwise(edge.points):
                beside = max(x0, x1) < left or min(x0, x1) > right
                assert beside or max(y0, y1) < top or min(y0, y1) > bottom, (text, edge)


def test_kinds_differ_by_more_than_colour(whole):
    """Backbone, decoder and spatial path: by the dashes of their borders."""
    patches = [patch for patch in architecture_figure(whole).axes[0].patches if hasattr(patch, "get_boxstyle")]
    looks = {to_hex(patch.get_edgecolor()): str(patch.get_linestyle()) for patch in patches}
    coloured = [style for colour, style in looks.items() if colour in ("#0072b2", "#009e73", "#d55e00")]
    assert len(set(coloured)) == len(coloured) >= 2
