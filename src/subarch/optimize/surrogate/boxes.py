"""The part of objective space that a front leaves open, cut into disjoint boxes.

All objectives are minimised. For two objectives the boxes are the strips of the staircase; for more, a sweep along the
last one keeps the boxes of the others open until a member of the front changes them, so that three objectives need two
boxes a member and one (as in Yang et al. 2019, doi 10.1007/s10898-019-00798-7).
"""

from __future__ import annotations

from operator import le

import numpy as np

from subarch.optimize.pareto import pareto_front
from subarch.optimize.surrogate.kernel import Array

Box = tuple[tuple[float, ...], tuple[float, ...]]
_OPEN = -np.inf


def open_boxes(points: Array, reference: Array) -> tuple[Array, Array]:
    """Lower and upper corners of boxes that together are what lies before the reference and is not dominated.

    Args:
        points: Shape (n, objectives); those not before the reference in every objective count for nothing.
        reference: Shape (objectives,).

    Returns:
        Two arrays of shape (boxes, objectives); lower corners may be minus infinity.
    """
    inside = points[(points < reference).all(axis=1)]
    front = inside[pareto_front(inside.tolist())] if len(inside) else inside
    boxes = _boxes([tuple(point) for point in np.unique(front, axis=0).tolist()], tuple(reference.tolist()))
    shape = (len(boxes), len(reference))
    lower, upper = (np.array([box[side] for box in boxes], dtype=float).reshape(shape) for side in (0, 1))
    return lower, upper


def _boxes(front: list[tuple[float, ...]], reference: tuple[float, ...]) -> list[Box]:
    if len(reference) == 1:
        return [((_OPEN,), (min([reference[0], *(point[0] for point in front)]),))]
    if len(reference) == 2:
        return _strips(front, reference)
    return _swept(front, reference)


def _strips(front: list[tuple[float, ...]], reference: tuple[float, ...]) -> list[Box]:
    boxes, left, height = [], _OPEN, reference[1]
    for first, second in sorted(front):
        if second < height:
            boxes.append(((left, _OPEN), (first, height)))
            left, height = first, second
    return [*boxes, ((left, _OPEN), (reference[0], height))]


def _swept(front: list[tuple[float, ...]], reference: tuple[float, ...]) -> list[Box]:
    """Boxes of the leading objectives, each with the range of the last one in which it stays the same."""
    leading = reference[:-1]
    since = dict.fromkeys(_boxes([], leading), _OPEN)
    done: list[Box] = []
    below: list[tuple[float, ...]] = []
    for point in sorted(front, key=lambda point: point[-1]):
        grown = _with(below, point[:-1])
        if grown is below:
            continue
        below = grown
        now = _boxes(below, leading)
        current = set(now)
        for box in [box for box in since if box not in current]:
            start = since.pop(box)
            if start < point[-1]:
                done.append(((*box[0], start), (*box[1], point[-1])))
        for box in now:
            since.setdefault(box, point[-1])
    return done + [((*low, start), (*high, reference[-1])) for (low, high), start in since.items()]


def _with(front: list[tuple[float, ...]], point: tuple[float, ...]) -> list[tuple[float, ...]]:
    """The front with one point more; the same list where a member is as good."""
    if any(all(map(le, member, point)) for member in front):
        return front
    return [member for member in front if not all(map(le, point, member))] + [point]
