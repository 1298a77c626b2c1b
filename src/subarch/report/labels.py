"""Where the names stand beside the points of a figure, so that none covers another name or a point.

Positions are in pixels, x to the right and y downwards, (0, 0) the plot's upper left corner. Greedy: each
name in turn takes the nearest free place around its point; no optimum is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LETTER_WIDTH = 7.2
LINE_HEIGHT = 16.0
_DISTANCES = (4, 16, 32, 50, 72, 96)
# Diagonals first: interval bars stand above and below a point, the front passes to its left and right.
_ANGLES = (45, 135, 315, 225, 0, 180, 90, 270)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A marker with a radius in pixels, and the name that belongs to it."""

    x: float
    y: float
    radius: float
    name: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """The middle of a name; `far` where a line must join it to its point."""

    x: float
    y: float
    far: bool


Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def place(points: Sequence[Point], width: float, height: float, lines: Sequence[Box] = ()) -> list[Place]:
    """A place for each name inside a plot of `width` × `height` pixels, in the order of `points`.

    `lines` are further boxes (left, top, right, bottom) that a name should not cover.
    """
    taken: list[Box] = [
        *lines,
        *(_around(point.x, point.y, 2 * point.radius, 2 * point.radius) for point in points),
    ]
    places = []
    for point in points:
        best = min(_options(point), key=lambda option: _cost(_box(point, option), taken, width, height) + option.far)
        taken.append(_box(point, best))
        places.append(best)
    return places


def _options(point: Point) -> list[Place]:
    """The places around a point, nearest first: `min` takes the first of equally good ones."""
    half_width, half_height = LETTER_WIDTH * len(point.name) / 2, LINE_HEIGHT / 2
    options = []
    for distance in _DISTANCES:
        for angle in _ANGLES:
            along, across = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
            reach = point.radius + distance
            # The name's nearest edge or corner lies `reach` away, so it never begins inside of its point.
            options.append(
                Place(
                    x=point.x + along * reach + _side(along) * half_width,
                    y=point.y + across * reach + _side(across) * half_height,
                    far=distance > _DISTANCES[1],
                )
            )
    return options


def _side(direction: float) -> float:
    return 0.0 if abs(direction) < 1e-9 else math.copysign(1.0, direction)


def _cost(box: Box, taken: Sequence[Box], width: float, height: float) -> float:
    """How many square pixels the box shares with others or has outside of the plot."""
    inside = _shared(box, (0.0, 0.0, width, height))
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return 4 * outside + sum(_shared(box, other) for other in taken)


def _shared(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0.0) * max(down, 0.0)


def _box(point: Point, option: Place) -> Box:
    return _around(option.x, option.y, LETTER_WIDTH * len(point.name), LINE_HEIGHT)


def _around(x: float, y: float, width: float, height: float) -> Box:
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
