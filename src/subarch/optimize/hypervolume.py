"""The hypervolume that points dominate, exactly; every objective is minimised.

Two objectives: a staircase that grows point by point. One more: sort by the last objective, and add up the slices
(Fonseca, Paquete and López-Ibáñez 2006, "An improved dimension-sweep algorithm for the hypervolume indicator", section
IV). The slices are the history of one objective less, in which a point adds its box without what the others, limited
to that box, dominate (While, Bradstreet and Barone 2012, "A fast way of calculating exact hypervolumes", section III).
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike

from subarch.optimize.parameters import Array
from subarch.optimize.pareto import pareto_front


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume between the points and the reference point, counted once.

    What is not better than the reference in every objective adds nothing, nor does a point with a NaN.

    Args:
        points: Shape (points, objectives).
        reference: Shape (objectives,), at least one.
    """
    return _volume(_below(points, reference))


def hypervolume_history(points: ArrayLike, reference: ArrayLike) -> list[float]:
    """The `hypervolume` of the first point, of the first two, …: as many numbers as points."""
    return [float(volume) for volume in _history(_below(points, reference))]


def _below(points: ArrayLike, reference: ArrayLike) -> Array:
    """The points as seen from the reference; those that add nothing become the reference itself."""
    origin = np.asarray(reference, dtype=float)
    seen: Array = np.asarray(points, dtype=float).reshape(-1, len(origin)) - origin
    seen[~(seen < 0).all(axis=1)] = 0.0
    return seen


def _volume(points: Array) -> float:
    """Against the origin."""
    if not len(points):
        return 0.0
    if points.shape[1] <= 2:
        return float(_history(points)[-1])
    if points.shape[1] > 3:  # most of what is limited to a box dominates nothing of its own
        points = points[pareto_front(points)]
    points = points[np.argsort(points[:, -1], kind="stable")]
    thickness = np.diff(points[:, -1], append=0.0)
    return float(thickness @ _history(points[:, :-1]))


def _history(points: Array) -> Array:
    """Against the origin, after each point."""
    if points.shape[1] == 1:
        return -np.minimum.accumulate(points[:, 0]) if len(points) else np.empty(0)
    if points.shape[1] == 2:
        return np.cumsum(_staircase(points))
    front = np.empty((0, points.shape[1]))
    added = np.zeros(len(points))
    for index, point in enumerate(points):
        if (point < 0).all() and not (front <= point).all(axis=1).any():
            added[index] = max(0.0, float(np.prod(-point)) - _volume(np.maximum(point, front)))
            front = np.vstack([front[~(point <= front).all(axis=1)], point])
    return np.cumsum(added)


def _staircase(points: Array) -> Array:
    """The area that each point of two objectives adds to those before it."""
    # Steps by ascending x and descending y, between two that no point passes.
    xs, ys = [-np.inf, 0.0], [0.0, -np.inf]
    added = np.zeros(len(points))
    for index, (x, y) in enumerate(points.tolist()):
        start = end = bisect_right(xs, x)
        if ys[start - 1] <= y:
            continue
        left = x
        while left < 0.0:  # strips up to the first step that is lower than the point
            right = xs[end]
            added[index] += (right - left) * (ys[end - 1] - y)
            if ys[end] < y:
                break
            left, end = right, end + 1
        xs[start:end], ys[start:end] = [x], [y]
    return added
