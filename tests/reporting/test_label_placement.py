from __future__ import annotations

import itertools

from stdc_lab.reporting.label_placement import Box, overlap, place_labels

BOUNDS = Box(0, 0, 800, 600)
SIZE = (40.0, 16.0)


def boxes(centres):
    return [Box(x - 20, y - 8, x + 20, y + 8) for x, y in centres]


def test_a_lone_label_is_beside_its_mark_and_does_not_cover_it():
    (centre,) = place_labels([(400, 300)], [SIZE], BOUNDS)
    (box,) = boxes([centre])
    assert not (box.left < 400 < box.right and box.bottom < 300 < box.top)
    assert abs(centre[0] - 400) < 60
    assert abs(centre[1] - 300) < 60


def test_labels_of_crowded_marks_do_not_overlap():
    anchors = [(400 + 6 * i, 300 + 9 * i) for i in range(8)]
    placed = boxes(place_labels(anchors, [SIZE] * 8, BOUNDS))
    assert all(overlap(one, other) == 0 for one, other in itertools.combinations(placed, 2))


def test_labels_stay_within_bounds():
    corners = [(2, 2), (798, 2), (2, 598), (798, 598)]
    for box in boxes(place_labels(corners, [SIZE] * 4, BOUNDS)):
        assert box.left >= 0
        assert box.bottom >= 0
        assert box.right <= 800
        assert box.top <= 600


def test_labels_leave_other_points_visible():
    anchor = (400.0, 300.0)
    (first,) = place_labels([anchor], [SIZE], BOUNDS)
    (second,) = place_labels([anchor], [SIZE], BOUNDS, obstacles=[first])
    (box,) = boxes([second])
    assert not (box.left < first[0] < box.right and box.bottom < first[1] < box.top)


def test_no_labels_no_places():
    assert place_labels([], [], BOUNDS) == []
