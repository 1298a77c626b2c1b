"""Dominance and the Pareto front, for objectives that are all minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pareto_front(points: Sequence[Sequence[float]] | NDArray[np.float64]) -> list[int]:
    """Indices of the points that no other point dominates, in their order.

    A point dominates another when it is no worse in every objective and better in at least one; equal points do not
    dominate each other, so both stay. Points with a NaN are never on the front.

    Args:
        points: Shape (points, objectives); every objective is minimised.
    """
    if not len(points):
        return []
    values = np.asarray(points, dtype=float)
    whole = np.flatnonzero(~np.isnan(values).any(axis=1))
    # By the first objective, then the second, …: only an earlier point can dominate a later one.
    different, which = np.unique(values[whole], axis=0, return_inverse=True)
    front = _front_of_two if values.shape[1] == 2 else _front_of_many
    return [int(index) for index in whole[front(different)[which.reshape(-1)]]]


def _front_of_two(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the sorted, different points are on the front: those lower than all before."""
    lowest = np.minimum.accumulate(values[:, 1])
    return np.append(np.full(min(1, len(values)), True), values[1:, 1] < lowest[:-1])


def _front_of_many(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The same for any number of objectives."""
    on_front = np.ones(len(values), dtype=bool)
    for index in range(len(values)):
        if on_front[index]:
            on_front[index + 1 :] &= ~(values[index + 1 :] >= values[index]).all(axis=1)
    return on_front
