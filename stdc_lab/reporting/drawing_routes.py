"""`routed`: arrows between boxes, along a grid, around all other boxes and beside all other arrows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np

from stdc_lab.reporting.drawing_data import Edge, Node, Point
from stdc_lab.reporting.figure_data import FloatArray

TRACK = 0.14
"""Distance from a box at which arrows run along it."""
CLEAR, APART = 0.07, 0.1
"""What an arrow keeps from other boxes, and from other arrows that run beside it."""
BEND, CROSSING, OFF_CENTRE, CLOSE = 0.6, 0.4, 0.2, 60.0
"""What counts as much as so many inches of arrow: a bend, half a crossing, leaving or entering beside the middle of a
side, and each piece that runs on or close to another arrow."""
_Cell = tuple[int, int]
_STEPS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def routed(nodes: Mapping[str, Node], wanted: Iterable[tuple[str, str]]) -> tuple[Edge, ...]:
    """An arrow for each pair of tail and head, the shortest first. Arrows of one tail may share their beginning."""
    edges: list[Edge] = []
    for tail, head in sorted(wanted, key=lambda pair: _distance(nodes[pair[0]], nodes[pair[1]])):
        edges.append(Edge(tail, head, _route(nodes, nodes[tail], nodes[head], edges)))
    return tuple(edges)


def _distance(tail: Node, head: Node) -> float:
    return abs(tail.x - head.x) + abs(tail.y - head.y)


def _ports(node: Node, other: Node) -> dict[tuple[Point, int], float]:
    """Where an arrow may leave a box, and in which direction, with what that costs."""
    sides = {0: (node.right, node.y), 1: (node.left, node.y), 2: (node.x, node.bottom), 3: (node.x, node.top)}
    ports = {(point, way): 0.0 for way, point in sides.items()}
    if node.kind != "sum":
        # Straight on to the other's middle, where this side is long enough.
        if abs(other.x - node.x) < node.width / 2 - 0.15:
            ports |= {((other.x, sides[way][1]), way): OFF_CENTRE for way in (2, 3) if other.x != node.x}
        if abs(other.y - node.y) < node.height / 2 - 0.15:
            ports |= {((sides[way][0], other.y), way): OFF_CENTRE for way in (0, 1) if other.y != node.y}
    return ports


def _route(nodes: Mapping[str, Node], tail: Node, head: Node, edges: list[Edge]) -> tuple[Point, ...]:
    starts, ends = _ports(tail, head), _ports(head, tail)
    points = [point for point, _ in (*starts, *ends)]
    xs = _lines([(one.left, one.x, one.right) for one in nodes.values()], [x for x, _ in points])
    ys = _lines([(one.top, one.y, one.bottom) for one in nodes.values()], [y for _, y in points])
    along, down = _costs(nodes, tail, head, edges, xs, ys)

    def cell(point: Point) -> _Cell:
        return int(np.abs(xs - point[0]).argmin()), int(np.abs(ys - point[1]).argmin())

    # The way into a head is the opposite of the one out of it.
    goals = {(cell(point), way ^ 1): cost for (point, way), cost in ends.items()}
    best: dict[tuple[_Cell, int], float] = {}
    queue: list[tuple[float, _Cell, int, tuple[_Cell, ...]]]
    queue = sorted((cost, cell(point), way, (cell(point),)) for (point, way), cost in starts.items())
    while queue:
        cost, (i, j), way, path = heapq.heappop(queue)
        if way < 0:
            return _simplified([(float(xs[a]), float(ys[b])) for a, b in path])
        if best.get(((i, j), way), np.inf) <= cost:
            continue
        best[(i, j), way] = cost
        if len(path) > 1 and ((i, j), way) in goals:
            heapq.heappush(queue, (cost + goals[(i, j), way], (i, j), -1, path))
        for turn, (di, dj) in enumerate(_STEPS):
            if turn == way ^ 1 or (len(path) == 1 and turn != way):
                continue
            a, b = i + di, j + dj
            if 0 <= a < len(xs) and 0 <= b < len(ys):
                piece = float(along[min(i, a), j] if di else down[i, min(j, b)])
                if piece < np.inf:
                    further = cost + piece + BEND * (turn != way)
                    heapq.heappush(queue, (further, (a, b), turn, (*path, (a, b))))
    raise AssertionError(f"no way from {tail.key} to {head.key}")  # the outermost tracks are free


def _lines(sides: Iterable[tuple[float, float, float]], more: Iterable[float]) -> FloatArray:
    lines = {value for low, middle, high in sides for value in (low - TRACK, middle, high + TRACK)}
    return np.unique(np.round([*lines, *more], 9))


def _costs(
    nodes: Mapping[str, Node], tail: Node, head: Node, edges: Iterable[Edge], xs: FloatArray, ys: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Of each piece of the grid, its length with what counts as such: to the right (i, j) → (i + 1, j), and down."""
    along = np.repeat(np.diff(xs)[:, None], len(ys), axis=1)
    down = np.repeat(np.diff(ys)[None, :], len(xs), axis=0)

    def block(
        left: float, top: float, right: float, bottom: float, flat: float, steep: float, free: FloatArray | None = None
    ) -> None:
        columns, rows = (xs > left) & (xs < right), (ys > top) & (ys < bottom)
        if free is not None:
            columns, rows = columns & ~np.isin(xs, free[0]), rows & ~np.isin(ys, free[1])
        along[np.ix_((xs[:-1] < right) & (xs[1:] > left), rows)] += flat
        down[np.ix_(columns, (ys[:-1] < bottom) & (ys[1:] > top))] += steep

    ports = np.array([point for pair in ((tail, head), (head, tail)) for point, _ in _ports(*pair)]).round(9).T
    for node in nodes.values():
        own = node in (tail, head)
        for grow, free in ((CLEAR, ports if own else None), (-1e-4, None)):
            sides = node.left - grow, node.top - grow, node.right + grow, node.bottom + grow
            block(*sides, np.inf, np.inf, free)
    for edge in edges:
        if edge.tail == tail.key:
            continue
        for (x0, y0), (x1, y1) in pairwise(edge.points):
            (left, right), (top, bottom) = sorted((x0, x1)), sorted((y0, y1))
            if y0 == y1:
                block(left, top - APART, right, bottom + APART, CLOSE, 0)
                block(left - 1e-4, top - 1e-4, right + 1e-4, bottom + 1e-4, 0, CROSSING)
            else:
                block(left - APART, top, right + APART, bottom, 0, CLOSE)
                block(left - 1e-4, top - 1e-4, right + 1e-4, bottom + 1e-4, CROSSING, 0)
    return along, down


def _simplified(path: list[Point]) -> tuple[Point, ...]:
    """Without points in the middle of a straight line."""
    kept = [path[0]]
    for before, point, after in zip(path, path[1:], path[2:], strict=False):
        if not (before[0] == point[0] == after[0] or before[1] == point[1] == after[1]):
            kept.append(point)
    return (*kept, path[-1])
